"""The web server's entry point: HTTP to Django, WebSockets to the event consumer."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llamasketch.settings")
http_application = get_asgi_application()

from channels.routing import ProtocolTypeRouter  # noqa: E402 - needs the settings above

from generation.routing import websocket_application  # noqa: E402 - needs the settings above

application = ProtocolTypeRouter({"http": http_application, "websocket": websocket_application})
