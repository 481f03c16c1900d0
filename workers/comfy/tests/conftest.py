"""Fixtures of the client's tests."""

from collections.abc import Callable, Iterator

import pytest

from workers.comfy.client import ComfyClient
from workers.comfy.connection import SocketTimeouts
from workers.comfy.tests.fake_server import FakeServer
from workers.comfy.transport import Timeouts

# Short enough that a test of silence is quick, long enough for a busy machine.
QUICK = Timeouts(
    connect_s=1.0,
    read_s=0.4,
    reply_total_s=1.0,
    upload_read_s=0.4,
    fetch_read_s=0.4,
    fetch_total_s=1.0,
)
PATIENT = Timeouts()
SOCKETS = SocketTimeouts(retry_first_s=0.01, retry_longest_s=0.1)

MakeClient = Callable[..., ComfyClient]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
def make_client() -> Iterator[MakeClient]:
    clients: list[ComfyClient] = []

    def make(
        server: FakeServer, *, timeouts: Timeouts = PATIENT, sockets: SocketTimeouts = SOCKETS
    ) -> ComfyClient:
        client = ComfyClient(server.base_url, timeouts=timeouts, socket_timeouts=sockets)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(server: FakeServer, make_client: MakeClient) -> ComfyClient:
    return make_client(server)
