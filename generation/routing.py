"""The address of the event socket, behind sessions, tokens and the origin check."""

from __future__ import annotations

from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import OriginValidator
from django.conf import settings
from django.urls import path

from generation.consumers import EventConsumer


class BrowserOriginValidator(OriginValidator):  # type: ignore[misc]  # channels has no types
    """Refuses pages of other sites.

    Browsers always say which page opens a socket, so what says nothing is a program, which shows a
    token instead of riding on somebody's cookie.
    """

    def valid_origin(self, parsed_origin: Any) -> bool:
        """Whether a page of this origin, or a program without one, may connect."""
        return parsed_origin is None or bool(super().valid_origin(parsed_origin))


websocket_application = BrowserOriginValidator(
    AuthMiddlewareStack(URLRouter([path("ws/events/", EventConsumer.as_asgi())])),
    settings.ALLOWED_HOSTS,
)
