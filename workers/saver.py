"""The saver: brings a fetched image into storage, whole and looked at."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from generation.images import is_plain_alike, thumbnail_encode
from generation.models import Job
from generation.storage import blob_read, blob_write
from generation.transitions import StoredImage
from workers.failures import Failure, FailureKind
from workers.fetches import Fetched

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
    image = fetched.image
    if not fetched.is_kept:
        _keep(fetched.name, image.data, look)
    return StoredImage(
        file=fetched.name,
        thumbnail=fetched.thumbnail,
        content_type=fetched.content_type,
        width=image.width,
        height=image.height,
        size_bytes=len(image.data),
        method=method,
    )


def _is_wanted(fetched: Fetched, job: Job) -> bool:
    """Whether a blank image is no fault: its sketch was blank as well."""
    try:
        return is_plain_alike(blob_read(job.sketch), fetched.image.pixels)
    except OSError:
        return False


def thumbnail_save(fetched: Fetched, stored: StoredImage) -> None:
    """Keep an image's thumbnail. One that is missing is made when somebody asks for it."""
    try:
        blob_write(stored.thumbnail, thumbnail_encode(fetched.image.pixels).data)
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
