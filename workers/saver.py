"""The saver: brings a finished image from a node into storage, whole and looked at."""

from __future__ import annotations

import io
import time

import structlog

from generation.exceptions import InvalidImage
from generation.images import image_check, is_blank, thumbnail_encode
from generation.models import Job
from generation.storage import blob_write, image_name
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
from workers.leases import HeldLease

log = structlog.get_logger(__name__)

IMAGE_BYTES_MAX = 64 * 1024 * 1024
# Seconds before each further try: a file may be listed before it is written.
FETCH_PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
SUFFIXES = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}


def image_save(
    client: ComfyClient, file: OutputFile, job: Job, index: int, held: HeldLease
) -> StoredImage:
    """Fetch, check and keep one image and its thumbnail.

    A failed fetch is repeated: the GPU's work is done and stays.

    Raises:
        Failure: the file never came whole, is blank, has another size, or could not be kept.
        LeaseLost: the job is somebody else's by now.
    """
    data, content_type = _fetch(client, file, held)
    image = image_check(data)
    params = job.parameters
    if (image.width, image.height) != (params.width, params.height):
        raise Failure(
            "node_failed",
            f"{image.width}×{image.height} px came, {params.width}×{params.height} were asked for",
            FailureKind.INFRASTRUCTURE,
        )
    if is_blank(data):
        raise Failure("blank_image", "the image is blank", FailureKind.BLANK, avoids_node=True)
    held.check()
    name = image_name(job.id, job.attempt, index, suffix=SUFFIXES[content_type])
    thumbnail = image_name(job.id, job.attempt, index, suffix="thumbnail.webp")
    try:
        blob_write(name, data)
        blob_write(thumbnail, thumbnail_encode(data).data)
    except OSError as error:
        raise Failure(
            "storage_full", f"not written: {error}", FailureKind.INFRASTRUCTURE
        ) from error
    return StoredImage(name, thumbnail, content_type, image.width, image.height, len(data))


def _fetch(client: ComfyClient, file: OutputFile, held: HeldLease) -> tuple[bytes, str]:
    """Fetch until the file is whole; a fault of the file or the way to it is tried again."""
    problem: Exception | None = None
    for pause_s in (*FETCH_PAUSES_S, None):
        held.check()
        buffer = io.BytesIO()
        try:
            fetched = client.fetch(file, buffer, max_bytes=IMAGE_BYTES_MAX)
            data = buffer.getvalue()
            image_check(data)
        except (TruncatedFile, FileMissing, NodeUnreachable, BadReply, InvalidImage) as error:
            problem = error
            log.info("image not fetched", file=file.name, problem=str(error))
        except (FileTooLarge, Refused) as error:
            problem = error
            break
        else:
            return data, fetched.content_type
        if pause_s is not None:
            time.sleep(pause_s)
    raise Failure("node_failed", f"not fetched: {problem}", FailureKind.INFRASTRUCTURE) from problem
