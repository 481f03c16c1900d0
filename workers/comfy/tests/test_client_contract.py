"""What the client makes of every recording of a real server."""

import io
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import pytest

from workers.comfy.client import ComfyClient, Submission, UploadedImage
from workers.comfy.connection import SocketTimeouts
from workers.comfy.errors import FileMissing, OutcomeUnknown, Refused
from workers.comfy.mailboxes import Follower
from workers.comfy.protocol import (
    Disconnected,
    Finished,
    OutputFile,
    OutputReady,
    Preview,
    Progress,
    PromptEvent,
    Reconnected,
    Started,
    Succeeded,
)
from workers.comfy.records import PromptErrorKind, PromptStatus
from workers.comfy.tests.fake_server import WAIT_S
from workers.comfy.tests.replay import RECORDINGS, Recording, ReplayServer

GRAPH = {"1": {"class_type": "LoadImage", "inputs": {"image": "llamasketch/a.png"}}}


class Played:
    """A recording being played to a client."""

    def __init__(self, name: str, stack: ExitStack, *, with_socket: bool = True) -> None:
        self.recording = Recording.load(name)
        self.server = ReplayServer(self.recording)
        self.server.has_sockets = with_socket
        stack.enter_context(self.server)
        self.client = stack.enter_context(
            ComfyClient(
                self.server.base_url,
                socket_timeouts=SocketTimeouts(retry_first_s=0.01, retry_longest_s=0.1),
            )
        )
        self.ids = [
            UUID(prompt_id) for prompt_id in self.recording.prompt_ids() if "not-a" not in prompt_id
        ]

    def follow(self, prompt_id: UUID) -> Follower:
        follower = self.client.follow(prompt_id)
        if self.server.has_sockets and not self.server.sockets:
            self.server.joined.get(timeout=WAIT_S)
        return follower

    def submit(self, prompt_id: UUID) -> Submission:
        return self.client.submit(GRAPH, prompt_id=prompt_id)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def until(follower: Follower, last: type[PromptEvent]) -> list[PromptEvent]:
    """Return the events up to the first of a kind."""
    events: list[PromptEvent] = []
    while not events or not isinstance(events[-1], last):
        event = follower.next(WAIT_S)
        assert event is not None, f"silence after {events[-3:]}"
        events.append(event)
    return events


def rest(follower: Follower) -> list[PromptEvent]:
    events = []
    while (event := follower.next(0)) is not None:
        events.append(event)
    return events


def without_previews(events: list[PromptEvent]) -> list[PromptEvent]:
    return [event for event in events if not isinstance(event, Preview)]


def progress(steps: int, up_to: int | None = None) -> list[PromptEvent]:
    return [Progress(step, steps, "12") for step in range(1, (up_to or steps) + 1)]


def image(number: int) -> OutputFile:
    return OutputFile(f"llamasketch_{number:05}_.png", "", "output", "14")


def test_success(stack: ExitStack) -> None:
    played = Played("success", stack)
    prompt_id = played.ids[0]

    follower = played.follow(prompt_id)
    submission = played.submit(prompt_id)
    events = until(follower, Finished)

    assert submission == Submission(str(prompt_id), 0)
    assert without_previews(events) == [
        Started(),
        *progress(3),
        OutputReady((image(2),)),
        Succeeded(),
        Finished(),
    ]
    previews = [event for event in events if isinstance(event, Preview)]
    assert previews
    assert previews[-1].image_type == "image/jpeg"
    assert len(previews[-1].data) == 88804
    assert previews[-1].data.startswith(b"\xff\xd8\xff")

    # The history was asked for first; the client asks for the job, so both are tried.
    history = played.client._routes.read(f"/history/{prompt_id}")
    assert str(prompt_id) in history

    file = io.BytesIO()
    fetched = played.client.fetch(image(2), file, max_bytes=1_000_000)
    assert (fetched.size_bytes, fetched.content_type) == (592859, "image/png")
    assert len(file.getvalue()) == 592859

    verdict = played.client.verdict(prompt_id)
    assert verdict.status is PromptStatus.COMPLETED
    assert verdict.files == (image(2),)
    assert verdict.error is None
    assert verdict.execution_s == pytest.approx(1.081)
    assert played.server.left == []


