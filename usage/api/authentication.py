"""Tokens of programs: `Authorization: Bearer …`."""

from __future__ import annotations

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.auth import TokenAuthentication
from knox.models import AuthToken
from rest_framework.exceptions import AuthenticationFailed

from usage.models import User


class BearerAuthentication(TokenAuthentication):  # type: ignore[misc]  # knox has no types
    """Knox's tokens; bytes that are no text are no token."""

    def authenticate_credentials(self, token: bytes) -> tuple[User, AuthToken]:
        """Find the token's user.

        Raises:
            AuthenticationFailed: there is no such token.
        """
        if b"\0" in token:
            raise AuthenticationFailed  # PostgreSQL has no such text
        try:
            user, found = super().authenticate_credentials(token)
        except (UnicodeDecodeError, ValueError) as error:
            raise AuthenticationFailed from error
        return user, found


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its hook
    """How the schema describes them."""

    target_class = BearerAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:  # noqa: ARG002
        """Describe the header."""
        return {"type": "http", "scheme": "bearer"}
