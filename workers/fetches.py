"""Fetches: the files of a prompt, brought over by threads as soon as the node names them.

A node names a file before its record says that the prompt is complete, and the node pack before the
file is written: it is asked to answer when that is so. So fetching begins early, and is mostly done
when the verdict comes.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass

import structlog

from generation.exceptions import InvalidImage
from generation.images import Decoded, image_check, is_blank
from generation.models import Job
from generation.params import JobParams
from generation.storage import blob_write, image_name
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
PAUSES_S = (0.01, 0.01, 0.02, 0.02, 0.04, 0.08, 0.2, 0.4, 0.8, 1.6, 3.2)
# How long the node pack may hold its answer while a file waits to be written; how long to ask; and
# how long to pause in between, for an older pack answers at once.
WRITTEN_WITHIN_S, WAITING_MAX_S, WAITING_PAUSE_S = 2.5, 60.0, 0.02
LOOK_EVERY_S = 1.0
SUFFIXES = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
# Chosen: each waits for a node most of its time, and a node that hangs holds eight at most.
THREADS = 64

_pool = ThreadPoolExecutor(THREADS, thread_name_prefix="fetch")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole image of the right size."""

    image: Decoded
    content_type: str
    is_blank: bool
    name: str
    thumbnail: str
    is_kept: bool  # whether it is in storage already


class Fetches:
    """The fetches of one prompt's images, one for each of its jobs."""

    def __init__(self, client: ComfyClient, jobs: Sequence[Job], *, has_pack: bool) -> None:
        self._client = client
        self._has_pack = has_pack
        self._jobs = {job.prompt_index: job for job in jobs}
        self._begun: dict[tuple[int, str, str], Future[Fetched]] = {}
        self._is_over = threading.Event()

    def begin(self, files: Sequence[OutputFile]) -> None:
        """Have files fetched that are not being fetched yet. Give all that the prompt named."""
        for index, file in enumerate(files):
            key = (index, file.subfolder, file.name)
            if index in self._jobs and key not in self._begun:
                self._begun[key] = _pool.submit(self._bring, file, self._jobs[index])

    def has_all_within(self, seconds: float) -> bool:
        """Wait so long at most for all that was begun; whether each has come or never will."""
        return not wait(self._begun.values(), seconds).not_done

    def take(self, files: Sequence[OutputFile], index: int, look: Callable[[], None]) -> Fetched:
        """Wait for one of the files; `look` is called meanwhile and raises to stop that.

        Raises:
            Failure: it never came whole, or has another size.
        """
        key = (index, files[index].subfolder, files[index].name)
        # Should the record name another file here than the events did, that one is not to be kept
        # over it.
        wait([other for begun, other in self._begun.items() if begun[0] == index and begun != key])
        self.begin(files)
        future = self._begun[key]
        while True:
            try:
                return future.result(LOOK_EVERY_S)
            except NotYet:
                look()

    def close(self) -> None:
        """Try nothing again that has not come yet."""
        self._is_over.set()
        for future in self._begun.values():
            future.cancel()

    def _bring(self, file: OutputFile, job: Job) -> Fetched:
        """Fetch a file, look at it, and keep it.

        Its name holds the job and the attempt. So if another worker has taken the attempt over, it
        writes the same bytes; nobody may delete them but whoever holds the lease.
        """
        image, content_type = self._fetch(file, job.parameters)
        is_bad = is_blank(image.pixels)
        name = image_name(job.id, job.attempt, 0, suffix=SUFFIXES[content_type])
        is_kept = False
        if not is_bad:
            try:
                blob_write(name, image.data)
                is_kept = True
            except OSError as error:  # the saver tries for longer
                log.warning("image not written", problem=str(error))
        thumbnail = image_name(job.id, job.attempt, 0, suffix="thumbnail.webp")
        return Fetched(image, content_type, is_bad, name, thumbnail, is_kept)

    def _fetch(self, file: OutputFile, params: JobParams) -> tuple[Decoded, str]:
        """Fetch until the file is whole; a fault of the file or the way to it is tried again."""
        if self._has_pack:
            self._wait_until_written(file)
        pauses = iter(PAUSES_S)
        while True:
            buffer = io.BytesIO()
            try:
                fetched = self._client.fetch(file, buffer, max_bytes=IMAGE_BYTES_MAX)
                data = buffer.getvalue()
                image = image_check(data, width=params.width, height=params.height)
            except (TruncatedFile, FileMissing, NodeUnreachable, BadReply, InvalidImage) as error:
                problem: Exception = error
            except (FileTooLarge, Refused) as error:
                raise _not_fetched(error) from error
            else:
                return image, fetched.content_type
            pause_s = next(pauses, None)
            if pause_s is None or self._is_over.wait(pause_s):
                raise _not_fetched(problem) from problem
            if pause_s >= PAUSES_S[-3]:
                log.info("image not fetched yet", file=file.name, problem=str(problem))

    def _wait_until_written(self, file: OutputFile) -> None:
        """Wait while the node pack promises a file; what it does not know of may be there.

        Raises:
            Failure: it says that the file never comes.
        """
        ends_at = time.monotonic() + WAITING_MAX_S
        while time.monotonic() < ends_at:
            try:
                states = self._client.save_states(
                    file.subfolder, name=file.name, wait_s=WRITTEN_WITHIN_S
                )
            except ComfyError:
                return
            state = states.get(file.name)
            if state is not None and state.state is SaveStatus.FAILED:
                raise Failure(
                    "node_failed",
                    f"the node could not write its image: {state.error}",
                    FailureKind.INFRASTRUCTURE,
                    avoids_node=True,
                )
            if state is None or state.state is not SaveStatus.WAITING:
                return
            if self._is_over.wait(WAITING_PAUSE_S):
                return


def _not_fetched(problem: Exception) -> Failure:
    return Failure(
        "node_failed", f"not fetched: {problem}", FailureKind.INFRASTRUCTURE, avoids_node=True
    )
