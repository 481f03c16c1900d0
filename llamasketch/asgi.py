"""The web server's entry point: HTTP to Django, WebSockets to the event consumer."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llamasketch.settings")
django.setup(set_prefix=False)

from channels.routing import ProtocolTypeRouter  # noqa: E402 - needs the settings above

from generation.routing import websocket_application  # noqa: E402 - needs the settings above
from llamasketch.handler import SyncHandler  # noqa: E402 - needs the settings above

application = ProtocolTypeRouter({"http": SyncHandler(), "websocket": websocket_application})
