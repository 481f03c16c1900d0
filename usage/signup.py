"""The sign-up page behind its gate."""

from typing import Any

from allauth.account.views import SignupView
from django.http import HttpResponse


class GatedSignupView(SignupView):  # type: ignore[misc]  # allauth has no types
    """Allauth's sign-up, answering 403 while `PENCIL_SIGNUP_ENABLED` is false."""

    def closed(self) -> HttpResponse:
        """Say that sign-up is closed, with a status that a program understands too."""
        response: Any = super().closed()
        response.status_code = 403
        return response  # type: ignore[no-any-return]  # allauth has no types
