"""Ports of the loopback address, for servers that are about to start."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


class HeldPorts:
    """Ports that nobody else is given until they are let go.

    A socket is bound to each, and never listens. The system gives such a port neither to whoever
    asks for any, nor to a connection that goes out; a server that asks for just this one, with
    SO_REUSEADDR as servers do, gets it, as often as it is started.
    """

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def take(self) -> int:
        """A port that nobody listens on; another each time."""
        held = socket.socket()
        self._sockets.append(held)
        held.bind((LOOPBACK, 0))
        # Only now: asked for any, the system would give one that another holds like this.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port: int = held.getsockname()[1]
        return port

    def release(self) -> None:
        """Let all go."""
        while self._sockets:
            self._sockets.pop().close()


def free_port() -> int:
    """A port that nobody listens on right now."""
    held = HeldPorts()
    try:
        return held.take()
    finally:
        held.release()


def is_free(port: int) -> bool:
    """Whether a server could listen on a port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
