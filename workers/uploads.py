"""Uploads: pictures that a node has already are not sent again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeAlias

from generation.models import Job, Node
from generation.storage import blob_read, sketch_digest
from workers.clients import client_for
from workers.comfy.client import ComfyClient
from workers.comfy.errors import BadReply, ComfyError

FOLDER = "llamasketch"
REMEMBERED = 4096  # chosen: some hundred bytes each, and a live session sends one a second

_Key: TypeAlias = tuple[str, str, str]

_lock = threading.Lock()
_known: OrderedDict[_Key, str] = OrderedDict()
_under_way: dict[_Key, Future[str]] = {}
# Chosen: each waits for a node most of its time, and a node that hangs holds few at most.
_early = ThreadPoolExecutor(16, thread_name_prefix="upload")


def pictures_foresee(node: Node, job: Job) -> None:
    """Begin to upload what a job is made from, before it is claimed for the node.

    Who needs the pictures afterwards waits for these uploads, or tries again where one has failed.
    """
    client, attempt = client_for(node.url), job.attempt + 1
    for name in (job.sketch, *job.parameters.blobs):
        _early.submit(_upload_quietly, client, name, attempt)


def picture_upload(client: ComfyClient, name: str, *, attempt: int) -> str:
    """Bring a picture from storage to a node; return what its graph nodes call it there.

    Names in storage hold their content's hash, so a picture that this process has sent stays good
    for as long as the node keeps its input folder; `uploads_forget` where it has not.

    Raises:
        FileNotFoundError: it is not in storage.
        ComfyError: the node did not take it, or calls it by a name that could be another's.
    """
    folder = FOLDER if attempt == 1 else f"{FOLDER}/attempt-{attempt}"
    key = (client.base_url, folder, name)
    with _lock:
        known = _known.get(key)
        if known is not None:
            _known.move_to_end(key)
            return known
        other = _under_way.get(key)
        if other is None:
            own = _under_way[key] = Future()
    if other is not None:
        return other.result()
    try:
        reference = _sent(client, name, folder)
    except BaseException as error:
        with _lock:
            del _under_way[key]
        own.set_exception(error)
        raise
    with _lock:
        del _under_way[key]
        _known[key] = reference
        while len(_known) > REMEMBERED:
            _known.popitem(last=False)
    own.set_result(reference)
    return reference


def _upload_quietly(client: ComfyClient, name: str, attempt: int) -> None:
    with suppress(OSError, ComfyError):
        picture_upload(client, name, attempt=attempt)


def _sent(client: ComfyClient, name: str, folder: str) -> str:
    uploaded = client.upload_image(blob_read(name), subfolder=folder)
    if sketch_digest(name) not in uploaded.name:
        # Remembered, it would become whatever is uploaded next: somebody else's sketch.
        raise BadReply(f"The server calls an upload {uploaded.name[:80]!r}, not by its content.")
    return uploaded.reference


def uploads_forget(client: ComfyClient) -> None:
    """Forget what a node has, for it says that it has not."""
    with _lock:
        for key in [key for key in _known if key[0] == client.base_url]:
            del _known[key]
