"""The client: ways to ask and to cancel on servers of several ages, and many threads at once."""

import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import web

from workers.comfy.client import ComfyClient
from workers.comfy.errors import (
    BadReply,
    FileMissing,
    FileTooLarge,
    FileWaiting,
    LoginRequired,
    NodeUnreachable,
    Refused,
    SaveFailed,
    TruncatedFile,
)
from workers.comfy.protocol import Finished, OutputFile, Started
from workers.comfy.records import PromptStatus, SaveState, SaveStatus
from workers.comfy.tests.conftest import QUICK, MakeClient
from workers.comfy.tests.fake_server import (
    WAIT_S,
    FakeServer,
    Handler,
    chunked,
    half,
    hang_up,
    never,
    respond,
)
from workers.comfy.tests.replay import png

PROMPT = UUID("0A0B0C0D-0000-4000-8000-00000000ABCD")
KEY = "0a0b0c0d-0000-4000-8000-00000000abcd"
PROMISED, FILE_PATH = OutputFile("a.png", "llamasketch/a b", "output", "9"), "/llamasketch/file"
ACCEPTED = {"prompt_id": KEY, "number": 0, "node_errors": {}}


def entry(key: str) -> list[Any]:
    return [1, key, {}, {}, ["14"]]


def queue(server: FakeServer, *, running: str | None = None, pending: str | None = None) -> None:
    reply = {
        "queue_running": [entry(running)] if running else [],
        "queue_pending": [entry("other"), entry(pending)] if pending else [],
    }
    server.answer("GET", "/queue", reply)


def older(server: FakeServer) -> None:
    """Answer a cancel as 0.8 does."""
    server.answer("POST", f"/api/jobs/{KEY}/cancel", b"405: Method Not Allowed", status=405)


def test_submitting_sends_the_id_in_canonical_form_and_no_number(
    server: FakeServer, client: ComfyClient
) -> None:
    server.answer("POST", "/prompt", ACCEPTED)

    client.submit({"1": {}}, prompt_id=PROMPT, preview="none")

    sent = server.received[0].json
    assert sorted(sent) == ["client_id", "extra_data", "prompt", "prompt_id"]
    assert sent["prompt"] == {"1": {}}
    assert sent["prompt_id"] == KEY
    assert sent["extra_data"] == {"preview_method": "none"}
    assert str(UUID(sent["client_id"])) == sent["client_id"]


def test_a_graph_that_is_no_json_is_not_sent(server: FakeServer, client: ComfyClient) -> None:
    with pytest.raises(ValueError, match="JSON"):
        client.submit({"1": {"inputs": {"cfg": float("nan")}}}, prompt_id=PROMPT)

    assert server.received == []


def test_a_partly_refused_prompt_is_cancelled_and_refused(
    server: FakeServer, client: ComfyClient
) -> None:
    problem = {"type": "value_not_in_list", "message": "Value not in list", "details": ""}
    problem["extra_info"] = {"input_name": "vae_name", "received_value": "a"}  # type: ignore[assignment]  # JSON
    errors = {"2": {"class_type": "VAELoader", "errors": [problem], "dependent_outputs": ["15"]}}
    server.answer("POST", "/prompt", {**ACCEPTED, "node_errors": errors})
    server.answer("POST", f"/api/jobs/{KEY}/cancel", {"cancelled": True})

    with pytest.raises(Refused) as caught:
        client.submit({}, prompt_id=PROMPT)

    assert caught.value.reason == "partly_refused"
    assert caught.value.missing_model == "a"
    assert len(server.requests_for(f"/api/jobs/{KEY}/cancel")) == 1


def test_a_partly_refused_prompt_is_refused_even_if_cancelling_fails(
    server: FakeServer, client: ComfyClient
) -> None:
    errors = {"2": {"class_type": "VAELoader", "errors": []}}
    server.answer("POST", "/prompt", {**ACCEPTED, "node_errors": errors})
    server.handlers["POST", f"/api/jobs/{KEY}/cancel"] = hang_up

    with pytest.raises(Refused) as caught:
        client.submit({}, prompt_id=PROMPT)

    assert caught.value.reason == "partly_refused"
    assert "Cancelling" in caught.value.__notes__[0]