def test_cached_resubmit(stack: ExitStack) -> None:
    played = Played("cached_resubmit", stack)
    prompt_id = played.ids[0]

    follower = played.follow(prompt_id)
    assert played.submit(prompt_id).number == 1
    events = until(follower, Finished)
    verdict = played.client.verdict(prompt_id)

    # The file of the prompt before: whoever takes it must look whose folder it is in.
    assert events == [Started(), OutputReady((image(2),)), Succeeded(), Finished()]
    assert (verdict.status, verdict.files) == (PromptStatus.COMPLETED, (image(2),))
    assert verdict.execution_s == pytest.approx(0.003)
    assert played.server.left == []


def test_rejected_prompts(stack: ExitStack) -> None:
    played = Played("rejected_prompts", stack, with_socket=False)
    ids = [UUID(int=number) for number in range(7)]
    refusals = []

    for prompt_id in ids:
        with pytest.raises(Refused) as caught:
            played.submit(prompt_id)
        refusals.append(caught.value)
    with pytest.raises(OutcomeUnknown) as unknown:
        played.submit(UUID(int=99))

    model, sketch, node_class, outputs, value, no_prompt, bad_id = refusals
    assert (model.reason, model.missing_model) == ("missing_model", "missing.safetensors")
    assert model.lacks_something
    assert (sketch.reason, sketch.missing_input) == (
        "missing_input",
        "llamasketch/no_such_sketch.png",
    )
    assert not sketch.lacks_something
    assert (node_class.reason, node_class.missing_node_class) == (
        "missing_node_class",
        "NoSuchNode",
    )
    assert node_class.lacks_something
    assert (outputs.reason, outputs.error_type) == ("no_outputs", "prompt_no_outputs")
    assert value.reason == "bad_value"
    assert [(p.node_id, p.class_type, p.type, p.input_name) for p in value.node_errors] == [
        ("10", "Flux2Scheduler", "value_smaller_than_min", "steps")
    ]
    assert (no_prompt.reason, no_prompt.error_type) == ("refused", "no_prompt")
    assert (bad_id.reason, bad_id.error_type) == ("refused", "invalid_prompt_id")
    assert {refusal.status for refusal in refusals} == {400}
    assert unknown.value.status == 500
    assert played.server.left == []


def test_corrupt_sketch(stack: ExitStack) -> None:
    played = Played("corrupt_sketch", stack)
    prompt_id = played.ids[0]

    follower = played.follow(prompt_id)
    played.submit(prompt_id)
    assert until(follower, Started) == [Started()]
    verdict = played.client.verdict(prompt_id)

    assert verdict.status is PromptStatus.FAILED
    assert verdict.files == ()
    assert verdict.error is not None
    assert verdict.error.kind is PromptErrorKind.UNREADABLE_INPUT
    assert (verdict.error.node_id, verdict.error.node_type) == ("1", "LoadImage")
    assert verdict.error.message.startswith("cannot identify image file")
    assert "traceback" not in str(verdict)
    assert played.server.left == []


def test_out_of_memory(stack: ExitStack) -> None:
    played = Played("out_of_memory", stack)
    prompt_id = played.ids[0]
    earlier = UUID("27b5d061-72cb-4f4b-8718-496397a8e6a6")

    follower = played.follow(prompt_id)
    earlier_follower = played.follow(earlier)
    played.submit(prompt_id)
    events = until(follower, Finished)

    # The end of the prompt before belongs to that prompt alone.
    assert events == [Started(), Finished()]
    assert rest(earlier_follower) == [Finished()]
    played.server.handlers["GET", f"/api/jobs/{prompt_id}"] = played.server._missing
    by_history = played.client.verdict(prompt_id)
    played.server.handlers["GET", f"/api/jobs/{prompt_id}"] = played.server._replay
    played.client._routes.forget()
    by_job = played.client.verdict(prompt_id)
    assert by_history == by_job
    assert by_job.status is PromptStatus.FAILED
    assert by_job.error is not None
    assert by_job.error.kind is PromptErrorKind.OUT_OF_MEMORY
    assert by_job.error.message == "CUDA out of memory. Tried to allocate 2.00 GiB (stand-in)"
    assert by_job.error.node_type == "SamplerCustomAdvanced"
    assert played.server.left == []


