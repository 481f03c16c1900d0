"""A download: one file of a prompt, from its node into storage, whole and looked at.

What will lie there can be told as soon as the bytes have arrived. Decoding them, to look at them,
and bringing them to the disk go on side by side, and beside what the caller does meanwhile. The
place on the disk is made while the node still works.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

import structlog

from generation.exceptions import InvalidImage
from generation.images import Decoded, image_check, is_blank
from generation.models import Job
from generation.storage import BlobDraft, blob_write, image_folder, image_name
from workers.comfy.client import ComfyClient
from workers.comfy.downloads import FetchedFile
from workers.comfy.errors import (
    BadReply,
    ComfyError,
    FileMissing,
    FileTooLarge,
    FileWaiting,
    NodeUnreachable,
    Refused,
    SaveFailed,
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
SUFFIXES = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
SETTLED_WITHIN_S = 0.2  # chosen: some disks' worst; rows are locked meanwhile

# Decoding lets other threads run.
_looking = ThreadPoolExecutor(16, thread_name_prefix="images")


@dataclass(frozen=True, slots=True)
class Arrived:
    """A file whose bytes are here, under the names that it and its thumbnail get in storage."""

    name: str
    thumbnail: str
    content_type: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole image of the right size."""

    file: Arrived
    image: Decoded
    is_blank: bool
    is_kept: bool  # whether it is in storage already


class Unsettled(Exception):
    """An image is not in storage, or not one, or that is not known yet."""


