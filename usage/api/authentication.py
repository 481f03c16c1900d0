"""Tokens of programs: `Authorization: Bearer …`."""

from __future__ import annotations

from django.db.models import CharField
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from knox.models import AuthToken
from rest_framework.exceptions import AuthenticationFailed

from usage.models import User
from usage.statements import Select, Slot

_TOKEN = Select(
    lambda: AuthToken.objects.filter(digest=Slot("digest", CharField())).select_related(
        "user__plan"
    )
)


class BearerAuthentication(TokenAuthentication):  # type: ignore[misc]  # knox has no types
    """Knox's tokens; bytes that are no text are no token."""

    def authenticate_credentials(self, token: bytes) -> tuple[User, AuthToken]:
        """Find the token's user, with their plan, in one query.

        Knox's own way reads all tokens of the user besides, at each request, to delete those that
        have expired. An expired one is refused here, and stays in the table.

        Raises:
            AuthenticationFailed: there is no such token, it has expired, or its user may not sign
                in.
        """
        try:
            digest = hash_token(token.decode())
        except UnicodeDecodeError as error:
            raise AuthenticationFailed from error
        rows = _TOKEN.objects(digest=digest)
        found = rows[0] if rows else None
        if found is None or (found.expiry is not None and found.expiry <= timezone.now()):
            raise AuthenticationFailed
        user, _ = self.validate_user(found)
        return user, found


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its hook
    """How the schema describes them."""

    target_class = BearerAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:  # noqa: ARG002
        """Describe the header."""
        return {"type": "http", "scheme": "bearer"}
