"""The saver: names at once, whole files later, failures told."""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploy.comfyui.llamasketch_nodes.encoding import Pixels
from deploy.comfyui.llamasketch_nodes.saver import ImageSaver, PromisedFile, write_whole
from deploy.comfyui.llamasketch_nodes.saves import SaveState
from deploy.comfyui.llamasketch_nodes.targets import BadPrefix
from deploy.comfyui.tests.fakes import PATIENCE_S, GatedEncoder, picture, until

FOLDER = "llamasketch/0a0b0c0d-0000-4000-8000-00000000abcd"
PREFIX = f"{FOLDER}/image"
FIRST, SECOND = "image_00001_.webp", "image_00002_.webp"


@pytest.fixture
def encoder() -> Iterator[GatedEncoder]:
    encoder = GatedEncoder()
    yield encoder
    encoder.gate.set()


@pytest.fixture
def saver(encoder: GatedEncoder) -> Iterator[ImageSaver]:
    saver = ImageSaver(encode=encoder, threads=2, unfinished_max=3)
    yield saver
    encoder.gate.set()
    saver.close(timeout_s=PATIENCE_S)


def save(saver: ImageSaver, root: Path, *pictures: Pixels, **changes: str) -> list[PromisedFile]:
    wanted = {"prefix": PREFIX, "image_format": "webp-lossless", **changes}
    return saver.save(pictures, root=root, quality=92, **wanted)  # type: ignore[arg-type]  # str values


def words(saver: ImageSaver) -> list[str]:
    return [state.state for state in saver.states(FOLDER).values()]


def test_names_come_before_the_files_and_then_the_files(
    tmp_path: Path, saver: ImageSaver, encoder: GatedEncoder
) -> None:
    files = save(saver, tmp_path, picture(10), picture(250))

    assert files == [PromisedFile(FIRST, FOLDER), PromisedFile(SECOND, FOLDER)]
    assert saver.states(FOLDER) == {FIRST: SaveState("waiting"), SECOND: SaveState("waiting")}
    assert list(tmp_path.rglob("*.webp")) == []

    encoder.gate.set()
    until(lambda: words(saver) == ["written", "written"])
    for file, red in zip(files, (10, 250), strict=True):
        data = (tmp_path / file.subfolder / file.name).read_bytes()
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), picture(red))


def test_a_full_backlog_holds_the_caller_until_there_is_room(
    tmp_path: Path, saver: ImageSaver, encoder: GatedEncoder
) -> None:
    looks: list[int] = []

    def look() -> None:
        looks.append(encoder.begun)
        encoder.gate.set()

    pictures = [picture(red) for red in range(8)]
    saver.save(pictures, root=tmp_path, prefix=PREFIX, image_format="webp", quality=92, look=look)

    # Three were unfinished, of which two were being encoded, when it first had to wait.
    assert looks[0] == 2
    until(lambda: words(saver) == ["written"] * 8)


def test_an_interrupted_caller_waits_no_longer_and_the_rest_is_told_as_failed(
    tmp_path: Path, saver: ImageSaver, encoder: GatedEncoder
) -> None:
    def look() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        saver.save(
            [picture()] * 5,
            root=tmp_path,
            prefix=PREFIX,
            image_format="webp",
            quality=92,
            look=look,
        )

    assert words(saver) == ["waiting"] * 3 + ["failed"] * 2
    encoder.gate.set()
    until(lambda: words(saver) == ["written"] * 3 + ["failed"] * 2)


def test_a_failed_write_is_told_without_a_path_and_leaves_nothing(
    tmp_path: Path, saver: ImageSaver, encoder: GatedEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    encoder.problem = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "secret"))
    encoder.gate.set()

    save(saver, tmp_path, picture())

    until(lambda: words(saver) == ["failed"])
    assert saver.states(FOLDER)[FIRST] == SaveState("failed", "No space left on device")
    assert list(tmp_path.rglob("*.*")) == []
    assert f"{FOLDER}/{FIRST} not written: No space left on device" in caplog.text
    assert "secret" not in caplog.text


def test_a_failure_of_another_kind_is_told_in_a_line(
    tmp_path: Path, saver: ImageSaver, encoder: GatedEncoder
) -> None:
    encoder.gate.set()

    save(saver, tmp_path, np.zeros((1, 20_000, 3), np.uint8), image_format="webp")

    until(lambda: words(saver) == ["failed"])
    assert saver.states(FOLDER)[FIRST].error.startswith("ValueError: ")


def test_a_name_is_never_given_twice(
    tmp_path: Path, saver: ImageSaver, encoder: GatedEncoder
) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir(parents=True)
    (folder / "image_00006_.png").write_bytes(b"")

    first = save(saver, tmp_path, picture())
    second = save(saver, tmp_path, picture())  # while the first is not on disk
    encoder.problem = OSError(errno.EIO, "broken")
    encoder.gate.set()
    until(lambda: "waiting" not in words(saver))
    third = save(saver, tmp_path, picture())  # after the others have failed

    assert [file.name for file in (*first, *second, *third)] == [
        f"image_0000{number}_.webp" for number in (7, 8, 9)
    ]


def test_a_prefix_that_leads_out_is_refused_before_anything_is_promised(
    tmp_path: Path, saver: ImageSaver
) -> None:
    with pytest.raises(BadPrefix):
        save(saver, tmp_path / "output", picture(), prefix="../image")

    assert saver.states("") == {}
    assert saver.states("..") == {}
    assert list(tmp_path.iterdir()) == []


def test_a_name_holds_the_old_file_or_the_new_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "image.webp"
    versions = [bytes([number]) * 2_000_000 for number in range(10)]
    write_whole(path, versions[0])
    is_over = threading.Event()
    seen: list[bytes] = []

    def read_on_and_on() -> None:
        while not is_over.is_set():
            seen.append(path.read_bytes())

    reader = threading.Thread(target=read_on_and_on, daemon=True)
    reader.start()
    for version in versions:
        write_whole(path, version)
    is_over.set()
    reader.join(PATIENCE_S)

    assert seen
    assert all(data in versions for data in seen)
    assert path.read_bytes() == versions[-1]
    assert [entry.name for entry in tmp_path.iterdir()] == ["image.webp"]


def test_a_rename_that_fails_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "image.webp").mkdir()

    with pytest.raises(OSError, match="irectory"):
        write_whole(tmp_path / "image.webp", b"data")

    assert [entry.name for entry in tmp_path.iterdir()] == ["image.webp"]
