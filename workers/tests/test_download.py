"""Downloads from a real simulator, before and after a prompt has named its files."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from PIL import Image

from generation.models import Job
from generation.storage import BlobDraft, blob_path, blob_read, image_folder
from usage.models import User
from workers.canary import abilities_ask
from workers.comfy.client import ComfyClient, Graph
from workers.comfy.errors import FileMissing
from workers.comfy.protocol import OutputFile
from workers.comfy.records import PromptStatus
from workers.comfy.simulator.options import Options
from workers.comfy.simulator.tests.graphs import klein_graph, outline, png
from workers.comfy.simulator.tests.test_pack import pack_graph
from workers.comfy.simulator.threaded import ThreadedSimulator
from workers.download import Arrived, Download, Unsettled
from workers.failures import Failure, FailureKind
from workers.fetches import Fetches
from workers.workflows.build import graph_build
from workers.workflows.order import Anchor, Order, Workflow
from workers.workflows.tests.orders import order

pytestmark = pytest.mark.django_db

Submit = Callable[..., list[Job]]
Start = Callable[..., ComfyClient]
Begin = Callable[..., Download]
PATIENCE_S = 20.0  # far longer than anything takes: it ends a test that is stuck
SKETCHES = ("sketch", "kept", "mask")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a quick simulator with faults, and return a client of it."""
    ends: list[Callable[[], None]] = []

    def begin(*faults: str, has_pack: bool = True, encode_s: float = 0.0) -> ComfyClient:
        options = Options(tmp_path, step_s=0.0, encode_s=encode_s, has_pack=has_pack)
        simulator = ThreadedSimulator(options, faults=faults).__enter__()
        client = ComfyClient(simulator.url)
        ends.extend([client.close, lambda: simulator.__exit__(None, None, None)])
        for colour, name in zip(("red", "green", "blue"), SKETCHES, strict=True):
            client.upload_image(png(outline(colour)), name=f"{name}.png")
        return client

    yield begin
    for end in ends:
        end()


@pytest.fixture
def jobs(owner: User, submit: Submit) -> list[Job]:
    """Two variations that share a prompt."""
    jobs = submit(owner, count=2)
    for index, job in enumerate(jobs):
        job.prompt_index = index
    return jobs


@pytest.fixture
def begin(start: Start) -> Iterator[Begin]:
    """Begin a download; it is stopped with the test."""
    begun: list[Download] = []
    with ThreadPoolExecutor(4) as pool:

        def begin(client: ComfyClient, file: OutputFile, job: Job) -> Download:
            download = Download(client, file, job, has_pack=True)
            download.begin(pool)
            begun.append(download)
            return download

        yield begin
        for download in begun:
            download.stop()


@pytest.fixture
def fetching(start: Start) -> Iterator[Callable[..., Fetches]]:
    """Make fetches; they are closed with the test."""
    made: list[Fetches] = []

    def fetching(client: ComfyClient, jobs: list[Job], *, has_pack: bool = True) -> Fetches:
        made.append(Fetches(client, jobs, has_pack=has_pack))
        return made[-1]

    yield fetching
    for fetches in made:
        fetches.close()


Fetching = Callable[..., Fetches]


def foretold(prompt_id: UUID, *, count: int = 1, stem: str = "image") -> list[OutputFile]:
    folder = f"llamasketch/{prompt_id}"
    names = [f"{stem}_{number:05}_.webp" for number in range(1, count + 1)]
    return [OutputFile(name, folder, "output", "save") for name in names]


def run(client: ComfyClient, prompt_id: UUID, graph: Graph) -> list[OutputFile]:
    """Submit a prompt, and wait for its record; return the files that it names."""
    client.submit(graph, prompt_id=prompt_id)
    ends_at = time.monotonic() + PATIENCE_S
    while not (verdict := client.verdict(prompt_id)).status.is_terminal:
        assert time.monotonic() < ends_at, verdict
        time.sleep(0.01)
    assert verdict.status is PromptStatus.COMPLETED
    return list(verdict.files)


def run_with_pack(client: ComfyClient, prompt_id: UUID, *, count: int = 1) -> list[OutputFile]:
    return run(client, prompt_id, pack_graph(prefix=f"llamasketch/{prompt_id}/image", count=count))


def on_node(client: ComfyClient, file: OutputFile) -> bytes:
    """A file's bytes, as the node has them."""
    buffer = io.BytesIO()
    client.fetch(file, buffer, max_bytes=10**7)
    return buffer.getvalue()


