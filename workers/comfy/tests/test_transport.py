"""Failures of the network, and what each says about what was done."""

import asyncio
import base64
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from uuid import UUID

import pytest
from aiohttp import web

from workers.comfy.client import ComfyClient
from workers.comfy.connection import SocketTimeouts
from workers.comfy.errors import BadReply, NodeUnreachable, OutcomeUnknown, Refused
from workers.comfy.tests.conftest import QUICK, MakeClient
from workers.comfy.tests.fake_server import (
    WAIT_S,
    FakeServer,
    Handler,
    half,
    hang_up,
    never,
    respond,
    trickle,
)
from workers.comfy.transport import Timeouts

PROMPT = UUID(int=7)
JOB = f"/api/jobs/{PROMPT}"
ANSWER = b'{"prompt_id": "00000000-0000-0000-0000-000000000007", "number": 1}'

Call = Callable[[ComfyClient], object]


def read(client: ComfyClient) -> object:
    return client.verdict(PROMPT)


def submit(client: ComfyClient) -> object:
    return client.submit({}, prompt_id=PROMPT)


def cancel(client: ComfyClient) -> object:
    client.cancel(PROMPT)
    return None


def upload(client: ComfyClient) -> object:
    return client.upload_image(b"sketch")


def free(client: ComfyClient) -> object:
    client.free()
    return None


PATHS: dict[Call, tuple[str, str]] = {
    read: ("GET", JOB),
    submit: ("POST", "/prompt"),
    cancel: ("POST", f"{JOB}/cancel"),
    upload: ("POST", "/upload/image"),
    free: ("POST", "/free"),
}


def status(code: int) -> Handler:
    async def handler(_request: web.Request) -> web.StreamResponse:
        return respond(b"trouble", status=code, content_type="text/plain")

    return handler


@pytest.mark.parametrize("call", PATHS, ids=lambda call: call.__name__)
def test_nothing_was_done_where_nobody_listens(call: Call) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with (
        ComfyClient(f"http://127.0.0.1:{port}") as client,
        pytest.raises(NodeUnreachable) as caught,
    ):
        call(client)

    assert not caught.value.timed_out


@pytest.mark.parametrize(
    "failure",
    [never, hang_up, half(ANSWER), trickle(ANSWER), status(500), status(502), status(504)],
    ids=["silence", "hang-up", "half", "trickle", "500", "502", "504"],
)
@pytest.mark.parametrize("call", [submit, cancel, free], ids=lambda call: call.__name__)
def test_a_change_without_an_answer_may_have_been_made(
    server: FakeServer, make_client: MakeClient, call: Call, failure: Handler
) -> None:
    server.handlers[PATHS[call]] = failure

    with pytest.raises(OutcomeUnknown):
        call(make_client(server, timeouts=QUICK))

    # Never sent a second time by itself.
    assert len(server.requests_for(PATHS[call][1])) == 1


@pytest.mark.parametrize(
    ("failure", "timed_out"),
    [(never, True), (hang_up, False), (half(ANSWER), False), (trickle(ANSWER), True)],
    ids=["silence", "hang-up", "half", "trickle"],
)
def test_reading_without_an_answer_did_nothing(
    server: FakeServer, make_client: MakeClient, failure: Handler, timed_out: bool
) -> None:
    server.handlers["GET", JOB] = failure

    with pytest.raises(NodeUnreachable) as caught:
        read(make_client(server, timeouts=QUICK))

    assert caught.value.timed_out is timed_out
    # What passes soon is tried again at once; silence is not, it would only take as long again.
    assert len(server.received) == (1 if timed_out else 3)


def test_a_read_succeeds_after_a_broken_connection(server: FakeServer, client: ComfyClient) -> None:
    async def once(request: web.Request) -> web.StreamResponse:
        server.answer("GET", "/prompt", {"exec_info": {"queue_remaining": 3}})
        return await hang_up(request)

    server.handlers["GET", "/prompt"] = once

    assert client.queue_remaining() == 3


