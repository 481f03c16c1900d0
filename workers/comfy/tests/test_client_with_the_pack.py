"""The client against a simulator with the node pack: files come after the prompt has ended."""

import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
from PIL import Image

from workers.comfy.client import ComfyClient
from workers.comfy.downloads import FetchedFile
from workers.comfy.errors import (
    FileMissing,
    FileTooLarge,
    FileWaiting,
    NodeUnreachable,
    SaveFailed,
    TruncatedFile,
)
from workers.comfy.protocol import OutputFile
from workers.comfy.records import PromptErrorKind, PromptStatus, SaveState, SaveStatus, Verdict
from workers.comfy.simulator.options import Options
from workers.comfy.simulator.tests.graphs import outline, png
from workers.comfy.simulator.tests.test_pack import pack_graph
from workers.comfy.simulator.threaded import ThreadedSimulator
from workers.comfy.tests.fake_server import WAIT_S
from workers.comfy.transport import Timeouts

T = TypeVar("T")
Start = Callable[..., ComfyClient]
ENCODE_S = 1.0
MAX_BYTES = 10**7


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a quick simulator with faults, and return a client of it."""
    ends: list[Callable[[], None]] = []

    def begin(
        *faults: str,
        has_pack: bool = True,
        encode_s: float = 0.0,
        timeouts: Timeouts | None = None,
    ) -> ComfyClient:
        options = Options(tmp_path, step_s=0.0, encode_s=encode_s, has_pack=has_pack)
        simulator = ThreadedSimulator(options, faults=faults).__enter__()
        client = ComfyClient(simulator.url, timeouts=timeouts)
        ends.extend([client.close, lambda: simulator.__exit__(None, None, None)])
        client.upload_image(png(outline("red")), name="sketch.png")
        return client

    yield begin
    for end in ends:
        end()


def until(ask: Callable[[], T], is_enough: Callable[[T], bool]) -> T:
    """Ask until an answer will do."""
    deadline_s = time.monotonic() + 2 * WAIT_S
    while not is_enough(answer := ask()):
        assert time.monotonic() < deadline_s, answer
        time.sleep(0.01)
    return answer


def run(
    client: ComfyClient, prompt_id: UUID, *, count: int = 1, image_format: str = "webp"
) -> Verdict:
    prefix = f"llamasketch/{prompt_id}/image"
    graph = pack_graph(prefix=prefix, count=count, image_format=image_format)
    client.submit(graph, prompt_id=prompt_id)
    return until(lambda: client.verdict(prompt_id), lambda v: v.status.is_terminal)


def fetch(client: ComfyClient, file: OutputFile) -> tuple[FetchedFile, bytes] | None:
    buffer = io.BytesIO()
    try:
        fetched = client.fetch(file, buffer, max_bytes=MAX_BYTES)
    except FileMissing:
        return None
    return fetched, buffer.getvalue()


def until_written(client: ComfyClient, file: OutputFile) -> None:
    states = partial(client.save_states, file.subfolder, name=file.name, wait_s=ENCODE_S)
    until(states, lambda found: found[file.name].state is SaveStatus.WRITTEN)


def promised(client: ComfyClient, file: OutputFile, **changes: Any) -> tuple[FetchedFile, bytes]:
    buffer = io.BytesIO()
    fetched = client.fetch_promised(
        file, buffer, **{"max_bytes": MAX_BYTES, "wait_s": ENCODE_S * 4, **changes}
    )
    return fetched, buffer.getvalue()


def test_a_file_is_missing_while_it_waits_and_comes_whole(start: Start) -> None:
    client, prompt_id = start(encode_s=ENCODE_S), uuid4()

    verdict = run(client, prompt_id, count=2)
    early = client.save_states(f"llamasketch/{prompt_id}")
    names = [file.name for file in verdict.files]
    assert fetch(client, verdict.files[0]) is None
    came = until(lambda: fetch(client, verdict.files[1]), lambda answer: answer is not None)

    assert verdict.status is PromptStatus.COMPLETED
    assert names == ["image_00001_.webp", "image_00002_.webp"]
    assert early == {name: SaveState(SaveStatus.WAITING) for name in names}
    assert came is not None
    assert came[0].content_type == "image/webp"
    with Image.open(io.BytesIO(came[1])) as image:
        assert image.size == (512, 512)


def test_the_answer_comes_when_the_file_is_there(start: Start) -> None:
    client, prompt_id = start(encode_s=ENCODE_S), uuid4()
    verdict = run(client, prompt_id)
    (file,) = verdict.files

    states = client.save_states(file.subfolder, name=file.name, wait_s=ENCODE_S * 4)

    assert states == {file.name: SaveState(SaveStatus.WRITTEN)}
    assert fetch(client, file) is not None


def test_a_write_that_failed_is_told(start: Start) -> None:
    client, prompt_id = start("failed-write"), uuid4()

    verdict = run(client, prompt_id)
    (state,) = until(
        lambda: client.save_states(f"llamasketch/{prompt_id}").values(),
        lambda states: all(state.state is not SaveStatus.WAITING for state in states),
    )

    assert verdict.status is PromptStatus.COMPLETED
    assert state == SaveState(SaveStatus.FAILED, "No space left on device")
    assert fetch(client, verdict.files[0]) is None


@pytest.mark.parametrize(
    ("image_format", "content_type"),
    [
        ("jpeg", "image/jpeg"),
        ("webp", "image/webp"),
        ("webp-lossless", "image/webp"),
        ("png", "image/png"),
    ],
)
def test_a_promised_file_comes_in_one_request(
    start: Start, image_format: str, content_type: str
) -> None:
    client, prompt_id = start(encode_s=ENCODE_S), uuid4()
    (file,) = run(client, prompt_id, image_format=image_format).files
    assert fetch(client, file) is None

    fetched, data = promised(client, file)

    assert fetched == FetchedFile(len(data), content_type)
    until_written(client, file)
    assert fetch(client, file) == (fetched, data)
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (512, 512)


def test_a_file_that_is_asked_for_before_its_prompt_comes_whole(start: Start) -> None:
    client, prompt_id = start(encode_s=0.3), uuid4()
    file = OutputFile("image_00001_.webp", f"llamasketch/{prompt_id}", "output", "save")

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(promised, client, file, is_early=True)
        with pytest.raises(TimeoutError):
            coming.result(0.2)
        verdict = run(client, prompt_id)
        fetched, data = coming.result(WAIT_S)

    assert verdict.files == (file,)
    assert fetched == FetchedFile(len(data), "image/webp")
    until_written(client, file)
    assert fetch(client, file) == (fetched, data)


def test_a_file_that_nobody_promises_is_missing_when_the_time_is_over(start: Start) -> None:
    client = start()
    file = OutputFile("image_00001_.webp", f"llamasketch/{uuid4()}", "output", "save")
    began_s = time.monotonic()

    with pytest.raises(FileMissing):
        promised(client, file, wait_s=0.3, is_early=True)

    assert time.monotonic() - began_s >= 0.3


def test_a_promised_file_that_is_not_written_in_time_waits(start: Start) -> None:
    client, prompt_id = start(encode_s=ENCODE_S), uuid4()
    (file,) = run(client, prompt_id).files

    with pytest.raises(FileWaiting):
        promised(client, file, wait_s=0.01)

    assert promised(client, file)[0].content_type == "image/webp"


def test_a_promised_file_that_failed_comes_with_the_reason(start: Start) -> None:
    client, prompt_id = start("failed-write", encode_s=0.2), uuid4()
    (file,) = run(client, prompt_id).files

    with pytest.raises(SaveFailed) as caught:
        promised(client, file)

    assert caught.value.problem == "No space left on device"
    assert "No space left on device" in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("missing-file:once", FileMissing),
        ("truncated-file:once", TruncatedFile),
        ("slow-file:once,factor=8", NodeUnreachable),
    ],
)
def test_a_promised_file_that_comes_whole_only_the_second_time(
    start: Start, fault: str, error: type[Exception]
) -> None:
    client, prompt_id = start(fault, timeouts=Timeouts(fetch_read_s=0.5)), uuid4()
    (file,) = run(client, prompt_id).files

    with pytest.raises(error):
        promised(client, file, wait_s=0.25)

    assert promised(client, file, wait_s=0.25)[0].content_type == "image/webp"


def test_a_promised_file_that_is_too_large_is_not_taken(start: Start) -> None:
    client, prompt_id = start(), uuid4()
    (file,) = run(client, prompt_id).files

    with pytest.raises(FileTooLarge):
        promised(client, file, max_bytes=100)


@pytest.mark.parametrize("has_pack", [False, True], ids=["no-pack", "pack"])
def test_a_file_that_was_not_promised_may_be_there_all_the_same(
    start: Start, tmp_path: Path, has_pack: bool
) -> None:
    client = start(has_pack=has_pack)
    (tmp_path / "output" / "old.png").write_bytes(png(outline("red")))
    file = OutputFile("old.png", "", "output", "save")

    with pytest.raises(FileMissing):
        promised(client, file)

    assert fetch(client, file) is not None


def test_a_latent_without_a_picture_is_blank(start: Start) -> None:
    verdict = run(start("nan-image"), uuid4())

    assert verdict.status is PromptStatus.FAILED
    assert verdict.error is not None
    assert verdict.error.kind is PromptErrorKind.BLANK
    assert verdict.error.message == "LlamaSketch: the latent is not a number"


def test_what_a_server_does_not_know_of_is_not_there(start: Start) -> None:
    without, with_pack = start(has_pack=False), start()

    assert without.save_states("llamasketch/never") == {}
    assert with_pack.save_states("llamasketch/never") == {}
    assert without.node_class("LlamaSketchSaveImage") is None
    assert with_pack.node_class("LlamaSketchSaveImage") is not None
