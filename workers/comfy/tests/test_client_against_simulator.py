"""The client against the simulator's real process, in both versions that it speaks."""

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import requests
from PIL import Image

from workers.comfy.client import ComfyClient, UploadedImage
from workers.comfy.errors import (
    FileMissing,
    NodeUnreachable,
    OutcomeUnknown,
    Refused,
    TruncatedFile,
)
from workers.comfy.mailboxes import Follower
from workers.comfy.protocol import (
    Disconnected,
    Finished,
    OutputReady,
    Preview,
    Progress,
    PromptEvent,
    Reconnected,
    Started,
    Succeeded,
)
from workers.comfy.records import PromptErrorKind, PromptStatus, Verdict
from workers.comfy.tests.fake_server import WAIT_S
from workers.comfy.transport import Timeouts

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[3]
SIZE_PX = 256
MAX_BYTES = 10**7


class Simulator:
    """A running simulator, and a client of it."""

    def __init__(self, url: str, process: "subprocess.Popen[str]", client: ComfyClient) -> None:
        self.url = url
        self.process = process
        self.client = client
        self.sketch = client.upload_image(sketch())

    def fault(self, kind: str, **fields: object) -> None:
        reply = requests.post(
            f"{self.url}/simulator/fault", json={"kind": kind, **fields}, timeout=WAIT_S
        )
        assert reply.status_code == 200

    def clear(self) -> None:
        requests.delete(f"{self.url}/simulator/fault", timeout=WAIT_S).raise_for_status()

    def submit(self, *, steps: int = 4, prompt_id: UUID | None = None) -> UUID:
        prompt_id = prompt_id or uuid4()
        self.client.submit(graph(prompt_id, self.sketch, steps=steps), prompt_id=prompt_id)
        return prompt_id

    def end_of(self, prompt_id: UUID) -> Verdict:
        return until(lambda: self.client.verdict(prompt_id), lambda v: v.status.is_terminal)


def sketch() -> bytes:
    file = io.BytesIO()
    image = Image.new("RGB", (SIZE_PX, SIZE_PX), "white")
    image.paste("red", (60, 60, 180, 180))
    image.save(file, "PNG")
    return file.getvalue()


def graph(prompt_id: UUID, image: UploadedImage, *, steps: int = 4) -> dict[str, object]:
    """The paint graph, by hand: the client knows no workflows."""

    def node(class_type: str, **inputs: object) -> dict[str, object]:
        return {"class_type": class_type, "inputs": inputs}

    size = {"width": SIZE_PX, "height": SIZE_PX}
    return {
        "1": node("LoadImage", image=image.reference),
        "2": node("VAELoader", vae_name="flux2-vae.safetensors"),
        "3": node("VAEEncode", pixels=["16", 0], vae=["2", 0]),
        "4": node("UNETLoader", unet_name="flux-2-klein-4b.safetensors", weight_dtype="default"),
        "5": node("CLIPLoader", clip_name="qwen_3_4b.safetensors", type="flux2"),
        "6": node("CLIPTextEncode", text="a red house", clip=["5", 0]),
        "7": node("ConditioningZeroOut", conditioning=["6", 0]),
        "8": node("RandomNoise", noise_seed=prompt_id.int % 2**53),
        "9": node("KSamplerSelect", sampler_name="euler"),
        "10": node("Flux2Scheduler", steps=steps, **size),
        "11": node("CFGGuider", model=["4", 0], positive=["6", 0], negative=["7", 0], cfg=1.0),
        "12": node(
            "SamplerCustomAdvanced",
            noise=["8", 0],
            guider=["11", 0],
            sampler=["9", 0],
            sigmas=["15", 1],
            latent_image=["3", 0],
        ),
        "13": node("VAEDecode", samples=["12", 0], vae=["2", 0]),
        "14": node("SaveImage", images=["13", 0], filename_prefix=f"llamasketch/{prompt_id}/image"),
        "15": node("SplitSigmasDenoise", sigmas=["10", 0], denoise=0.75),
        "16": node("ImageScale", image=["1", 0], upscale_method="lanczos", crop="disabled", **size),
    }


