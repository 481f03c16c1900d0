"""Storage: the bytes of sketches and images on disk, each name written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.utils import timezone

TEMPORARY_SUFFIX = ".part"
TEMPORARY_LIFE = timedelta(hours=1)  # chosen: no write takes a minute


def sketch_name(user_id: int, data: bytes) -> str:
    """What a user's sketch is called in storage: by its content's hash.

    The name holds the owner, so the same drawing by two people is kept twice and neither can
    reach the other's.
    """
    digest = hashlib.sha256(data).hexdigest()
    return f"sketches/{user_id}/{digest[:2]}/{digest}.png"


def sketch_keep(name: str, data: bytes) -> None:
    """Write a sketch under its name, unless it is there already.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    try:
        os.utime(blob_path(name))  # young again: the sweep lets it be until a job refers to it
    except FileNotFoundError:
        blob_write(name, data)


def sketch_digest(name: str) -> str:
    """The SHA-256 of a sketch, from its name."""
    return Path(name).stem


def image_folder(job_id: UUID) -> str:
    """Where a job's images are."""
    return f"images/{job_id.hex[:2]}/{job_id}"


def image_name(job_id: UUID, attempt: int, index: int, *, suffix: str) -> str:
    """The name of an image that one attempt of a job made; `suffix` without the dot."""
    return f"{image_folder(job_id)}/{attempt}-{index}.{suffix}"


def blob_path(name: str) -> Path:
    """Where a name lies on disk."""
    return Path(settings.MEDIA_ROOT) / name


def blob_read(name: str) -> bytes:
    """Read a whole blob.

    Raises:
        FileNotFoundError: nothing was written under this name.
    """
    return blob_path(name).read_bytes()


def blob_write(name: str, data: bytes) -> None:
    """Write a blob so that its name holds all of it or nothing, even if the power goes.

    Raises:
        OSError: the disk is full or cannot be written; nothing is left behind.
    """
    BlobDraft(str(Path(name).parent)).keep(name, data)


class BlobDraft:
    """A blob that is about to come: its folder and a temporary file in it are there already.

    Making these takes longer than writing the bytes, and whoever knows that some will come can have
    it done before. To be kept or discarded, once; one whose process dies is swept.
    """

    def __init__(self, folder: str) -> None:
        """Make them.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        self._folder = blob_path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=self._folder, suffix=TEMPORARY_SUFFIX)
        self._file, self._temporary = os.fdopen(descriptor, "wb"), Path(temporary)

    def keep(self, name: str, data: bytes) -> None:
        """Write the blob under a name in the folder, as `blob_write` does.

        Raises:
            OSError: the disk is full or cannot be written; nothing is left behind.
        """
        path = blob_path(name)
        if path.parent != self._folder:
            raise ValueError(f"{name} is not in {self._folder.name}.")
        try:
            with self._file as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._temporary.replace(path)
        except BaseException:
            self.discard()
            raise
        _sync_directory(self._folder)

    def discard(self) -> None:
        """Leave nothing behind, where the disk lets that be; else it is swept."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._temporary.unlink()


def blob_delete(name: str) -> None:
    """Forget a blob; one that is not there is forgotten already."""
    blob_path(name).unlink(missing_ok=True)


def image_job(name: str) -> UUID:
    """Which job an image's name, or its thumbnail's, belongs to."""
    return UUID(Path(name).parent.name)


def sketches_old(*, older_than: timedelta, at_once: int = 500) -> Iterator[list[str]]:
    """The names of sketches that nobody has written for so long, some at a time."""
    return _old("sketches", "*.png", older_than=older_than, at_once=at_once)


def images_old(*, older_than: timedelta, at_once: int = 500) -> Iterator[list[str]]:
    """The names of images and thumbnails that were written so long ago, some at a time."""
    return _old("images", "*/*/*.*", older_than=older_than, at_once=at_once)


def _old(folder: str, pattern: str, *, older_than: timedelta, at_once: int) -> Iterator[list[str]]:
    oldest = (timezone.now() - older_than).timestamp()
    root = Path(settings.MEDIA_ROOT)
    names: list[str] = []
    for path in (root / folder).rglob(pattern):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest:
                names.append(str(path.relative_to(root)))
        if len(names) == at_once:
            yield names
            names = []
    if names:
        yield names


def temporaries_delete() -> int:
    """Delete what writers that died left behind; return how many files."""
    oldest = (timezone.now() - TEMPORARY_LIFE).timestamp()
    count = 0
    for path in Path(settings.MEDIA_ROOT).rglob(f"*{TEMPORARY_SUFFIX}"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest:
                path.unlink()
                count += 1
    return count


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