@pytest.mark.parametrize(("name", "number"), [("black_output", 3), ("nan_output", 4)])
def test_black_images_are_successes_to_the_server(stack: ExitStack, name: str, number: int) -> None:
    played = Played(name, stack)
    prompt_id = played.ids[0]

    follower = played.follow(prompt_id)
    played.submit(prompt_id)
    events = until(follower, Finished)
    verdict = played.client.verdict(prompt_id)
    file = io.BytesIO()
    fetched = played.client.fetch(verdict.files[0], file, max_bytes=10_000)

    assert without_previews(events) == [
        Started(),
        *progress(3),
        OutputReady((image(number),)),
        Succeeded(),
        Finished(),
    ]
    assert (verdict.status, verdict.files) == (PromptStatus.COMPLETED, (image(number),))
    assert fetched.size_bytes == 2543
    assert played.server.left == []


def test_interrupt_running(stack: ExitStack) -> None:
    played = Played("interrupt_running", stack)
    prompt_id = played.ids[0]
    entry = [13, str(prompt_id), {}, {}, ["14"]]
    played.server.answer("GET", "/queue", {"queue_running": [entry], "queue_pending": []})

    follower = played.follow(prompt_id)
    played.submit(prompt_id)
    before = until(follower, Progress)
    played.client.cancel(prompt_id)
    after = until(follower, Finished)
    played.server.answer("GET", "/queue", {"queue_running": [], "queue_pending": []})
    played.server.handlers["GET", f"/api/jobs/{prompt_id}"] = played.server._missing
    by_history = played.client.verdict(prompt_id)
    played.server.handlers["GET", f"/api/jobs/{prompt_id}"] = played.server._replay
    played.client._routes.forget()
    by_job = played.client.verdict(prompt_id)

    assert without_previews(before) == [Started(), Progress(1, 20, "12")]
    assert after == [Finished()]
    # History has no word for it: status_str is error in both cases.
    assert by_history == by_job
    assert by_job.status is PromptStatus.CANCELLED
    assert by_job.error is not None
    assert by_job.error.kind is PromptErrorKind.INTERRUPTED
    assert played.server.requests_for("/interrupt")[0].json == {"prompt_id": str(prompt_id)}
    assert played.server.left == []


def test_interrupt_wrong_id(stack: ExitStack) -> None:
    played = Played("interrupt_wrong_id", stack)
    prompt_id, other = played.ids[0], UUID("91e0ff4f-6344-4b11-b524-104cee057d77")
    entry = [14, str(other), {}, {}, ["14"]]

    follower = played.follow(prompt_id)
    played.submit(prompt_id)
    until(follower, Progress)
    # The queue says that the other one runs; by the time of the interrupt it does not.
    played.server.answer("GET", "/queue", {"queue_running": [entry], "queue_pending": []})
    played.client.cancel(other)
    events = until(follower, OutputReady)

    assert without_previews(events) == [*progress(3)[1:], OutputReady((image(5),))]
    assert played.server.requests_for("/interrupt")[0].json == {"prompt_id": str(other)}
    assert played.server.left == []


def test_jobs_cancel_api(stack: ExitStack) -> None:
    played = Played("jobs_cancel_api", stack)
    running, pending = played.ids
    unknown = UUID("35743538-0a70-4db6-8bb7-f88b1ef0e871")

    follower = played.follow(running)
    pending_follower = played.follow(pending)
    played.submit(running)
    played.submit(pending)
    before = until(follower, Progress)
    played.client.cancel(pending)
    played.client.cancel(running)
    after = until(follower, Finished)
    played.client.cancel(running)
    played.client.cancel(unknown)

    assert without_previews(before) == [Started(), Progress(1, 20, "12")]
    assert after == [Finished()]
    assert rest(pending_follower) == []
    assert played.server.requests_for("/interrupt") == []
    assert played.server.requests_for("/queue") == []
    assert played.server.left == []