def until(ask: Callable[[], Verdict], is_enough: Callable[[Verdict], bool]) -> Verdict:
    """Ask until an answer will do: the process next door cannot be waited for otherwise."""
    deadline = time.monotonic() + 3 * WAIT_S
    while not is_enough(answer := ask()):
        assert time.monotonic() < deadline, answer
        time.sleep(0.01)
    return answer


def events_until(follower: Follower, last: type[PromptEvent]) -> list[PromptEvent]:
    events: list[PromptEvent] = []
    while not events or not isinstance(events[-1], last):
        event = follower.next(WAIT_S)
        assert event is not None, f"silence after {events}"
        events.append(event)
    return events


@contextmanager
def running(version: str, *, timeouts: Timeouts | None = None) -> Iterator[Simulator]:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "workers.comfy.simulator", "--port", "0"),
            *("--step-seconds", "0.05", "--server-version", version),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        with ComfyClient(url, timeouts=timeouts) as client:
            yield Simulator(url, process, client)
    finally:
        process.terminate()
        process.wait(WAIT_S)
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="module", params=["0.29", "0.8"])
def shared(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    with running(request.param) as simulator:
        yield simulator


@pytest.fixture
def simulator(shared: Simulator) -> Iterator[Simulator]:
    yield shared
    shared.clear()


def test_a_prompts_whole_way(simulator: Simulator) -> None:
    client, prompt_id = simulator.client, uuid4()

    with client.follow(prompt_id) as follower:
        simulator.submit(prompt_id=prompt_id)
        events = events_until(follower, Finished)
    verdict = client.verdict(prompt_id)
    file = io.BytesIO()
    fetched = client.fetch(verdict.files[0], file, max_bytes=MAX_BYTES)

    kinds = [event for event in events if not isinstance(event, Preview)]
    assert kinds == [
        Started(),
        *[Progress(step, 3, "12") for step in (1, 2, 3)],
        OutputReady(verdict.files),
        Succeeded(),
        Finished(),
    ]
    previews = [event for event in events if isinstance(event, Preview)]
    assert previews
    with Image.open(io.BytesIO(previews[-1].data)) as preview:
        assert preview.format == "JPEG"
    assert verdict.status is PromptStatus.COMPLETED
    assert verdict.error is None
    assert verdict.execution_s is not None
    assert [f.subfolder for f in verdict.files] == [f"llamasketch/{prompt_id}"]
    with Image.open(file) as image:
        assert image.size == (SIZE_PX, SIZE_PX)
        assert "prompt" not in image.info
    assert fetched.size_bytes == len(file.getvalue())


def test_two_prompts_at_once_keep_their_events(simulator: Simulator) -> None:
    ids = [uuid4(), uuid4()]

    with simulator.client.follow(ids[0]) as one, simulator.client.follow(ids[1]) as other:
        for prompt_id in ids:
            simulator.submit(prompt_id=prompt_id)
        for prompt_id, follower in zip(ids, (one, other), strict=True):
            events = events_until(follower, Finished)
            outputs = [event for event in events if isinstance(event, OutputReady)]
            assert [f.subfolder for o in outputs for f in o.files] == [f"llamasketch/{prompt_id}"]


def test_an_upload_keeps_its_name(simulator: Simulator) -> None:
    again = simulator.client.upload_image(sketch())
    named = [
        simulator.client.upload_image(data, name="same.png").name
        for data in (sketch(), sketch(), sketch() + b"\0")
    ]

    assert again == simulator.sketch
    assert named[0] == named[1] != named[2]


def test_cancelling_a_running_prompt(simulator: Simulator) -> None:
    prompt_id = uuid4()
    with simulator.client.follow(prompt_id) as follower:
        simulator.submit(prompt_id=prompt_id, steps=50)
        events_until(follower, Progress)

        simulator.client.cancel(prompt_id)

        assert simulator.end_of(prompt_id).status is PromptStatus.CANCELLED
        events_until(follower, Finished)
    simulator.client.cancel(prompt_id)
    assert simulator.end_of(prompt_id).status is PromptStatus.CANCELLED


def test_cancelling_a_pending_prompt_leaves_the_running_one(simulator: Simulator) -> None:
    first = uuid4()
    with simulator.client.follow(first) as follower:
        simulator.submit(prompt_id=first, steps=20)
        events_until(follower, Started)
        second = simulator.submit()
        assert simulator.client.verdict(second).status is PromptStatus.PENDING

        simulator.client.cancel(second)

        assert simulator.client.verdict(second).status is PromptStatus.UNKNOWN
    assert simulator.end_of(first).status is PromptStatus.COMPLETED


def test_cancelling_an_unknown_prompt_stops_nobody(simulator: Simulator) -> None:
    first = uuid4()
    with simulator.client.follow(first) as follower:
        simulator.submit(prompt_id=first, steps=10)
        events_until(follower, Progress)

        simulator.client.cancel(uuid4())

    assert simulator.end_of(first).status is PromptStatus.COMPLETED


def test_refusals(simulator: Simulator) -> None:
    wrong = [
        ("4", "unet_name", "none"),
        ("1", "image", "llamasketch/none.png"),
        ("10", "steps", -3),
    ]
    reasons = []
    for node_id, name, value in wrong:
        prompt_id = uuid4()
        broken = graph(prompt_id, simulator.sketch)
        broken[node_id]["inputs"][name] = value  # type: ignore[index]  # a graph node
        with pytest.raises(Refused) as caught:
            simulator.client.submit(broken, prompt_id=prompt_id)
        reasons.append(caught.value.reason)
    broken = graph(prompt_id, simulator.sketch)
    broken["10"] = {"class_type": "NoSuchNode", "inputs": {}}
    with pytest.raises(Refused) as caught:
        simulator.client.submit(broken, prompt_id=prompt_id)

    assert reasons == ["missing_model", "missing_input", "bad_value"]
    assert caught.value.missing_node_class == "NoSuchNode"


def test_what_it_says_about_itself(simulator: Simulator) -> None:
    client = simulator.client

    assert client.system_stats().version.startswith("0.")
    assert "flux-2-klein-4b.safetensors" in client.models("UNETLoader", "unet_name")
    assert client.models("NoSuchNode", "x") == ()
    assert client.node_class("NoSuchNode") is None
    assert client.queue_remaining() == 0
    client.free()


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("out-of-memory", PromptErrorKind.OUT_OF_MEMORY),
        ("node-error", PromptErrorKind.NODE_ERROR),
    ],
)
def test_a_failing_node(simulator: Simulator, fault: str, kind: PromptErrorKind) -> None:
    simulator.fault(fault, count=1)

    failed = simulator.end_of(simulator.submit())

    assert failed.status is PromptStatus.FAILED
    assert failed.error is not None
    assert failed.error.kind is kind
    assert failed.error.node_type == "SamplerCustomAdvanced"
    assert "Traceback" not in failed.error.message
    assert simulator.end_of(simulator.submit()).status is PromptStatus.COMPLETED


