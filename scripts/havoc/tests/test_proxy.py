"""A cut line passes nothing and tells nobody."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from scripts.havoc.proxy import Proxy


class _Echo:
    """A server that sends back what it gets."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with closing(connection):
            try:
                while data := connection.recv(1024):
                    connection.sendall(data)
            except OSError:
                return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def line() -> Iterator[tuple[Proxy, socket.socket]]:
    """A proxy with one line, "way", and a connection that has already passed a byte."""
    echo, proxy = _Echo(), Proxy()
    with closing(socket.create_connection(("127.0.0.1", proxy.add("way", echo.port)))) as client:
        client.settimeout(5)
        client.sendall(b"1")
        assert client.recv(1) == b"1"
        yield proxy, client
    proxy.close()
    echo.close()


def test_a_cut_line_is_silent_and_stays_open(line: tuple[Proxy, socket.socket]) -> None:
    proxy, client = line
    proxy.cut("way")
    client.sendall(b"2")
    client.settimeout(0.2)

    with pytest.raises(TimeoutError):
        client.recv(1)


def test_a_mended_line_passes_what_came_meanwhile(line: tuple[Proxy, socket.socket]) -> None:
    proxy, client = line
    proxy.cut("way")
    client.sendall(b"2")
    proxy.mend("way")

    assert client.recv(1) == b"2"


def test_a_forgetful_mend_ends_the_connections(line: tuple[Proxy, socket.socket]) -> None:
    proxy, client = line
    proxy.cut("way")
    client.sendall(b"2")
    proxy.mend("way", forgets=True)

    with suppress(ConnectionResetError):
        assert client.recv(1) == b""
