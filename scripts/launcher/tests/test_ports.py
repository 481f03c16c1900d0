"""Ports: whoever holds one can have a server listen on it, and nobody else gets it."""

import socket

import pytest

from scripts.launcher.ports import HeldPorts, free_port, is_free


def test_a_held_port_goes_to_the_server_that_asks_for_it_again_and_again() -> None:
    held = HeldPorts()
    port = held.take()
    try:
        for _ in range(2):
            with (
                socket.create_server(("127.0.0.1", port)) as server,
                socket.create_connection(("127.0.0.1", port)),
            ):
                server.accept()[0].close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
    finally:
        held.release()


def test_a_held_port_is_given_to_nobody_who_asks_for_any() -> None:
    held, others = HeldPorts(), HeldPorts()
    try:
        ports = {held.take() for _ in range(500)}
        given = {others.take() for _ in range(500)}
    finally:
        held.release()
        others.release()

    assert len(ports) == len(given) == 500
    assert not ports & given


def test_a_port_is_free_until_somebody_listens() -> None:
    port = free_port()
    assert is_free(port)
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
