"""Uploads: pictures that a node has already are not sent again."""

from __future__ import annotations

import threading
from collections import OrderedDict

from generation.storage import blob_read, sketch_digest
from workers.comfy.client import ComfyClient
from workers.comfy.errors import BadReply

FOLDER = "llamasketch"
REMEMBERED = 4096  # chosen: some hundred bytes each, and a live session sends one a second

_lock = threading.Lock()
_known: OrderedDict[tuple[str, str, str], str] = OrderedDict()


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
    uploaded = client.upload_image(blob_read(name), subfolder=folder)
    if sketch_digest(name) not in uploaded.name:
        # Remembered, it would become whatever is uploaded next: somebody else's sketch.
        raise BadReply(f"The server calls an upload {uploaded.name[:80]!r}, not by its content.")
    reference = uploaded.reference
    with _lock:
        _known[key] = reference
        while len(_known) > REMEMBERED:
            _known.popitem(last=False)
    return reference


def uploads_forget(client: ComfyClient) -> None:
    """Forget what a node has, for it says that it has not."""
    with _lock:
        for key in [key for key in _known if key[0] == client.base_url]:
            del _known[key]
