"""The traps of ComfyUI's interface, under the numbers that docs/comfyui.md gives them."""

import io
import json
from uuid import UUID, uuid4

import pytest

from workers.comfy.client import ComfyClient, Submission
from workers.comfy.errors import LoginRequired, OutcomeUnknown, Refused
from workers.comfy.images import content_name
from workers.comfy.mailboxes import Mailbox
from workers.comfy.protocol import (
    Disconnected,
    Finished,
    OutputFile,
    Preview,
    Progress,
    Reconnected,
    Started,
    Succeeded,
)
from workers.comfy.records import PromptErrorKind, PromptStatus
from workers.comfy.tests.fake_server import WAIT_S, FakeServer, hang_up
from workers.comfy.tests.replay import Recording, png

PROMPT = UUID("5346c49c-63e3-4d9f-a474-bb83f936ac18")
FILE = OutputFile("a.png", "", "output", "14")


def accept(server: FakeServer, prompt_id: UUID = PROMPT) -> None:
    server.answer("POST", "/prompt", {"prompt_id": str(prompt_id), "number": 0, "node_errors": {}})


def job(server: FakeServer, status: str, prompt_id: UUID = PROMPT) -> None:
    record = {"id": str(prompt_id), "status": status, "outputs": {}}
    server.answer("GET", f"/api/jobs/{prompt_id}", record)


def message(kind: str, prompt_id: UUID = PROMPT, **data: object) -> dict[str, object]:
    return {"type": kind, "data": {"prompt_id": str(prompt_id), **data}}


def test_trap_01_an_id_that_may_have_arrived_is_asked_for_before_it_is_sent_again(
    server: FakeServer, client: ComfyClient
) -> None:
    server.handlers["POST", "/prompt"] = hang_up

    with pytest.raises(OutcomeUnknown):
        client.submit({}, prompt_id=PROMPT)
    job(server, "in_progress")
    again = client.submit({}, prompt_id=PROMPT)

    assert again == Submission(str(PROMPT), None)
    assert len(server.requests_for("/prompt")) == 1


def test_trap_01_an_id_that_did_not_arrive_is_sent_again(
    server: FakeServer, client: ComfyClient
) -> None:
    server.handlers["POST", "/prompt"] = hang_up
    server.answer("GET", f"/api/jobs/{PROMPT}", {"error": "Job not found"}, status=404)

    with pytest.raises(OutcomeUnknown):
        client.submit({}, prompt_id=PROMPT)
    accept(server)

    assert client.submit({}, prompt_id=PROMPT) == Submission(str(PROMPT), 0)
    assert len(server.requests_for("/prompt")) == 2


def test_trap_01_another_process_may_have_sent_it(server: FakeServer, client: ComfyClient) -> None:
    accept(server)
    job(server, "pending")

    assert client.submit({}, prompt_id=PROMPT, ask_first=True).number is None
    assert server.requests_for("/prompt") == []


def test_trap_02_success_is_not_the_end_before_the_record_is_written(
    server: FakeServer, client: ComfyClient
) -> None:
    with client.follow(PROMPT) as follower:
        server.joined.get(timeout=WAIT_S)
        server.send(message("execution_start"))
        server.send(message("execution_success"))
        server.send(message("executing", node=None))

        events = [follower.next(WAIT_S) for _ in range(3)]

    assert events == [Started(), Succeeded(), Finished()]  # only the last has the record asked for