def test_an_upload_is_tried_again(server: FakeServer, client: ComfyClient) -> None:
    stored = {"name": "a.png", "subfolder": "llamasketch", "type": "input"}

    async def once(request: web.Request) -> web.StreamResponse:
        server.answer("POST", "/upload/image", stored)
        return await hang_up(request)

    server.handlers["POST", "/upload/image"] = once

    assert client.upload_image(b"x").reference == "llamasketch/a.png"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b"null",
        b'{"status": 7}',
        b'{"status": "dancing"}',
        b'{"a":' * 10_000,
    ],
    ids=["empty", "text", "array", "null", "wrong-type", "unknown-word", "deep"],
)
def test_garbage_is_a_bad_reply(server: FakeServer, client: ComfyClient, body: bytes) -> None:
    server.answer("GET", JOB, body, content_type="application/json")

    with pytest.raises(BadReply):
        read(client)


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", b"{}", b'{"prompt_id": "another", "number": 1}', b'{"prompt_id": 3}'],
)
def test_a_submission_answered_by_garbage_may_be_queued(
    server: FakeServer, client: ComfyClient, body: bytes
) -> None:
    server.answer("POST", "/prompt", body, content_type="application/json")

    with pytest.raises(OutcomeUnknown):
        submit(client)


@pytest.mark.parametrize(("code", "error"), [(500, BadReply), (503, NodeUnreachable)])
def test_a_server_error_while_reading(
    server: FakeServer, client: ComfyClient, code: int, error: type[Exception]
) -> None:
    server.handlers["GET", JOB] = status(code)

    with pytest.raises(error):
        read(client)


def test_redirects_are_not_followed(server: FakeServer, client: ComfyClient) -> None:
    async def elsewhere(_request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/elsewhere")

    server.handlers["GET", JOB] = elsewhere
    server.handlers["POST", "/prompt"] = elsewhere

    with pytest.raises(BadReply):
        read(client)
    with pytest.raises(Refused):
        submit(client)
    assert server.requests_for("/elsewhere") == []


def test_an_endless_answer_is_cut_off(server: FakeServer, client: ComfyClient) -> None:
    server.answer("GET", JOB, bytes(65 * 1024 * 1024), content_type="application/json")

    with pytest.raises(BadReply):
        read(client)


def test_proxies_of_the_environment_are_not_used(
    server: FakeServer, client: ComfyClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    server.answer("GET", "/prompt", {"exec_info": {"queue_remaining": 0}})

    assert client.queue_remaining() == 0
    with client.follow(PROMPT):
        server.joined.get(timeout=WAIT_S)


def test_a_name_a_password_and_a_path_in_the_address_are_used(server: FakeServer) -> None:
    server.answer("GET", "/comfy/prompt", {"exec_info": {"queue_remaining": 0}})
    address = server.base_url.replace("http://", "http://operator:p%40ss@")

    with ComfyClient(f"{address}/comfy/") as client:
        assert client.queue_remaining() == 0

    (asked,) = server.requests_for("/comfy/prompt")
    said = base64.b64encode(b"operator:p@ss").decode()
    assert asked.headers["Authorization"] == f"Basic {said}"


def test_a_closed_client_leaves_no_connection_open(server: FakeServer, client: ComfyClient) -> None:
    server.answer("GET", "/prompt", {"exec_info": {"queue_remaining": 0}})
    assert client.queue_remaining() == 0

    client.close()

    with pytest.raises(NodeUnreachable):
        client.queue_remaining()


def test_a_server_that_takes_connections_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with ComfyClient(url, timeouts=QUICK) as client:
            with pytest.raises(NodeUnreachable) as reading:
                read(client)
            with pytest.raises(OutcomeUnknown):
                submit(client)

    assert reading.value.timed_out
    assert not [thread for thread in threading.enumerate() if thread.name == "comfy-socket"]


def test_a_server_that_takes_no_connections_in_time() -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        # Fill its queue: further connections are neither accepted nor refused.
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = stack.enter_context(
            ComfyClient(
                url,
                timeouts=Timeouts(connect_s=0.2),
                socket_timeouts=SocketTimeouts(connect_s=0.2),
            )
        )

        with pytest.raises(NodeUnreachable) as caught:
            submit(client)

    assert caught.value.timed_out


def test_an_idle_connection_that_the_server_closed_is_not_used(
    server: FakeServer, client: ComfyClient
) -> None:
    transports: list[asyncio.Transport] = []

    async def remember(request: web.Request) -> web.StreamResponse:
        assert isinstance(request.transport, asyncio.Transport)
        transports.append(request.transport)
        return respond({"exec_info": {"queue_remaining": 0}})

    async def close() -> None:
        transports[0].close()

    server.handlers["GET", "/prompt"] = remember
    server.answer("POST", "/prompt", ANSWER, content_type="application/json")
    client.queue_remaining()
    server.run(close())

    assert client.submit({}, prompt_id=PROMPT).number == 1
