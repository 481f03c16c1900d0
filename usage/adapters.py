"""How allauth is bent to this project: the sign-up gate, and addresses that nobody keeps."""

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest
from django.utils.crypto import salted_hmac


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth has no types
    """Allauth's adapter with our sign-up gate and without callers' addresses."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:  # noqa: ARG002 - allauth's signature
        """Whether a stranger may make an account: `PENCIL_SIGNUP_ENABLED`."""
        return bool(settings.SIGNUP_ENABLED)

    def get_client_ip(self, request: HttpRequest) -> str:
        """A name for the caller's address, by which attempts are counted; not the address."""
        return salted_hmac("caller", str(super().get_client_ip(request))).hexdigest()[:32]
