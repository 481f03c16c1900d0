"""The saver: promises file names at once, and writes the files while the caller goes on.

ComfyUI runs one prompt at a time on one thread. Whatever a node does there, the GPU waits for.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .backlog import Backlog
from .encoding import SUFFIXES, Pixels, encode_image
from .saves import SaveState, SaveTable
from .targets import SaveTarget, target_of

log = logging.getLogger(__name__)

# Chosen: four 1024² images a second in the slowest format, while the machine has cores to spare.
_THREADS = 4
# Chosen: with these, the last file is on disk about three seconds after its name was promised, and
# a machine with little memory can hold them.
_UNFINISHED_MAX = 32
_UNFINISHED_BYTES_MAX = 256 * 1024 * 1024
_ERROR_CHARS = 200


class Encode(Protocol):
    """What makes a file's bytes."""

    def __call__(self, pixels: Pixels, *, image_format: str, quality: int) -> bytes:
        """Encode one picture, shape (height, width, channels)."""


@dataclass(frozen=True)
class PromisedFile:
    """A file that is there in a moment, or has failed; under the names that `/view` takes."""

    name: str
    subfolder: str


class ImageSaver:
    """Saves images. `save` is for one thread, the rest for any.

    Args:
        encode: another one in the simulator and in tests.
    """

    def __init__(
        self,
        *,
        encode: Encode = encode_image,
        threads: int = _THREADS,
        unfinished_max: int = _UNFINISHED_MAX,
        unfinished_bytes_max: int = _UNFINISHED_BYTES_MAX,
    ) -> None:
        self._encode = encode
        self._table = SaveTable()
        self._backlog = Backlog(
            threads=threads, jobs_max=unfinished_max, bytes_max=unfinished_bytes_max
        )

    def save(
        self,
        pictures: Sequence[Pixels],
        *,
        root: Path,
        prefix: str,
        image_format: str,
        quality: int,
        look: Callable[[], None] = lambda: None,
    ) -> list[PromisedFile]:
        """Promise a file for each picture, in order, and write them soon.

        Returns as soon as the last picture has found room; `look` is called while one waits for
        it, and raises to give up. A name is never given twice: neither to what is on disk, nor to
        what still waits or has failed. The pictures must not change afterwards.

        Raises:
            BadPrefix: the prefix leads out of `root`.
        """
        target = target_of(prefix, root=root)
        taken = [*target.names_on_disk(), *self._table.names(target.subfolder)]
        first = target.highest_in(taken) + 1
        names = [
            target.name(number, SUFFIXES[image_format])
            for number in range(first, first + len(pictures))
        ]
        for name in names:
            self._table.note(target.subfolder, name, SaveState("waiting"))
        handed_over = 0
        try:
            for name, pixels in zip(names, pictures):  # noqa: B905 - as many by construction
                self._backlog.put(
                    self._job(target, name, pixels, image_format, quality),
                    size_bytes=pixels.nbytes,
                    look=look,
                )
                handed_over += 1
        finally:
            for name in names[handed_over:]:
                given_up = SaveState("failed", "The prompt was stopped before it.")
                self._table.note(target.subfolder, name, given_up)
        return [PromisedFile(name, target.subfolder) for name in names]

    def states(self, subfolder: str) -> dict[str, SaveState]:
        """Tell what became of a subfolder's files; empty where nothing is known."""
        return self._table.of(subfolder)

    def listening(self, listener: Callable[[], None]) -> AbstractContextManager[None]:
        """Call a listener, which must not wait, whenever a state has changed; from any thread."""
        return self._table.listening(listener)

    def close(self, *, timeout_s: float) -> None:
        """Drop what waits, and end the threads."""
        self._backlog.close(timeout_s=timeout_s)

    def _job(
        self, target: SaveTarget, name: str, pixels: Pixels, image_format: str, quality: int
    ) -> Callable[[], None]:
        path = target.directory / name

        def save_one() -> None:
            try:
                data = self._encode(pixels, image_format=image_format, quality=quality)
                self._table.note(target.subfolder, name, SaveState("waiting", data=data))
                write_whole(path, data)
            except Exception as error:  # noqa: BLE001 - whatever it was, somebody waits for the file
                reason = _reason(error)
                self._table.note(target.subfolder, name, SaveState("failed", reason))
                log.error("LlamaSketch: %s/%s not written: %s", target.subfolder, name, reason)  # noqa: TRY400 - a traceback tells no more
            else:
                self._table.note(target.subfolder, name, SaveState("written", path=path))

        return save_one


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that its name holds all of it or nothing.

    Not so after a power cut, which ends the prompt as well: nobody waits for its file then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, since only a rename inside one file system is atomic. ComfyUI lists no
    # hidden files, and nobody knows the name.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        with temporary.open("xb") as file:
            file.write(data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _reason(error: Exception) -> str:
    """Say what went wrong without a path: it is read over HTTP."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"[:_ERROR_CHARS]