def nobody_looks() -> None:
    """Stop nothing."""


def test_a_foreseen_file_comes_before_anybody_has_named_it(
    start: Start, begin: Begin, jobs: list[Job]
) -> None:
    client, prompt_id = start(encode_s=0.2), uuid4()
    (file,) = foretold(prompt_id)

    download = begin(client, file, jobs[0])
    named = run_with_pack(client, prompt_id)
    fetched = download.coming.result(PATIENCE_S)

    data = on_node(client, file)
    assert named == [file]
    assert not download.is_named
    assert fetched.is_kept
    assert not fetched.is_blank
    assert fetched.image.data == data
    assert blob_read(fetched.file.name) == data
    assert fetched.file == download.arrived.result()
    assert (fetched.file.content_type, fetched.file.size_bytes) == ("image/webp", len(data))


def test_the_foreseen_files_of_several_jobs_are_each_ones_own(
    start: Start, fetching: Fetching, jobs: list[Job]
) -> None:
    client, prompt_id = start(encode_s=0.2), uuid4()
    files, fetches = foretold(prompt_id, count=2), fetching(client, jobs)

    fetches.foresee(files)
    assert not fetches.have_arrived(files, within_s=0.1)
    named = run_with_pack(client, prompt_id, count=2)
    assert fetches.have_arrived(files, within_s=PATIENCE_S)
    taken = [fetches.take(named, index, nobody_looks) for index in (0, 1)]

    assert named == files
    assert [fetched.image.data for fetched in taken] == [on_node(client, file) for file in files]
    for job, fetched in zip(jobs, taken, strict=True):
        assert str(job.id) in fetched.file.name
        assert blob_read(fetched.file.name) == fetched.image.data


@pytest.mark.parametrize("is_there", [False, True], ids=["never-comes", "another-prompts"])
def test_what_the_prompt_does_not_name_gives_way_to_what_it_names(
    start: Start,
    fetching: Fetching,
    jobs: list[Job],
    monkeypatch: pytest.MonkeyPatch,
    is_there: bool,
) -> None:
    monkeypatch.setattr("workers.download.WRITTEN_WITHIN_S", 0.5)
    client, prompt_id, other_id = start(), uuid4(), uuid4()
    fetches, wrong = fetching(client, jobs[:1]), foretold(other_id)
    if is_there:
        graph = pack_graph(prefix=f"llamasketch/{other_id}/image")
        graph["noise"]["inputs"]["noise_seed"] = 99
        run(client, other_id, graph)

    fetches.foresee(wrong)
    came_early = fetches.have_arrived(wrong, within_s=PATIENCE_S if is_there else 0.1)
    files = run_with_pack(client, prompt_id)
    fetches.begin(files)
    fetched = fetches.take(files, 0, nobody_looks)

    data = on_node(client, files[0])
    assert came_early is is_there
    if is_there:
        assert data != on_node(client, wrong[0])
    assert fetches.have_arrived(wrong, within_s=PATIENCE_S)
    assert fetched.image.data == data
    assert blob_read(fetched.file.name) == data


def test_what_is_foreseen_too_late_is_not_asked_for(
    start: Start, fetching: Fetching, jobs: list[Job]
) -> None:
    client, prompt_id, other_id = start(), uuid4(), uuid4()
    run_with_pack(client, other_id)
    files = run_with_pack(client, prompt_id)
    fetches = fetching(client, jobs[:1])

    fetches.begin(files)
    fetches.foresee(foretold(other_id))
    fetched = fetches.take(files, 0, nobody_looks)

    assert blob_read(fetched.file.name) == on_node(client, files[0])


def test_what_is_named_again_after_another_is_fetched_anew(
    start: Start, fetching: Fetching, jobs: list[Job]
) -> None:
    client, first_id, second_id = start(), uuid4(), uuid4()
    first, second = run_with_pack(client, first_id), run_with_pack(client, second_id)
    fetches = fetching(client, jobs[:1])

    for files in (first, second, first):
        fetches.begin(files)
    fetched = fetches.take(first, 0, nobody_looks)

    assert blob_read(fetched.file.name) == on_node(client, first[0])


def test_a_server_without_the_pack_is_asked_early_in_vain(
    start: Start, fetching: Fetching, jobs: list[Job]
) -> None:
    client, prompt_id = start(has_pack=False), uuid4()
    fetches = fetching(client, jobs[:1], has_pack=False)

    fetches.foresee(foretold(prompt_id))
    files = run(client, prompt_id, klein_graph(prefix=f"llamasketch/{prompt_id}/image"))
    fetches.begin(files)
    fetched = fetches.take(files, 0, nobody_looks)

    assert [file.name for file in files] == ["image_00001_.png"]
    assert fetched.file.content_type == "image/png"
    assert blob_read(fetched.file.name) == on_node(client, files[0])