def test_a_refused_id_may_be_sent_again(server: FakeServer, client: ComfyClient) -> None:
    server.answer("POST", "/prompt", {"error": {"type": "x", "message": "X"}}, status=400)
    with pytest.raises(Refused):
        client.submit({}, prompt_id=PROMPT)
    server.answer("POST", "/prompt", ACCEPTED)

    assert client.submit({}, prompt_id=PROMPT).number == 0


@pytest.mark.parametrize("missing", [b"404: Not Found", b"", b'{"detail": "no route"}'])
def test_the_verdict_without_the_jobs_route(
    server: FakeServer, client: ComfyClient, missing: bytes
) -> None:
    path = f"/api/jobs/{KEY}"
    server.answer("GET", path, missing, status=404, content_type="text/plain")
    server.answer("GET", f"/history/{KEY}", {})

    queue(server, pending=KEY)
    assert client.verdict(PROMPT).status is PromptStatus.PENDING
    queue(server, running=KEY)
    assert client.verdict(PROMPT).status is PromptStatus.RUNNING
    queue(server)
    assert client.verdict(PROMPT).status is PromptStatus.UNKNOWN
    history = {KEY: {"outputs": {}, "status": {"status_str": "success", "messages": []}}}
    server.answer("GET", f"/history/{KEY}", history)
    assert client.verdict(PROMPT).status is PromptStatus.COMPLETED

    # What a server does not know is asked once.
    assert len(server.requests_for(path)) == 1


def test_a_server_is_asked_again_after_it_was_away(server: FakeServer, client: ComfyClient) -> None:
    path = f"/api/jobs/{KEY}"
    queue(server)
    server.answer("GET", f"/history/{KEY}", {})
    assert client.verdict(PROMPT).status is PromptStatus.UNKNOWN
    server.handlers["GET", "/queue"] = hang_up
    with pytest.raises(NodeUnreachable):
        client.verdict(PROMPT)

    server.answer("GET", path, {"status": "in_progress"})

    assert client.verdict(PROMPT).status is PromptStatus.RUNNING


def test_cancelling_a_running_prompt_on_an_older_server(
    server: FakeServer, client: ComfyClient
) -> None:
    older(server)
    queue(server, running=KEY)
    server.answer("POST", "/interrupt")

    client.cancel(PROMPT)
    client.cancel(PROMPT)

    assert [request.json for request in server.requests_for("/interrupt")] == [
        {"prompt_id": KEY},
        {"prompt_id": KEY},
    ]
    assert len(server.requests_for(f"/api/jobs/{KEY}/cancel")) == 1


def test_cancelling_a_pending_prompt_on_an_older_server(
    server: FakeServer, client: ComfyClient
) -> None:
    older(server)
    queue(server, running="other", pending=KEY)
    server.answer("POST", "/queue")

    client.cancel(PROMPT)

    assert [r.json for r in server.requests_for("/queue") if r.method == "POST"] == [
        {"delete": [KEY]}
    ]
    assert server.requests_for("/interrupt") == []


def test_cancelling_a_prompt_that_starts_in_that_moment(
    server: FakeServer, client: ComfyClient
) -> None:
    older(server)
    queue(server, pending=KEY)
    server.answer("POST", "/interrupt")

    async def too_late(_request: web.Request) -> web.StreamResponse:
        queue(server, running=KEY)
        return respond()

    server.handlers["POST", "/queue"] = too_late

    client.cancel(PROMPT)

    assert server.requests_for("/interrupt")[0].json == {"prompt_id": KEY}


@pytest.mark.parametrize("running", [None, "other"])
def test_cancelling_an_unknown_prompt_interrupts_nobody(
    server: FakeServer, client: ComfyClient, running: str | None
) -> None:
    older(server)
    queue(server, running=running)

    client.cancel(PROMPT)

    assert {request.method for request in server.received[1:]} == {"GET"}


