"""The socket: what it survives, and what its followers are told."""

import json
import socket
import struct
import threading
import time
from uuid import UUID

import pytest

from workers.comfy.client import ComfyClient
from workers.comfy.connection import SocketTimeouts
from workers.comfy.protocol import (
    Disconnected,
    Finished,
    OutputReady,
    Preview,
    Progress,
    Reconnected,
    Started,
)
from workers.comfy.tests.conftest import MakeClient
from workers.comfy.tests.fake_server import WAIT_S, FakeServer

PROMPT = UUID(int=7)


def message(kind: str, prompt_id: UUID = PROMPT, **data: object) -> dict[str, object]:
    return {"type": kind, "data": {"prompt_id": str(prompt_id), **data}}


def preview(data: bytes, prompt_id: UUID = PROMPT) -> bytes:
    metadata = {"prompt_id": str(prompt_id), "node_id": "12", "image_type": "image/jpeg"}
    header = json.dumps(metadata).encode()
    return struct.pack(">II", 4, len(header)) + header + data


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        '{"type": 3}',
        '{"type": "progress"}',
        '{"type": "progress", "data": {"prompt_id": 3}}',
        '{"type": "progress", "data": {"prompt_id": "a", "value": "one", "max": 2}}',
        '{"type": "executed", "data": {"prompt_id": "a", "output": {"images": [3]}}}',
        '{"type": "something_new", "data": {"prompt_id": "a"}}',
        b"",
        b"\x00",
        struct.pack(">I", 77) + b"from the future",
        struct.pack(">I", 1) + b"\x00",
        struct.pack(">II", 4, 1000) + b"{}",
        struct.pack(">II", 4, 2) + b"{}picture",
        struct.pack(">II", 4, 2) + b"{}",
        struct.pack(">II", 3, 2) + b"\xff\xfe",
    ],
)
def test_garbage_does_not_end_the_connection(
    server: FakeServer, client: ComfyClient, garbage: str | bytes
) -> None:
    with client.follow(PROMPT) as follower:
        server.joined.get(timeout=WAIT_S)
        server.send(garbage)
        server.send(message("execution_start"))

        assert follower.next(WAIT_S) == Started()
        assert follower.next(0) is None


def test_a_preview_of_three_mebibytes_arrives(server: FakeServer, client: ComfyClient) -> None:
    picture = b"\xff\xd8\xff" + bytes(3 * 1024 * 1024)

    with client.follow(PROMPT) as follower:
        server.joined.get(timeout=WAIT_S)
        server.send(preview(picture))

        assert follower.next(WAIT_S) == Preview("image/jpeg", picture)


def test_a_preview_without_a_prompt_is_nobodys(server: FakeServer, client: ComfyClient) -> None:
    with client.follow(PROMPT) as follower:
        server.joined.get(timeout=WAIT_S)
        server.send(message("execution_start"))
        server.send(struct.pack(">II", 1, 1) + b"\xff\xd8\xff picture")
        server.send(message("executing", node=None))

        assert [follower.next(WAIT_S) for _ in range(2)] == [Started(), Finished()]


def test_events_go_to_the_prompt_that_they_name(server: FakeServer, client: ComfyClient) -> None:
    other = UUID(int=8)

    with client.follow(PROMPT) as follower, client.follow(other) as other_follower:
        server.joined.get(timeout=WAIT_S)
        server.send(message("progress", other, value=1, max=2, node="12"))
        server.send(preview(b"\xff\xd8\xff", other))
        server.send(message("execution_start"))
        files = [{"filename": "a.png", "subfolder": "b", "type": "output"}]
        server.send(message("executed", node="14", output={"images": files}))

        assert follower.next(WAIT_S) == Started()
        assert isinstance(follower.next(WAIT_S), OutputReady)
        assert other_follower.next(WAIT_S) == Progress(1, 2, "12")
        assert isinstance(other_follower.next(WAIT_S), Preview)
        assert follower.next(0) is None


def test_events_before_following_are_kept(server: FakeServer, client: ComfyClient) -> None:
    answer = {"prompt_id": str(PROMPT), "number": 0, "node_errors": {}}
    server.answer("POST", "/prompt", answer)

    with client.follow(UUID(int=1)) as probe:
        server.joined.get(timeout=WAIT_S)
        client.submit({}, prompt_id=PROMPT)
        server.send(message("execution_start"))
        server.send(message("execution_start", UUID(int=1)))
        assert probe.next(WAIT_S) == Started()  # both have been read

    with client.follow(PROMPT) as follower:
        assert follower.next(0) == Started()


def test_two_followers_of_one_prompt_each_get_its_events(
    server: FakeServer, client: ComfyClient
) -> None:
    with client.follow(PROMPT) as one, client.follow(PROMPT) as other:
        server.joined.get(timeout=WAIT_S)
        server.send(message("execution_start"))
        assert [one.next(WAIT_S), other.next(WAIT_S)] == [Started(), Started()]
        one.close()
        server.send(message("executing", node=None))
        assert other.next(WAIT_S) == Finished()
        assert one.next(0) is None


def test_followers_are_told_of_a_dropped_socket_and_of_the_next_one(
    server: FakeServer, client: ComfyClient
) -> None:
    with client.follow(PROMPT) as follower:
        server.joined.get(timeout=WAIT_S)
        server.drop_sockets()
        assert follower.next(WAIT_S) == Disconnected()
        assert follower.next(WAIT_S) == Reconnected()
        server.joined.get(timeout=WAIT_S)
        server.send(message("execution_start"))
        assert follower.next(WAIT_S) == Started()


def test_a_half_open_socket_is_noticed(server: FakeServer, make_client: MakeClient) -> None:
    server.answers_pings = False
    client = make_client(
        server, sockets=SocketTimeouts(ping_s=0.02, pong_s=0.05, retry_first_s=0.01)
    )

    with client.follow(PROMPT) as follower:
        assert follower.next(WAIT_S) == Disconnected()


def test_without_a_socket_submitting_works_and_the_follower_is_told(
    server: FakeServer, client: ComfyClient
) -> None:
    server.has_sockets = False
    server.answer("POST", "/prompt", {"prompt_id": str(PROMPT), "number": 4, "node_errors": {}})

    with client.follow(PROMPT) as follower:
        assert follower.next(0) == Disconnected()
        assert client.submit({}, prompt_id=PROMPT).number == 4
        assert not client.is_connected
        server.has_sockets = True
        server.joined.get(timeout=WAIT_S)
        assert follower.next(WAIT_S) == Reconnected()


def test_closing_ends_a_handshake_that_gets_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = ComfyClient(f"http://127.0.0.1:{listener.getsockname()[1]}")
        waiting = threading.Thread(target=client.follow, args=(PROMPT,))
        waiting.start()
        accepted, _ = listener.accept()
        with accepted:
            began = time.monotonic()
            client.close()
            took_s = time.monotonic() - began
        waiting.join()

    assert took_s < 1.0


def test_closing_ends_the_reader_thread(server: FakeServer) -> None:
    with ComfyClient(server.base_url) as client, client.follow(PROMPT):
        server.joined.get(timeout=WAIT_S)
        assert [thread for thread in threading.enumerate() if thread.name == "comfy-socket"]

    assert not [thread for thread in threading.enumerate() if thread.name == "comfy-socket"]


def test_a_client_that_only_asks_opens_no_socket(server: FakeServer, client: ComfyClient) -> None:
    server.answer("GET", "/prompt", {"exec_info": {"queue_remaining": 0}})

    client.queue_remaining()

    assert server.joined.empty()
    assert not client.is_connected