@pytest.mark.parametrize("is_foreseen", [False, True], ids=["named", "foreseen"])
def test_a_file_that_the_pack_could_not_write_fails_with_its_reason(
    start: Start, fetching: Fetching, jobs: list[Job], is_foreseen: bool
) -> None:
    client, prompt_id = start("failed-write"), uuid4()
    fetches = fetching(client, jobs[:1])
    if is_foreseen:
        fetches.foresee(foretold(prompt_id))
    files = run_with_pack(client, prompt_id)
    fetches.begin(files)

    with pytest.raises(Failure) as caught:
        fetches.take(files, 0, nobody_looks)

    assert caught.value.code == "node_failed"
    assert caught.value.kind is FailureKind.INFRASTRUCTURE
    assert caught.value.problem.endswith("could not write its image: No space left on device")
    assert not list(blob_path("images").rglob(f"{jobs[0].id}/*"))


@pytest.mark.parametrize("is_foreseen", [False, True], ids=["named", "foreseen"])
def test_an_older_pack_is_asked_whether_a_file_is_written(
    start: Start,
    fetching: Fetching,
    jobs: list[Job],
    monkeypatch: pytest.MonkeyPatch,
    is_foreseen: bool,
) -> None:
    def no_such_route(*_args: Any, **_kwargs: Any) -> None:
        raise FileMissing("The server does not know the file, or has no such route.")

    # The simulator runs the pack of today, and one before 1.2 is not kept anywhere: its route for
    # files is taken away where the client would ask it.
    monkeypatch.setattr(ComfyClient, "fetch_promised", no_such_route)
    monkeypatch.setattr("workers.download.PAUSES_S", ())  # it must not be found by trying again
    client, prompt_id = start(encode_s=1.0), uuid4()
    fetches = fetching(client, jobs[:1])
    if is_foreseen:
        fetches.foresee(foretold(prompt_id))

    files = run_with_pack(client, prompt_id)
    with pytest.raises(FileMissing):
        on_node(client, files[0])
    fetches.begin(files)
    fetched = fetches.take(files, 0, nobody_looks)

    assert blob_read(fetched.file.name) == on_node(client, files[0])


