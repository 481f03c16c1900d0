"""The clients of the nodes: one a process and node, shared by all attempts."""

from __future__ import annotations

import threading

from workers.comfy.client import ComfyClient
from workers.comfy.transport import Timeouts

# A sketch is small and a node answers at once when it has it: a frozen one is noticed in this time.
TIMEOUTS = Timeouts(read_s=5.0, upload_read_s=8.0)

_lock = threading.Lock()
_clients: dict[str, ComfyClient] = {}


def client_for(url: str) -> ComfyClient:
    """The process's client of the node at this address, made when first asked for."""
    with _lock:
        if url not in _clients:
            _clients[url] = ComfyClient(url, timeouts=TIMEOUTS)
        return _clients[url]


def clients_close() -> None:
    """Close all clients; for the end of a process."""
    with _lock:
        clients = list(_clients.values())
        _clients.clear()
    for client in clients:
        client.close()