def test_a_job_that_the_cancel_route_does_not_know_is_left_alone(
    server: FakeServer, client: ComfyClient
) -> None:
    server.answer("POST", f"/api/jobs/{KEY}/cancel", {"error": "Job not found"}, status=404)

    client.cancel(PROMPT)

    assert len(server.received) == 1


@pytest.mark.parametrize(("status", "body"), [(404, b"404: Not Found"), (405, b"")])
def test_a_server_without_the_pack_knows_of_no_saves(
    server: FakeServer, client: ComfyClient, status: int, body: bytes
) -> None:
    server.answer("GET", "/llamasketch/saves", body, status=status, content_type="text/plain")

    assert client.save_states("llamasketch/a") == {}


def test_saves_are_asked_for_by_subfolder(server: FakeServer, client: ComfyClient) -> None:
    files = {"a.webp": {"state": "failed", "error": "No space left on device"}}
    server.answer("GET", "/llamasketch/saves", {"files": files})

    states = client.save_states("llamasketch/a b")

    assert states == {"a.webp": SaveState(SaveStatus.FAILED, "No space left on device")}
    assert server.received[0].query == {"subfolder": "llamasketch/a b"}


def test_a_server_that_is_away_is_no_server_without_the_pack(
    server: FakeServer, client: ComfyClient
) -> None:
    server.handlers["GET", "/llamasketch/saves"] = hang_up

    with pytest.raises(NodeUnreachable):
        client.save_states("llamasketch/a")


def test_saves_of_another_shape_are_a_bad_reply(server: FakeServer, client: ComfyClient) -> None:
    server.answer("GET", "/llamasketch/saves", b"<html>", content_type="text/html")

    with pytest.raises(BadReply):
        client.save_states("llamasketch/a")


def promised(client: ComfyClient, *, max_bytes: int = 10_000, **more: Any) -> bytes:
    buffer = io.BytesIO()
    client.fetch_promised(PROMISED, buffer, max_bytes=max_bytes, wait_s=2.5, **more)
    return buffer.getvalue()


def test_a_promised_file_is_asked_for_by_subfolder_and_name(
    server: FakeServer, client: ComfyClient
) -> None:
    server.answer("GET", FILE_PATH, png(text=b"a private prompt"), content_type="image/png")

    data = promised(client)

    assert data == png()
    (request,) = server.received
    assert request.query == {"subfolder": "llamasketch/a b", "name": "a.png", "wait_s": "2.5"}


@pytest.mark.parametrize(("is_early", "sent"), [(True, {"early": "1"}), (False, {})])
def test_a_file_that_is_not_promised_yet_is_waited_for_where_that_is_asked(
    server: FakeServer, client: ComfyClient, is_early: bool, sent: dict[str, str]
) -> None:
    server.answer("GET", FILE_PATH, png(), content_type="image/png")

    assert promised(client, is_early=is_early) == png()

    (request,) = server.received
    asked = {"subfolder": "llamasketch/a b", "name": "a.png", "wait_s": "2.5"}
    assert request.query == asked | sent


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize(
    "body", [b"", b"404: Not Found", b"<html>", b'{"state": "unknown"}', b"x" * 10**6]
)
def test_a_promised_file_that_a_server_does_not_know_is_missing(
    server: FakeServer, client: ComfyClient, status: int, body: bytes
) -> None:
    server.answer("GET", FILE_PATH, body, status=status, content_type="text/plain")

    with pytest.raises(FileMissing):
        promised(client)