def test_delete_pending_and_queue_shape(stack: ExitStack) -> None:
    played = Played("delete_pending_and_queue_shape", stack)
    running, pending = played.ids

    follower = played.follow(running)
    pending_follower = played.follow(pending)
    played.submit(running)
    played.submit(pending)
    queue = played.client.queue()
    assert (queue.running, queue.pending) == ((str(running),), (str(pending),))
    assert played.client.verdict(pending).status is PromptStatus.PENDING
    played.client._routes.obey("/queue", {"delete": [str(pending)]})
    events = until(follower, Finished)

    assert without_previews(events) == [
        Started(),
        *progress(3),
        OutputReady((image(6),)),
        Succeeded(),
        Finished(),
    ]
    assert played.client._routes.read(f"/history/{pending}").names() == []
    # A deleted prompt leaves no trace: unknown, not cancelled.
    assert played.client.verdict(pending).status is PromptStatus.UNKNOWN
    assert rest(pending_follower) == []
    assert played.server.left == []


def test_same_prompt_id_twice(stack: ExitStack) -> None:
    played = Played("same_prompt_id_twice", stack)
    prompt_id = played.ids[0]
    assert played.ids == [prompt_id, prompt_id]

    follower = played.follow(prompt_id)
    first = played.submit(prompt_id)
    # What the guard is against: past it, the server takes the same id again and runs both.
    played.client._forget_sent(str(prompt_id))
    second = played.submit(prompt_id)
    events = until(follower, Finished) + until(follower, Finished)
    verdict = played.client.verdict(prompt_id)

    assert (first.number, second.number) == (19, 20)
    assert [event for event in events if isinstance(event, OutputReady)] == [
        OutputReady((image(7),)),
        OutputReady((image(8),)),
    ]
    assert verdict.files == (image(8),)
    assert played.server.left == []


def test_two_queued_in_order(stack: ExitStack) -> None:
    played = Played("two_queued_in_order", stack)
    first, second = played.ids

    first_follower, second_follower = played.follow(first), played.follow(second)
    assert played.submit(first).number == 21
    assert played.submit(second).number == 22
    first_events = until(first_follower, Finished)
    second_events = until(second_follower, OutputReady)

    assert without_previews(first_events) == [
        Started(),
        *progress(3),
        OutputReady((image(9),)),
        Succeeded(),
        Finished(),
    ]
    assert without_previews(second_events) == [
        Started(),
        *progress(3),
        OutputReady((image(10),)),
    ]
    assert rest(first_follower) == []
    assert played.server.left == []


def test_reconnect_mid_run(stack: ExitStack) -> None:
    played = Played("reconnect_mid_run", stack)
    prompt_id = played.ids[0]

    follower = played.follow(prompt_id)
    first_socket = played.server.sockets[0]
    played.submit(prompt_id)
    events = until(follower, Finished)

    # Previews after the rejoin do not say whose they are, and are nobody's.
    assert events == [
        Started(),
        Progress(1, 12, "12"),
        Disconnected(),
        Reconnected(),
        *[Progress(step, 12, "12") for step in range(3, 13)],
        OutputReady((image(11),)),
        Succeeded(),
        Finished(),
    ]
    second_socket = played.server.sockets[0]
    assert second_socket.client_id != first_socket.client_id
    assert "supports_preview_metadata" in second_socket.first_message
    assert played.server.left == []


def test_no_socket_at_all(stack: ExitStack) -> None:
    played = Played("no_socket_at_all", stack, with_socket=False)
    prompt_id = played.ids[0]

    played.submit(prompt_id)
    with played.client.follow(prompt_id) as follower:
        assert follower.next(0) == Disconnected()
    verdicts = [played.client.verdict(prompt_id) for _ in range(11)]

    # The recording asked /history alone, which says {} for unfinished and for unknown alike.
    assert {verdict.status for verdict in verdicts[:-1]} == {PromptStatus.UNKNOWN}
    assert verdicts[-1].status is PromptStatus.COMPLETED
    assert verdicts[-1].files == (image(12),)
    assert verdicts[-1].execution_s == pytest.approx(0.963)
    assert played.server.left == []