@pytest.mark.parametrize("fault", ["black-image", "nan-image"])
def test_a_black_image_completes(simulator: Simulator, fault: str) -> None:
    simulator.fault(fault, count=1)

    verdict = simulator.end_of(simulator.submit())
    file = io.BytesIO()
    simulator.client.fetch(verdict.files[0], file, max_bytes=MAX_BYTES)

    assert verdict.status is PromptStatus.COMPLETED
    with Image.open(file) as image:
        assert image.getextrema() == ((0, 0), (0, 0), (0, 0))


def test_a_slow_prompt_shows_signs_of_life(simulator: Simulator) -> None:
    simulator.fault("slow", count=1, factor=4)
    prompt_id = uuid4()

    with simulator.client.follow(prompt_id) as follower:
        simulator.submit(prompt_id=prompt_id)
        events_until(follower, Progress)
        assert follower.silent_s < 1
    assert simulator.end_of(prompt_id).status is PromptStatus.COMPLETED


def test_a_refused_submission(simulator: Simulator) -> None:
    simulator.fault("refuse", count=1)

    with pytest.raises(Refused):
        simulator.submit()

    assert simulator.end_of(simulator.submit()).status is PromptStatus.COMPLETED


def test_a_prompt_that_is_lost_after_it_was_accepted(simulator: Simulator) -> None:
    simulator.fault("lost-prompt", count=1)

    prompt_id = simulator.submit()

    assert simulator.client.verdict(prompt_id).status is PromptStatus.UNKNOWN


