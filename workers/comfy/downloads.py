"""A download: an image that arrives from a server, within limits and to its end."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import urllib3

from workers.comfy.errors import FileTooLarge, Refused, TruncatedFile
from workers.comfy.images import ImageReceiver

_ANSWER_BYTES_MAX = 64 * 1024  # chosen: the node pack says a line


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A whole image; `size_bytes` is what was written."""

    size_bytes: int
    content_type: str


def image_receive(
    response: urllib3.BaseHTTPResponse,
    parts: Iterator[bytes],
    destination: BinaryIO,
    *,
    max_bytes: int,
) -> FetchedFile:
    """Write the image in a response to `destination`, without the text inside PNGs.

    Raises:
        Refused: the status is not 200.
        TruncatedFile, FileTooLarge: as they say.
        NodeUnreachable: it stopped in the middle.
        BadReply: it is no PNG, JPEG or WebP.
    """
    if response.status != 200:
        raise Refused(
            f"The server refused the file (HTTP {response.status}).",
            status=response.status,
        )
    announced = response.headers.get("Content-Length", "")
    expected = int(announced) if announced.isdecimal() else None
    if expected is not None and expected > max_bytes:
        raise FileTooLarge(f"The file has {expected} bytes, more than {max_bytes}.")
    receiver = ImageReceiver(destination)
    for part in parts:
        if receiver.received_bytes + len(part) > max_bytes:
            raise FileTooLarge(f"The file has more than {max_bytes} bytes.")
        receiver.feed(part)
    if expected is not None and receiver.received_bytes != expected:
        raise TruncatedFile(f"Of {expected} bytes {receiver.received_bytes} came.")
    content_type = receiver.finish()
    return FetchedFile(receiver.written_bytes, content_type)


def answer_receive(parts: Iterator[bytes]) -> bytes:
    """Return what came instead of an image; of what is too long for that, the beginning.

    It is read to its end so that the connection can be used again.

    Raises:
        NodeUnreachable: it stopped in the middle.
    """
    body = bytearray()
    for part in parts:
        body += part
        if len(body) > _ANSWER_BYTES_MAX:
            break
    return bytes(body)