def test_trap_03_every_connection_has_a_client_id_of_its_own_and_sends_its_features(
    server: FakeServer, client: ComfyClient
) -> None:
    accept(server)
    sockets = []

    with client.follow(PROMPT) as follower:
        for _ in range(3):
            sockets.append(server.joined.get(timeout=WAIT_S))
            server.drop_sockets()
            assert follower.next(WAIT_S) == Disconnected()
            assert follower.next(WAIT_S) == Reconnected()
        sockets.append(server.joined.get(timeout=WAIT_S))
        client.submit({}, prompt_id=PROMPT)

    assert len({socket.client_id for socket in sockets}) == 4
    assert all(
        json.loads(socket.first_message)
        == {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
        for socket in sockets
    )
    # Events go to the socket whose id the prompt was submitted under.
    assert server.requests_for("/prompt")[0].json["client_id"] == sockets[-1].client_id


def test_trap_04_a_follower_that_never_reads_holds_nobody_up(
    server: FakeServer, client: ComfyClient
) -> None:
    slow, quick = uuid4(), uuid4()
    frame = json.dumps({"prompt_id": str(slow), "node_id": "12", "image_type": "image/jpeg"})
    preview = (4).to_bytes(4) + len(frame).to_bytes(4) + frame.encode() + bytes(100_000)

    with client.follow(slow) as slow_follower, client.follow(quick) as quick_follower:
        server.joined.get(timeout=WAIT_S)
        for step in range(400):
            server.send(message("progress", slow, value=step, max=400, node="12"))
            server.send(preview)
        server.send(message("executing", slow, node=None))
        server.send(message("executing", quick, node=None))

        assert quick_follower.next(WAIT_S) == Finished()
        waiting = []
        while (event := slow_follower.next(0)) is not None:
            waiting.append(event)

    assert len(waiting) <= 256
    assert len([event for event in waiting if isinstance(event, Preview)]) <= 1
    assert waiting[-2:] == [Progress(399, 400, "12"), Finished()]


def test_trap_05_a_dead_execution_thread_shows_as_silence(
    server: FakeServer, client: ComfyClient
) -> None:
    now = [100.0]
    mailbox = Mailbox(clock=lambda: now[0])
    now[0] = 160.0
    assert mailbox.silent_s == 60
    mailbox.touch()
    assert mailbox.silent_s == 0

    # HTTP goes on answering, and the prompt goes on "running".
    job(server, "in_progress")
    server.answer("GET", "/prompt", {"exec_info": {"queue_remaining": 1}})
    with client.follow(PROMPT) as follower:
        assert client.verdict(PROMPT).status is PromptStatus.RUNNING
        assert client.queue_remaining() == 1
        before = follower.silent_s
        assert follower.next(0) is None
        assert follower.silent_s > before


def test_trap_06_an_old_failure_is_read_back_under_the_same_id(
    server: FakeServer, client: ComfyClient
) -> None:
    accept(server)
    client.submit({}, prompt_id=PROMPT)
    job(server, "failed")

    # The client does not pretend to have started anything: one id per attempt.
    assert client.submit({}, prompt_id=PROMPT).number is None
    assert client.verdict(PROMPT).status is PromptStatus.FAILED
    assert len(server.requests_for("/prompt")) == 1


def test_trap_07_a_lost_cancel_is_seen_in_the_verdict_and_asked_again(
    server: FakeServer, client: ComfyClient
) -> None:
    path = f"/api/jobs/{PROMPT}/cancel"
    server.answer("POST", path, {"cancelled": True})
    job(server, "in_progress")

    client.cancel(PROMPT)
    assert client.verdict(PROMPT).status is PromptStatus.RUNNING
    client.cancel(PROMPT)
    job(server, "cancelled")

    assert client.verdict(PROMPT).status is PromptStatus.CANCELLED
    assert len(server.requests_for(path)) == 2


def test_trap_08_a_cached_prompt_names_an_earlier_file(
    server: FakeServer, client: ComfyClient
) -> None:
    # The graph's own folder for each prompt shows it: workers/workflows/tests/test_build.py.
    recording = Recording.load("cached_resubmit")
    history = recording.requests()[-1]["response"]
    prompt_id = UUID(recording.prompt_ids()[0])
    server.answer("GET", "/queue", {"queue_running": [], "queue_pending": []})
    server.answer("GET", f"/history/{prompt_id}", history)

    verdict = client.verdict(prompt_id)

    assert verdict.status is PromptStatus.COMPLETED
    assert str(prompt_id) not in verdict.files[0].subfolder


def test_trap_09_uploads_are_named_by_content_and_never_overwrite(
    server: FakeServer, client: ComfyClient
) -> None:
    one, other = png(text=b"one"), png(text=b"other")
    server.answer(
        "POST", "/upload/image", {"name": "x.png", "subfolder": "llamasketch", "type": "input"}
    )

    client.upload_image(one)

    body = server.received[0].body
    assert content_name(one) != content_name(other)
    assert content_name(one) == content_name(bytes(one))
    assert content_name(one).endswith(".png")
    assert f'filename="{content_name(one)}"'.encode() in body
    assert b"overwrite" not in body


def test_trap_10_a_restarted_server_knows_no_prompt_and_still_has_the_files(
    server: FakeServer, client: ComfyClient
) -> None:
    server.answer("GET", f"/api/jobs/{PROMPT}", {"error": "Job not found"}, status=404)
    server.answer("GET", "/view", png(), content_type="image/png")

    verdict = client.verdict(PROMPT)

    assert verdict.status is PromptStatus.UNKNOWN
    assert not verdict.status.is_terminal
    assert client.fetch(FILE, io.BytesIO(), max_bytes=1000).content_type == "image/png"


def test_trap_11_running_out_of_memory_is_told_apart_and_memory_can_be_freed(
    server: FakeServer, client: ComfyClient
) -> None:
    record = Recording.load("out_of_memory").requests()[-1]["response"]
    server.answer("GET", f"/api/jobs/{record['id']}", record)
    server.answer("POST", "/free")

    error = client.verdict(UUID(record["id"])).error
    client.free()

    assert error is not None
    assert error.kind is PromptErrorKind.OUT_OF_MEMORY
    assert server.received[-1].json == {"unload_models": True, "free_memory": True}


def test_trap_12_a_black_image_is_whole_and_its_prompt_completed(
    server: FakeServer, client: ComfyClient
) -> None:
    # Nothing in the protocol shows it; whoever saves the image looks at the pixels.
    job(server, "completed")
    server.answer("GET", "/view", png(), content_type="image/png")

    assert client.verdict(PROMPT).error is None
    assert client.fetch(FILE, io.BytesIO(), max_bytes=1000).size_bytes == len(png())


def test_trap_13_no_request_has_an_origin(server: FakeServer, client: ComfyClient) -> None:
    accept(server)
    job(server, "pending")

    with client.follow(PROMPT):
        socket = server.joined.get(timeout=WAIT_S)
        client.submit({}, prompt_id=PROMPT)
        client.verdict(PROMPT)

    sent = [socket.headers, *(request.headers for request in server.received)]
    assert len(sent) == 3
    assert not [headers for headers in sent if "origin" in {name.lower() for name in headers}]


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [(401, LoginRequired, "login_required"), (403, Refused, "forbidden")],
)
def test_trap_13_a_proxy_that_wants_a_login_is_told_apart(
    server: FakeServer, client: ComfyClient, status: int, error: type[Refused], reason: str
) -> None:
    for method, path in (("GET", "/prompt"), ("POST", "/prompt")):
        server.answer(method, path, b"no", status=status, content_type="text/plain")

    with pytest.raises(error) as reading:
        client.queue_remaining()
    with pytest.raises(error) as submitting:
        client.submit({}, prompt_id=PROMPT)

    assert {reading.value.reason, submitting.value.reason} == {reason}


def test_trap_14_the_workflow_in_a_png_is_not_handed_on(
    server: FakeServer, client: ComfyClient
) -> None:
    served = png(text=b'{"6": {"inputs": {"text": "a private prompt"}}}')
    server.answer("GET", "/view", served, content_type="image/png")
    file = io.BytesIO()

    fetched = client.fetch(FILE, file, max_bytes=10_000)

    assert b"private" in served
    assert file.getvalue() == png()
    assert fetched.size_bytes == len(png())


def test_trap_15_progress_state_is_passed_over_unread(
    server: FakeServer, client: ComfyClient
) -> None:
    with client.follow(PROMPT) as follower:
        server.joined.get(timeout=WAIT_S)
        server.send('{"type": "progress_state", "data": {"nodes": ' + "[" * 100_000)
        server.send(message("progress", value=1, max=3, node="12"))

        assert follower.next(WAIT_S) == Progress(1, 3, "12")