def test_upload(stack: ExitStack) -> None:
    played = Played("upload", stack, with_socket=False)
    upload = played.client.upload_image

    stored = [upload(bytes(2922), name="sketch.png")]
    stored += [upload(bytes(2922), name="dedupe.png") for _ in range(2)]
    stored += [upload(bytes(2928), name="dedupe.png")]
    with pytest.raises(Refused) as refused:
        upload(bytes(2922), name="evil.png", subfolder="../../outside")
    stored += [upload(bytes(12), name="junk.png")]

    assert [image.reference for image in stored] == [
        "llamasketch/sketch.png",
        "llamasketch/dedupe.png",
        "llamasketch/dedupe.png",
        "llamasketch/dedupe (1).png",
        "llamasketch/junk.png",
    ]
    assert stored[0] == UploadedImage("sketch.png", "llamasketch", "input")
    assert refused.value.reason == "bad_upload"
    assert all(b'name="overwrite"' not in request.body for request in played.server.received)
    assert played.server.left == []


def test_view_errors(stack: ExitStack) -> None:
    played = Played("view_errors", stack, with_socket=False)

    def fetch(name: str, type_: str = "output") -> None:
        file = OutputFile(name, "", type_, "14")
        played.client.fetch(file, io.BytesIO(), max_bytes=1000)

    with pytest.raises(FileMissing):
        fetch("nope.png")
    with pytest.raises(Refused):
        fetch("../../etc/passwd")
    with pytest.raises(Refused):
        fetch("a.png", "weird")
    with pytest.raises(FileMissing):
        fetch("")
    assert not played.client._routes.read("/history/f4af1f50-a4b5-4df6-81e3-bb4be8bfa859")
    unknown = played.client.verdict(UUID("f8788a5a-2764-46f0-9b5a-ee2c791597a3"))
    assert unknown.status is PromptStatus.UNKNOWN
    assert played.server.left == []


def test_stats_and_info(stack: ExitStack) -> None:
    played = Played("stats_and_info", stack, with_socket=False)
    client = played.client

    stats = client.system_stats()
    assert (stats.version, stats.pytorch_version) == ("0.29.0", "2.14.1+cu130")
    assert stats.vram_total_bytes == 25276510208
    assert stats.devices[0].type == "cpu"
    assert "--port" in stats.arguments
    assert client.queue().running == ()
    assert client.queue_remaining() == 0
    assert client._routes.read("/features").boolean("supports_preview_metadata") is True
    assert client.models("UNETLoader", "unet_name") == (
        "flux-2-klein-4b.safetensors",
        "flux-2-klein-base-4b.safetensors",
    )
    for event in played.server.left:
        name = event["path"].rpartition("/")[2]
        if not event["path"].startswith("/object_info/"):
            continue
        node_class = client.node_class(name)
        if name == "NoSuchNode":
            assert node_class is None
            continue
        info = event["response"][name]
        assert node_class is not None
        assert list(node_class.required) == list(info["input"]["required"])
        assert list(node_class.optional) == list(info["input"].get("optional", {}))
        assert list(node_class.outputs) == info["output"]
        assert node_class.is_output is info["output_node"]
        if name == "KSamplerSelect":
            assert "euler" in node_class.options("sampler_name")
        if name == "Flux2Scheduler":
            assert (node_class.required["steps"].minimum, node_class.required["steps"].maximum) == (
                1,
                4096,
            )
    # The list of a folder's models is not asked for: what a loader offers is what counts.
    assert [event["path"] for event in played.server.left] == ["/models/diffusion_models"]


def test_every_recording_is_replayed() -> None:
    source = Path(__file__).read_text(encoding="utf-8")

    assert [path.stem for path in RECORDINGS.glob("*.json") if f'"{path.stem}"' not in source] == []
