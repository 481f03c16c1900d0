"""The address of the event socket, behind sessions, tokens and the origin check."""

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path

from generation.consumers import EventConsumer

websocket_application = AllowedHostsOriginValidator(
    AuthMiddlewareStack(URLRouter([path("ws/events/", EventConsumer.as_asgi())]))
)