def test_a_promised_file_that_waits_or_failed_is_told_by_the_server(
    server: FakeServer, client: ComfyClient
) -> None:
    server.answer("GET", FILE_PATH, {"state": "waiting"}, status=202)
    with pytest.raises(FileWaiting):
        promised(client)

    server.answer("GET", FILE_PATH, {"state": "failed", "error": "No" * 900}, status=409)
    with pytest.raises(SaveFailed) as caught:
        promised(client)

    assert caught.value.problem == ("No" * 900)[:200]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (409, b"<html>", BadReply),
        (409, b'{"detail": "conflict"}', BadReply),
        (202, b"", BadReply),
        (202, b'{"state": "soon"}', BadReply),
        (200, b"<html>, and not an image", BadReply),
        (200, b"", TruncatedFile),
        (200, png()[:-1], TruncatedFile),
        (400, b"", Refused),
        (401, b"", LoginRequired),
        (403, b"", Refused),
        (500, b"", BadReply),
        (502, b"", NodeUnreachable),
    ],
)
def test_other_answers_about_a_promised_file(
    server: FakeServer, client: ComfyClient, status: int, body: bytes, error: type[Exception]
) -> None:
    server.answer("GET", FILE_PATH, body, status=status, content_type="text/plain")

    with pytest.raises(error) as caught:
        promised(client)

    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("handler", "max_bytes", "error"),
    [
        pytest.param(half(png(size_bytes=5000)), 10_000, TruncatedFile, id="cut"),
        pytest.param(half(png(size_bytes=5000)), 4999, FileTooLarge, id="announced"),
        pytest.param(chunked(png(size_bytes=5000)), 4999, FileTooLarge, id="unannounced"),
        pytest.param(hang_up, 10_000, NodeUnreachable, id="broken"),
        pytest.param(never, 10_000, NodeUnreachable, id="silent"),
    ],
)
def test_a_promised_file_that_does_not_come_whole(
    server: FakeServer,
    make_client: MakeClient,
    handler: Handler,
    max_bytes: int,
    error: type[Exception],
) -> None:
    server.handlers["GET", FILE_PATH] = handler

    with pytest.raises(error):
        promised(make_client(server, timeouts=QUICK), max_bytes=max_bytes)


def test_asking_for_a_promised_file_again_takes_no_new_connection(
    server: FakeServer, client: ComfyClient
) -> None:
    peers = set()

    async def waiting(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        statuses = {202: "waiting", 404: "unknown", 409: "failed"}
        status = list(statuses)[len(server.received) % 3]
        return respond({"state": statuses[status]}, status=status)

    server.handlers["GET", FILE_PATH] = waiting

    for _ in range(6):
        with pytest.raises((FileWaiting, FileMissing, SaveFailed)):
            promised(client)

    assert len(peers) == 1


def test_many_threads_share_one_client(server: FakeServer, client: ComfyClient) -> None:
    async def accept(request: web.Request) -> web.StreamResponse:
        sent = json.loads(await request.text())
        return respond({"prompt_id": sent["prompt_id"], "number": 1, "node_errors": {}})

    async def verdict(request: web.Request) -> web.StreamResponse:
        key = request.path.rpartition("/")[2]
        images = [{"filename": f"{key}.png", "subfolder": "", "type": "output"}]
        return respond({"status": "completed", "outputs": {"14": {"images": images}}})

    async def view(request: web.Request) -> web.StreamResponse:
        # A file that only this prompt has: its length.
        size_bytes = 1000 + UUID(request.query["filename"][:36]).int % 5000
        return respond(png(size_bytes=size_bytes), content_type="image/png")

    server.handlers["POST", "/prompt"] = accept
    server.handlers["GET", "/view"] = view
    server.fallback = verdict
    start = threading.Barrier(16)

    def work(prompt_id: UUID) -> None:
        start.wait()
        with client.follow(prompt_id) as follower:
            client.submit({}, prompt_id=prompt_id)
            for kind, data in (("execution_start", {}), ("executing", {"node": None})):
                server.send({"type": kind, "data": {"prompt_id": str(prompt_id), **data}})
            assert [follower.next(WAIT_S) for _ in range(2)] == [Started(), Finished()]
            assert follower.next(0) is None
        files = client.verdict(prompt_id).files
        assert files == (OutputFile(f"{prompt_id}.png", "", "output", "14"),)
        fetched = client.fetch(files[0], io.BytesIO(), max_bytes=10_000)
        assert fetched.size_bytes == 1000 + prompt_id.int % 5000

    with client.follow(PROMPT):
        server.joined.get(timeout=WAIT_S)
        with ThreadPoolExecutor(16) as pool:
            for done in [pool.submit(work, uuid4()) for _ in range(16)]:
                done.result()

    # One socket, and one session for each thread.
    assert server.joined.empty()
