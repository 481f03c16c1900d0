"""The client against a simulator with the node pack: files come after the prompt has ended."""

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4

import pytest
from PIL import Image

from workers.comfy.client import ComfyClient, FetchedFile
from workers.comfy.errors import FileMissing
from workers.comfy.protocol import OutputFile
from workers.comfy.records import PromptErrorKind, PromptStatus, SaveState, SaveStatus, Verdict
from workers.comfy.simulator.options import Options
from workers.comfy.simulator.tests.graphs import outline, png
from workers.comfy.simulator.tests.test_pack import pack_graph
from workers.comfy.simulator.threaded import ThreadedSimulator
from workers.comfy.tests.fake_server import WAIT_S

T = TypeVar("T")
Start = Callable[..., ComfyClient]
ENCODE_S = 1.0
MAX_BYTES = 10**7


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a quick simulator with faults, and return a client of it."""
    ends: list[Callable[[], None]] = []

    def begin(*faults: str, has_pack: bool = True, encode_s: float = 0.0) -> ComfyClient:
        options = Options(tmp_path, step_s=0.0, encode_s=encode_s, has_pack=has_pack)
        simulator = ThreadedSimulator(options, faults=faults).__enter__()
        client = ComfyClient(simulator.url)
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


def run(client: ComfyClient, prompt_id: UUID, *, count: int = 1) -> Verdict:
    graph = pack_graph(prefix=f"llamasketch/{prompt_id}/image", count=count)
    client.submit(graph, prompt_id=prompt_id)
    return until(lambda: client.verdict(prompt_id), lambda v: v.status.is_terminal)


def fetch(client: ComfyClient, file: OutputFile) -> tuple[FetchedFile, bytes] | None:
    buffer = io.BytesIO()
    try:
        fetched = client.fetch(file, buffer, max_bytes=MAX_BYTES)
    except FileMissing:
        return None
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
