"""Fetches: the files of a prompt, brought over by threads as soon as the node names them.

A node names a file before its record says that the prompt is complete, and the node pack before the
file is written. So fetching begins early, and is mostly done when the verdict comes.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass

import structlog

from generation.exceptions import InvalidImage
from generation.images import Decoded, image_check, is_blank
from workers.comfy.client import ComfyClient
from workers.comfy.errors import (
    BadReply,
    ComfyError,
    FileMissing,
    FileTooLarge,
    NodeUnreachable,
    Refused,
    TruncatedFile,
)
from workers.comfy.protocol import OutputFile
from workers.comfy.records import SaveStatus
from workers.failures import Failure, FailureKind

log = structlog.get_logger(__name__)

IMAGE_BYTES_MAX = 64 * 1024 * 1024
# Seconds before each further try: a file may be listed before it is written.
PAUSES_S = (0.02, 0.03, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
# While the node pack says that a file waits to be written, and not longer than this.
WAITING_PAUSE_S, WAITING_MAX_S = 0.5, 60.0
LOOK_EVERY_S = 1.0
THREADS = 16  # chosen: each waits for a node most of its time

_pool = ThreadPoolExecutor(THREADS, thread_name_prefix="fetch")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole image of the right size."""

    image: Decoded
    content_type: str
    is_blank: bool


class Fetches:
    """The fetches of one prompt's images, `width` × `height` pixels each."""

    def __init__(self, client: ComfyClient, *, width: int, height: int) -> None:
        self._client = client
        self._size = (width, height)
        self._begun: dict[tuple[str, str], Future[Fetched]] = {}
        self._is_over = threading.Event()

    def begin(self, files: Iterable[OutputFile]) -> None:
        """Have files fetched that are not being fetched yet."""
        for file in files:
            key = (file.subfolder, file.name)
            if key not in self._begun:
                self._begun[key] = _pool.submit(self._fetch, file)

    def take(self, file: OutputFile, look: Callable[[], None]) -> Fetched:
        """Wait for a file; `look` is called meanwhile and raises where the attempt is to stop.

        Raises:
            Failure: it never came whole, or has another size.
        """
        self.begin([file])
        future = self._begun[file.subfolder, file.name]
        while True:
            try:
                return future.result(LOOK_EVERY_S)
            except NotYet:
                look()

    def close(self) -> None:
        """Try nothing again that has not come yet."""
        self._is_over.set()

    def _fetch(self, file: OutputFile) -> Fetched:
        """Fetch until the file is whole; a fault of the file or the way to it is tried again."""
        width, height = self._size
        began_at = time.monotonic()
        pauses = iter(PAUSES_S)
        while True:
            buffer = io.BytesIO()
            try:
                fetched = self._client.fetch(file, buffer, max_bytes=IMAGE_BYTES_MAX)
                image = image_check(buffer.getvalue(), width=width, height=height)
                return Fetched(image, fetched.content_type, is_blank(image.pixels))
            except (TruncatedFile, FileMissing, NodeUnreachable, BadReply, InvalidImage) as error:
                problem: Exception = error
            except (FileTooLarge, Refused) as error:
                raise _not_fetched(error) from error
            pause_s = next(pauses, None)
            is_promised = isinstance(problem, FileMissing) and self._waits_to_be_written(file)
            if is_promised and time.monotonic() - began_at < WAITING_MAX_S:
                pause_s = pause_s or WAITING_PAUSE_S
            if pause_s is None or self._is_over.wait(pause_s):
                raise _not_fetched(problem) from problem
            if pause_s >= PAUSES_S[-3]:
                log.info("image not fetched yet", file=file.name, problem=str(problem))

    def _waits_to_be_written(self, file: OutputFile) -> bool:
        """Whether the node pack promises a file that is not there.

        Raises:
            Failure: it says that the file never comes.
        """
        try:
            state = self._client.save_states(file.subfolder).get(file.name)
        except ComfyError:
            return False
        if state is not None and state.state is SaveStatus.FAILED:
            raise Failure(
                "node_failed",
                f"the node could not write its image: {state.error}",
                FailureKind.INFRASTRUCTURE,
                avoids_node=True,
            )
        return state is not None and state.state is SaveStatus.WAITING


def _not_fetched(problem: Exception) -> Failure:
    return Failure(
        "node_failed", f"not fetched: {problem}", FailureKind.INFRASTRUCTURE, avoids_node=True
    )
