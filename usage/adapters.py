"""How allauth is bent to this project: the sign-up gate."""

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth has no types
    """Allauth's adapter with our sign-up gate."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:  # noqa: ARG002 - allauth's signature
        """Whether a stranger may make an account: `PENCIL_SIGNUP_ENABLED`."""
        return bool(settings.SIGNUP_ENABLED)