def arrived_from(client: ComfyClient, begin: Begin, job: Job) -> tuple[Download, Arrived]:
    """Begin a download, run its prompt, and wait for the bytes alone."""
    prompt_id = uuid4()
    download = begin(client, foretold(prompt_id)[0], job)
    run_with_pack(client, prompt_id)
    return download, download.arrived.result(PATIENCE_S)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be unsettled because this machine is busy."""
    monkeypatch.setattr("workers.download.SETTLED_WITHIN_S", PATIENCE_S)


@pytest.mark.usefixtures("patient")
def test_a_good_image_is_settled_once_it_is_kept(
    start: Start, begin: Begin, jobs: list[Job]
) -> None:
    download, file = arrived_from(start(), begin, jobs[0])

    download.settle(file)

    with Image.open(blob_path(file.name)) as image:
        assert image.size == (512, 512)
    assert blob_path(file.name).stat().st_size == file.size_bytes


@pytest.mark.usefixtures("patient")
def test_a_blank_image_is_not_settled(start: Start, begin: Begin, jobs: list[Job]) -> None:
    download, file = arrived_from(start("black-image"), begin, jobs[0])

    with pytest.raises(Unsettled):
        download.settle(file)

    assert download.coming.result().is_blank


@pytest.mark.usefixtures("patient")
def test_an_image_that_could_not_be_kept_is_not_settled(
    start: Start, begin: Begin, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(draft: BlobDraft, _name: str, _data: bytes) -> None:
        draft.discard()
        raise OSError("No space left on device")

    monkeypatch.setattr(BlobDraft, "keep", full)
    download, file = arrived_from(start(), begin, jobs[0])

    with pytest.raises(Unsettled):
        download.settle(file)

    assert not download.coming.result().is_kept


@pytest.mark.usefixtures("patient")
def test_an_image_that_is_not_the_one_that_arrived_is_not_settled(
    start: Start, begin: Begin, jobs: list[Job]
) -> None:
    download, file = arrived_from(start(), begin, jobs[0])

    with pytest.raises(Unsettled):
        download.settle(replace(file, size_bytes=file.size_bytes + 1))

    download.settle(file)


@pytest.mark.usefixtures("patient")
def test_an_image_of_another_size_is_not_settled(
    start: Start, begin: Begin, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.download.PAUSES_S", ())
    jobs[0].params = {**jobs[0].params, "width": 768}
    download, file = arrived_from(start(), begin, jobs[0])
    download.name()

    with pytest.raises(Unsettled):
        download.settle(file)

    assert isinstance(download.coming.exception(), Failure)


@pytest.mark.usefixtures("patient")
def test_an_image_is_kept_where_there_was_no_room_before_it_came(
    start: Start, begin: Begin, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_draft, tries = BlobDraft.__init__, iter((True, False))

    def full_at_first(draft: BlobDraft, folder: str) -> None:
        if next(tries):
            raise OSError("No space left on device")
        begin_draft(draft, folder)

    monkeypatch.setattr(BlobDraft, "__init__", full_at_first)
    download, file = arrived_from(start(), begin, jobs[0])

    download.settle(file)
    assert len(blob_read(file.name)) == file.size_bytes


def test_a_file_that_never_comes_leaves_nothing_on_the_disk(
    start: Start, begin: Begin, jobs: list[Job]
) -> None:
    download = begin(start(), foretold(uuid4())[0], jobs[0])
    folder = blob_path(image_folder(jobs[0].id))
    ends_at = time.monotonic() + PATIENCE_S
    while not list(folder.glob("*")):  # the place for it is there
        assert time.monotonic() < ends_at
        time.sleep(0.01)

    download.stop()
    with pytest.raises(Failure):
        download.coming.result(PATIENCE_S)

    assert list(folder.glob("*")) == []


def test_an_image_that_takes_long_to_keep_is_settled_later(
    start: Start, begin: Begin, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.download.SETTLED_WITHIN_S", 0.05)
    disk_answers = threading.Event()

    keep = BlobDraft.keep

    def slow(draft: BlobDraft, name: str, data: bytes) -> None:
        assert disk_answers.wait(PATIENCE_S)
        keep(draft, name, data)

    monkeypatch.setattr(BlobDraft, "keep", slow)
    download, file = arrived_from(start(), begin, jobs[0])

    with pytest.raises(Unsettled):
        download.settle(file)
    disk_answers.set()

    assert download.coming.result(PATIENCE_S).is_kept
    download.settle(file)


def test_a_file_that_nobody_promises_is_given_up_soon_after_the_end(
    start: Start, fetching: Fetching, jobs: list[Job]
) -> None:
    fetches, files = fetching(start(), jobs), foretold(uuid4(), count=2)
    fetches.foresee(files)
    assert not fetches.have_arrived(files, within_s=0.2)

    fetches.close()

    assert fetches.have_arrived(files, within_s=5.0)
    assert not list(blob_path("images").rglob(f"{jobs[0].id}/*"))


def test_a_file_that_is_never_written_is_given_up_soon_after_the_end(
    start: Start, fetching: Fetching, jobs: list[Job]
) -> None:
    client = start(encode_s=600.0)
    fetches, files = fetching(client, jobs[:1]), run_with_pack(client, uuid4())
    fetches.begin(files)
    assert not fetches.have_arrived(files, within_s=0.2)

    fetches.close()

    assert fetches.have_arrived(files, within_s=5.0)


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(order(), id="paint"),
        pytest.param(order(first=1, count=3), id="variations"),
        pytest.param(order(Workflow.FOLLOW, count=2), id="follow"),
        pytest.param(order(Workflow.HD), id="hd"),
        pytest.param(order(denoise=0.0), id="unsampled"),
        pytest.param(
            order(anchor=Anchor("llamasketch/kept.png", "llamasketch/mask.png"), count=2),
            id="anchor",
        ),
        pytest.param(order(Workflow.UPSCALE), id="upscale"),
    ],
)
def test_a_prompts_record_gives_the_names_that_were_foretold(made: Order, start: Start) -> None:
    client, prompt_id = start(), uuid4()
    made = replace(
        made, prompt_id=prompt_id, sketch="llamasketch/sketch.png", width=192, height=192
    )
    recipe = graph_build(made, abilities_ask(client))

    files = run(client, prompt_id, recipe.graph)

    assert recipe.names
    assert files == [OutputFile(name, recipe.folder, "output", "save") for name in recipe.names]