def test_a_prompt_whose_events_are_lost(simulator: Simulator) -> None:
    simulator.fault("lost-event", count=1)
    prompt_id = uuid4()

    with simulator.client.follow(prompt_id) as follower:
        simulator.submit(prompt_id=prompt_id)
        events_until(follower, Progress)
        assert simulator.end_of(prompt_id).status is PromptStatus.COMPLETED
        while (event := follower.next(0)) is not None:
            assert not isinstance(event, Finished | OutputReady)


def test_a_dropped_socket(simulator: Simulator) -> None:
    simulator.fault("dropped-socket", count=1)
    prompt_id = uuid4()

    with simulator.client.follow(prompt_id) as follower:
        simulator.submit(prompt_id=prompt_id, steps=10)
        events_until(follower, Disconnected)
        events_until(follower, Reconnected)
        # Under the old client id: no more events, and the verdict still comes.
        assert simulator.end_of(prompt_id).status is PromptStatus.COMPLETED

    # The next prompt goes out under the new one.
    following = uuid4()
    with simulator.client.follow(following) as follower:
        simulator.submit(prompt_id=following)
        assert events_until(follower, Finished)[0] == Started()


def test_a_file_that_comes_whole_only_the_second_time(simulator: Simulator) -> None:
    verdict = simulator.end_of(simulator.submit())
    for fault, error in (("truncated-file", TruncatedFile), ("missing-file", FileMissing)):
        simulator.fault(fault, count=1)
        with pytest.raises(error):
            simulator.client.fetch(verdict.files[0], io.BytesIO(), max_bytes=MAX_BYTES)

    fetched = simulator.client.fetch(verdict.files[0], io.BytesIO(), max_bytes=MAX_BYTES)

    assert fetched.content_type == "image/png"


@pytest.mark.parametrize("version", ["0.29", "0.8"])
def test_a_submission_that_is_never_answered(version: str) -> None:
    with running(version, timeouts=Timeouts(read_s=0.5, fetch_read_s=0.5)) as simulator:
        prompt_id = uuid4()
        simulator.fault("no-answer", count=1)
        with pytest.raises(OutcomeUnknown):
            simulator.submit(prompt_id=prompt_id)

        # It was received: sending again asks, and does not run it twice.
        simulator.submit(prompt_id=prompt_id)
        verdict = simulator.end_of(prompt_id)
        assert verdict.status is PromptStatus.COMPLETED
        assert [file.name for file in verdict.files] == ["image_00001_.png"]

        simulator.fault("slow-file", count=1, factor=8)
        with pytest.raises(NodeUnreachable):
            simulator.client.fetch(verdict.files[0], io.BytesIO(), max_bytes=MAX_BYTES)


@pytest.mark.parametrize("version", ["0.29", "0.8"])
def test_a_dead_execution_thread_and_then_a_dead_process(version: str) -> None:
    with running(version) as simulator:
        client, prompt_id = simulator.client, uuid4()
        simulator.fault("hang", count=1)
        with client.follow(prompt_id) as follower:
            simulator.submit(prompt_id=prompt_id)
            events_until(follower, Started)
            while follower.silent_s < 0.3:
                follower.next(0.05)
            assert client.verdict(prompt_id).status is PromptStatus.RUNNING
            assert client.queue_remaining() == 1
            assert follower.next(0) is None

            simulator.process.kill()
            assert events_until(follower, Disconnected)[-1] == Disconnected()
            with pytest.raises(NodeUnreachable):
                client.verdict(prompt_id)
            with pytest.raises(NodeUnreachable):
                client.submit({}, prompt_id=uuid4())


def test_a_crash_in_the_middle() -> None:
    with running("0.29") as simulator:
        prompt_id = uuid4()
        simulator.fault("crash", count=1)
        with simulator.client.follow(prompt_id) as follower:
            simulator.submit(prompt_id=prompt_id)
            events_until(follower, Disconnected)
        simulator.process.wait(WAIT_S)
        with pytest.raises(NodeUnreachable):
            simulator.client.verdict(prompt_id)
