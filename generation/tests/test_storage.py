"""Storage: whole or not at all, and never another's."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from uuid import UUID

import pytest
from pytest_django import Settings

from generation.storage import (
    TEMPORARY_LIFE,
    TEMPORARY_SUFFIX,
    BlobDraft,
    blob_delete,
    blob_path,
    blob_read,
    blob_write,
    image_name,
    sketch_digest,
    sketch_keep,
    sketch_name,
    temporaries_delete,
)

JOB = UUID("00000000-0000-4000-8000-000000000001")


@pytest.fixture(autouse=True)
def media(tmp_path: Path, settings: Settings) -> Path:
    """An empty storage."""
    settings.MEDIA_ROOT = tmp_path / "media"
    return tmp_path / "media"


def files_in(folder: Path) -> list[Path]:
    """All files below a folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def keep(user_id: int, data: bytes) -> str:
    """Keep a user's sketch; return its name."""
    name = sketch_name(user_id, data)
    sketch_keep(name, data)
    return name


@pytest.mark.parametrize("data", [b"", b"x", b"\0" * 1_000_000], ids=["empty", "one", "large"])
def test_what_is_written_is_read(data: bytes) -> None:
    blob_write("a/b/c.bin", data)

    assert blob_read("a/b/c.bin") == data


def test_writing_again_replaces_the_whole(media: Path) -> None:
    blob_write("a.bin", b"long enough")
    blob_write("a.bin", b"short")

    assert blob_read("a.bin") == b"short"
    assert files_in(media) == [media / "a.bin"]


def test_a_name_that_was_never_written_is_not_found() -> None:
    with pytest.raises(FileNotFoundError):
        blob_read("nothing.png")


def test_a_write_that_fails_at_its_end_leaves_nothing(media: Path) -> None:
    (media / "taken").mkdir(parents=True)  # a folder cannot be replaced by a file

    with pytest.raises(OSError, match="taken"):
        blob_write("taken", b"data")

    assert files_in(media) == []


def test_a_write_that_fails_leaves_the_old_blob(media: Path) -> None:
    blob_write("a.bin", b"old")

    with pytest.raises(TypeError):
        blob_write("a.bin", "not bytes")  # type: ignore[arg-type]  # breaks in the middle

    assert blob_read("a.bin") == b"old"
    assert files_in(media) == [media / "a.bin"]


def test_a_storage_that_cannot_be_written_says_so(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "file").write_text("not a folder")
    settings.MEDIA_ROOT = tmp_path / "file" / "media"

    with pytest.raises(OSError, match="file"):
        blob_write("a.bin", b"data")


def test_a_draft_has_its_place_on_the_disk_before_its_bytes(media: Path) -> None:
    draft = BlobDraft("a/b")
    (place,) = files_in(media)
    assert place.parent == media / "a" / "b"
    assert place.suffix == TEMPORARY_SUFFIX

    draft.keep("a/b/c.bin", b"data")

    assert blob_read("a/b/c.bin") == b"data"
    assert files_in(media) == [media / "a" / "b" / "c.bin"]


def test_a_discarded_draft_leaves_nothing(media: Path) -> None:
    BlobDraft("a").discard()

    assert files_in(media) == []


def test_a_draft_is_kept_in_its_own_folder_alone(media: Path) -> None:
    draft = BlobDraft("a")

    with pytest.raises(ValueError, match="not in a"):
        draft.keep("b/c.bin", b"data")

    draft.discard()
    assert files_in(media) == []


def test_deleting_twice_does_no_harm() -> None:
    blob_write("a.bin", b"data")

    blob_delete("a.bin")
    blob_delete("a.bin")

    assert not blob_path("a.bin").exists()


def test_the_same_drawing_of_one_user_is_kept_once(media: Path) -> None:
    first, again = keep(1, b"drawing"), keep(1, b"drawing")

    assert first == again
    assert len(files_in(media)) == 1
    assert sketch_digest(first) == hashlib.sha256(b"drawing").hexdigest()


def test_the_same_drawing_of_two_users_is_kept_twice(media: Path) -> None:
    names = {keep(1, b"drawing"), keep(2, b"drawing")}

    assert len(names) == 2
    assert len(files_in(media)) == 2


def test_every_attempt_and_image_has_a_name_of_its_own() -> None:
    names = {
        image_name(JOB, attempt, index, suffix=suffix)
        for attempt in (1, 2, 11)
        for index in (0, 1)
        for suffix in ("png", "thumbnail.webp")
    }

    assert len(names) == 12
    assert all(len(name) <= 200 for name in names)


def test_only_old_temporaries_are_deleted(media: Path) -> None:
    old, fresh = media / "a" / f"old{TEMPORARY_SUFFIX}", media / f"fresh{TEMPORARY_SUFFIX}"
    kept = media / "a" / "kept.png"
    for path in (old, fresh, kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    long_ago = time.time() - TEMPORARY_LIFE.total_seconds() - 60
    for path in (old, kept):
        os.utime(path, (long_ago, long_ago))

    assert temporaries_delete() == 1

    assert files_in(media) == sorted([fresh, kept])


def test_an_empty_server_has_no_temporaries() -> None:
    assert temporaries_delete() == 0