class Download:
    """A file on its way; begun before the prompt has named it, or after.

    Attributes:
        arrived: the file once its bytes are there.
        coming: the file once it was looked at; both may have the Failure that says why not.
    """

    coming: Future[Fetched]

    def __init__(self, client: ComfyClient, file: OutputFile, job: Job, *, has_pack: bool) -> None:
        self.arrived: Future[Arrived] = Future()
        self._client = client
        self._file = file
        self._job = job
        self._has_pack = has_pack
        self._named = threading.Event()
        self._over = threading.Event()
        self._writing = threading.Lock()
        self._draft: BlobDraft | None = None

    @property
    def is_named(self) -> bool:
        """Whether the prompt has named the file."""
        return self._named.is_set()

    @property
    def is_over(self) -> bool:
        """Whether it was stopped."""
        return self._over.is_set()

    def begin(self, pool: Executor) -> None:
        """Have a thread of the pool bring the file."""
        self.coming = pool.submit(self._bring)

    def name(self) -> None:
        """Say that the prompt has named the file."""
        self._named.set()

    def stop(self) -> None:
        """Try nothing again; from now on nothing is written. Waits while something just is."""
        self._over.set()
        self._named.set()
        self.coming.cancel()
        with self._writing:
            pass

    def arrive(self, within_s: float) -> Arrived:
        """The file, once its bytes are here.

        Raises:
            Unsettled: they never will be, or that takes longer.
        """
        try:
            return self.arrived.result(within_s)
        except (Failure, TimeoutError) as error:
            raise Unsettled from error

    def settle(self, expected: Arrived) -> None:
        """Wait until what has arrived is in storage, and known to be an image.

        Raises:
            Unsettled: it is not, or was fetched again, or all that takes longer than a moment.
        """
        try:
            fetched = self.coming.result(SETTLED_WITHIN_S)
        except (Failure, TimeoutError) as error:
            raise Unsettled from error
        if fetched.is_blank or not fetched.is_kept or fetched.file != expected:
            raise Unsettled

    def _bring(self) -> Fetched:
        try:
            with self._drafted():
                return self._come_early() or self._come_named()
        except BaseException as error:
            if not self.arrived.done():
                self.arrived.set_exception(error)
            raise

    @contextmanager
    def _drafted(self) -> Iterator[None]:
        """Make the place on the disk; what is left of it afterwards goes."""
        with suppress(OSError):  # it is tried again with the bytes
            self._draft = BlobDraft(image_folder(self._job.id))
        try:
            yield
        finally:
            if self._draft is not None:
                self._draft.discard()

    def _come_early(self) -> Fetched | None:
        """Take the file once it is written, before anybody says so; None once it is named."""
        while not self.is_named:
            asked_at = time.monotonic()
            try:
                return self._whole(partial(self._ask, is_early=True))
            except (FileMissing, FileWaiting):
                if time.monotonic() - asked_at < WRITTEN_WITHIN_S / 2:
                    break  # a pack that cannot wait for it
            except (ComfyError, InvalidImage):
                break
        self._named.wait()
        if self._over.is_set():
            raise _not_fetched("it is not wanted any more")
        return None

    def _come_named(self) -> Fetched:
        """Fetch until the file is whole; a fault of the file or the way to it is tried again."""
        promised = self._come_promised() if self._has_pack else None
        if promised is not None:
            return promised
        pauses = iter(PAUSES_S)
        while True:
            try:
                return self._whole(self._client.fetch)
            except (TruncatedFile, FileMissing, NodeUnreachable, BadReply, InvalidImage) as error:
                problem: Exception = error
            except (FileTooLarge, Refused) as error:
                raise _not_fetched(error) from error
            pause_s = next(pauses, None)
            if pause_s is None or self._over.wait(pause_s):
                raise _not_fetched(problem) from problem
            if pause_s >= PAUSES_S[-3]:
                log.info("image not fetched yet", file=self._file.name, problem=str(problem))

    def _come_promised(self) -> Fetched | None:
        """Wait while the node pack promises the file; None where it may be there without that.

        Raises:
            Failure: the pack says that it never comes.
        """
        ends_at = time.monotonic() + WAITING_MAX_S
        while time.monotonic() < ends_at:
            try:
                return self._whole(partial(self._ask, is_early=False))
            except FileWaiting as error:
                if self._over.wait(WAITING_PAUSE_S):
                    raise _not_fetched(error) from error
            except SaveFailed as error:
                raise _never_written(error.problem) from error
            except FileMissing:
                self._wait_until_written(ends_at)
                return None
            except (ComfyError, InvalidImage):
                return None
        return None

    def _wait_until_written(self, ends_at: float) -> None:
        """Ask an older pack, which tells of files and gives none."""
        while time.monotonic() < ends_at:
            try:
                states = self._client.save_states(
                    self._file.subfolder, name=self._file.name, wait_s=WRITTEN_WITHIN_S
                )
            except ComfyError:
                return
            state = states.get(self._file.name)
            if state is not None and state.state is SaveStatus.FAILED:
                raise _never_written(state.error)
            if state is None or state.state is not SaveStatus.WAITING:
                return
            if self._over.wait(WAITING_PAUSE_S):
                return

    def _ask(
        self, file: OutputFile, destination: BinaryIO, *, max_bytes: int, is_early: bool
    ) -> FetchedFile:
        return self._client.fetch_promised(
            file, destination, max_bytes=max_bytes, wait_s=WRITTEN_WITHIN_S, is_early=is_early
        )

    def _whole(self, fetch: Callable[..., FetchedFile]) -> Fetched:
        """Fetch the file, look at it, and keep it.

        Its name holds the job and the attempt. So if another worker has taken the attempt over, it
        writes the same bytes; nobody may delete them but whoever holds the lease. What turns out to
        be none of ours is written over by the next try, or swept.
        """
        buffer = io.BytesIO()
        fetched = fetch(self._file, buffer, max_bytes=IMAGE_BYTES_MAX)
        data, file = buffer.getvalue(), self._arrive(fetched)
        looking = _looking.submit(self._look, data)
        is_kept = self._keep(file.name, data)
        image, is_bad = looking.result()
        return Fetched(file, image, is_bad, is_kept)

    def _look(self, data: bytes) -> tuple[Decoded, bool]:
        params = self._job.parameters
        image = image_check(data, width=params.width, height=params.height)
        return image, is_blank(image.pixels)

    def _arrive(self, fetched: FetchedFile) -> Arrived:
        name = partial(image_name, self._job.id, self._job.attempt, 0)
        file = Arrived(
            name=name(suffix=SUFFIXES[fetched.content_type]),
            thumbnail=name(suffix="thumbnail.webp"),
            content_type=fetched.content_type,
            size_bytes=fetched.size_bytes,
        )
        if not self.arrived.done():
            self.arrived.set_result(file)
        return file

    def _keep(self, name: str, data: bytes) -> bool:
        with self._writing:
            if self._over.is_set():  # another file may be written under this name by now
                return False
            draft, self._draft = self._draft, None
            try:
                if draft is None:
                    blob_write(name, data)
                else:
                    draft.keep(name, data)
            except OSError as error:  # the saver tries for longer
                log.warning("image not written", problem=str(error))
                return False
            return True


def _not_fetched(problem: Exception | str) -> Failure:
    return Failure(
        "node_failed", f"not fetched: {problem}", FailureKind.INFRASTRUCTURE, avoids_node=True
    )


def _never_written(problem: str) -> Failure:
    return Failure(
        "node_failed",
        f"the node could not write its image: {problem}",
        FailureKind.INFRASTRUCTURE,
        avoids_node=True,
    )
