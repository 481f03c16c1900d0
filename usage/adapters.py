"""How allauth is bent to this project: the sign-up gate, and addresses that nobody keeps."""

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from usage.addresses import caller_network
from usage.models import User


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth has no types
    """Allauth's adapter with our sign-up gate and without callers' addresses."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:  # noqa: ARG002 - allauth's signature
        """Whether a stranger may make an account: `PENCIL_SIGNUP_ENABLED`."""
        return bool(settings.SIGNUP_ENABLED)

    def clean_email(self, email: str) -> str:
        """Refuse an address that the database would cut short."""
        limit = User._meta.get_field("email").max_length or 0
        if len(email) > limit:
            raise ValidationError(f"Give an address of at most {limit} characters.")
        return str(super().clean_email(email))

    def get_client_ip(self, request: HttpRequest) -> str:
        """A name for the caller's address, by which attempts are counted; not the address."""
        return salted_hmac("caller", caller_network(request)).hexdigest()[:32]
