"""The saver: brings a finished image from a node into storage, whole and looked at."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import structlog

from generation.exceptions import InvalidImage
from generation.images import Encoded, image_check, is_blank, thumbnail_encode
from generation.models import Job
from generation.storage import blob_delete, blob_write, image_name
from generation.transitions import StoredImage
from workers.comfy.client import ComfyClient
from workers.comfy.errors import (
    BadReply,
    FileMissing,
    FileTooLarge,
    NodeUnreachable,
    Refused,
    TruncatedFile,
)
from workers.comfy.protocol import OutputFile
from workers.failures import Failure, FailureKind

log = structlog.get_logger(__name__)

IMAGE_BYTES_MAX = 64 * 1024 * 1024
# Seconds before each further try: a file may be listed before it is written.
FETCH_PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
# Half a minute: somebody has been told by then that the disk is full.
WRITE_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
SUFFIXES = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}


def image_save(
    client: ComfyClient, file: OutputFile, job: Job, look: Callable[[], None], *, method: str
) -> StoredImage:
    """Fetch, check and keep one image and its thumbnail.

    A failed fetch is repeated: the GPU's work is done and stays. `look` is called before each try
    and raises where the attempt is to stop. `method` is kept with the image.

    Raises:
        Failure: the file never came whole, is blank, has another size, or could not be kept.
    """
    image, content_type = _fetch(client, file, job, look)
    data = image.data
    if is_blank(data):
        raise Failure("blank_image", "the image is blank", FailureKind.BLANK, avoids_node=True)
    look()
    name = image_name(job.id, job.attempt, 0, suffix=SUFFIXES[content_type])
    thumbnail = image_name(job.id, job.attempt, 0, suffix="thumbnail.webp")
    _keep({thumbnail: thumbnail_encode(data).data, name: data}, look)
    return StoredImage(name, thumbnail, content_type, image.width, image.height, len(data), method)


def _keep(blobs: dict[str, bytes], look: Callable[[], None]) -> None:
    """Write the blobs, again and again while the disk is full: the picture is made already."""
    problem: OSError | None = None
    for pause_s in (*WRITE_PAUSES_S, None):
        look()
        try:
            for name, data in blobs.items():
                blob_write(name, data)
        except OSError as error:
            problem = error
            log.warning("image not written", problem=str(error))
        else:
            return
        if pause_s is not None:
            time.sleep(pause_s)
    for name in blobs:
        blob_delete(name)
    raise Failure(
        "storage_full", f"not written: {problem}", FailureKind.INFRASTRUCTURE
    ) from problem


def _fetch(
    client: ComfyClient, file: OutputFile, job: Job, look: Callable[[], None]
) -> tuple[Encoded, str]:
    """Fetch until the file is whole; a fault of the file or the way to it is tried again."""
    params = job.parameters
    problem: Exception | None = None
    for pause_s in (*FETCH_PAUSES_S, None):
        look()
        buffer = io.BytesIO()
        try:
            fetched = client.fetch(file, buffer, max_bytes=IMAGE_BYTES_MAX)
            image = image_check(buffer.getvalue(), width=params.width, height=params.height)
        except (TruncatedFile, FileMissing, NodeUnreachable, BadReply, InvalidImage) as error:
            problem = error
            log.info("image not fetched", file=file.name, problem=str(error))
        except (FileTooLarge, Refused) as error:
            problem = error
            break
        else:
            return image, fetched.content_type
        if pause_s is not None:
            time.sleep(pause_s)
    raise Failure(
        "node_failed", f"not fetched: {problem}", FailureKind.INFRASTRUCTURE, avoids_node=True
    ) from problem
