"""Cookies that cannot be ours."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse


class CleanSessionCookie:
    """Drops a session cookie with characters that no session key has.

    PostgreSQL refuses text with a NUL in it, and Django looks the cookie up as it came: a 500 for
    whoever sends one.
    """

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Look at the cookie before sessions do."""
        key = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
        if key and not (key.isascii() and key.isalnum()):
            del request.COOKIES[settings.SESSION_COOKIE_NAME]
        return self._get_response(request)
