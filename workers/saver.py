"""The saver: brings a fetched image into storage, whole and looked at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import structlog

from generation.images import is_plain_alike, thumbnail_encode
from generation.models import Job
from generation.storage import blob_read, blob_write
from generation.transitions import Lease, StoredImage, job_succeed
from workers.download import Arrived, Download, Fetched, Unsettled
from workers.failures import Failure, FailureKind

log = structlog.get_logger(__name__)

# Half a minute: somebody has been told by then that the disk is full.
WRITE_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)


def image_save(fetched: Fetched, job: Job, look: Callable[[], None], *, method: str) -> StoredImage:
    """See that an image is kept; its thumbnail may come later. `method`: how it was enlarged.

    `look` is called before each further try and raises where the attempt is to stop.

    Raises:
        Failure: it is blank, or could not be kept.
    """
    if fetched.is_blank and not _is_wanted(fetched, job):
        raise Failure("blank_image", "the image is blank", FailureKind.BLANK, avoids_node=True)
    if not fetched.is_kept:
        _keep(fetched.file.name, fetched.image.data, look)
    return image_foreseen(fetched.file, job, method=method)


def image_succeed(
    download: Download,
    lease: Lease,
    job: Job,
    *,
    execution_s: float | None,
    method: str,
    within_s: float,
    confirm: Callable[[], None] = lambda: None,
) -> Job | None:
    """End a job well while its image is looked at and kept; all is written, or nothing.

    Waits `within_s` for the image's bytes, with the job's row locked. `confirm` raises Unsettled
    where the job is not to end like this after all. None then, where it takes longer to have the
    image in storage and known to be good, and where the job is not ours any more.
    """

    def images() -> Iterator[StoredImage]:
        yield image_foreseen(download.arrive(within_s), job, method=method)

    def settle() -> None:
        confirm()
        download.settle(download.arrive(within_s))

    try:
        return job_succeed(lease, images(), execution_s=execution_s, settle=settle)
    except Unsettled:
        return None


def image_foreseen(file: Arrived, job: Job, *, method: str) -> StoredImage:
    """What an image will be in storage, once it is there and was looked at."""
    params = job.parameters
    return StoredImage(
        file=file.name,
        thumbnail=file.thumbnail,
        content_type=file.content_type,
        # Or it is not taken.
        width=params.width,
        height=params.height,
        size_bytes=file.size_bytes,
        method=method,
    )


def _is_wanted(fetched: Fetched, job: Job) -> bool:
    """Whether a blank image is no fault: its sketch was blank as well."""
    try:
        return is_plain_alike(blob_read(job.sketch), fetched.image.pixels)
    except OSError:
        return False


def thumbnail_save(fetched: Fetched) -> None:
    """Keep an image's thumbnail. One that is missing is made when somebody asks for it."""
    try:
        blob_write(fetched.file.thumbnail, thumbnail_encode(fetched.image.pixels).data)
    except OSError as error:
        log.warning("thumbnail not written", problem=str(error))


def _keep(name: str, data: bytes, look: Callable[[], None]) -> None:
    """Write a blob, again and again while the disk is full: the picture is made already."""
    problem: OSError | None = None
    for pause_s in (*WRITE_PAUSES_S, None):
        try:
            blob_write(name, data)
        except OSError as error:
            problem = error
            log.warning("image not written", problem=str(error))
        else:
            return
        if pause_s is not None:
            time.sleep(pause_s)
            look()
    # Nothing is deleted: what lies there now was written by whoever took the attempt over.
    raise Failure(
        "storage_full", f"not written: {problem}", FailureKind.INFRASTRUCTURE
    ) from problem
