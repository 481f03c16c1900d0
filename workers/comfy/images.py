"""An image file on its way from a server: is it whole, and what is it.

Servers hand out empty and half-written files with status 200, so the end of the file is checked
against what its own format says. PNGs lose their text on the way: ComfyUI writes the whole
workflow into them, the user's prompt included, and an image that is passed on should not carry
it.
"""

import hashlib
import struct
import zlib
from typing import BinaryIO

from workers.comfy.errors import BadReply, TruncatedFile

_PNG, _JPEG, _RIFF, _WEBP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF", b"WEBP"
_MAGIC_BYTES = 12
_CHUNK = struct.Struct(">I4s")
_CRC_BYTES = 4
_TEXT_CHUNKS = frozenset({b"tEXt", b"zTXt", b"iTXt", b"eXIf"})
_EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}


def content_type_of(head: bytes) -> str | None:
    """Return the type of an image from its first 12 bytes; None for other formats."""
    if head.startswith(_PNG):
        return "image/png"
    if head.startswith(_JPEG):
        return "image/jpeg"
    if head.startswith(_RIFF) and head[8:12] == _WEBP:
        return "image/webp"
    return None


def content_name(data: bytes) -> str:
    """Return a file name that only these bytes have, such as `3f…c9.png`.

    Two sketches uploaded under one name become one file on the server, and the second user's
    sketch the first user's image.
    """
    extension = _EXTENSIONS.get(content_type_of(data[:_MAGIC_BYTES]) or "", "bin")
    return f"{hashlib.sha256(data).hexdigest()}.{extension}"


class ImageReceiver:
    """Writes an image to a file as it arrives and tells at the end whether all of it came.

    Attributes:
        received_bytes: how many bytes came.
        written_bytes: how many were written; fewer for a PNG with text in it.
    """

    def __init__(self, destination: BinaryIO) -> None:
        self._destination = destination
        self._waiting = b""
        self._content_type: str | None = None
        self._chunk_left = 0  # bytes of the current PNG chunk's data that have not come
        self._chunk_type = b""
        self._crc = 0
        self._ended = False  # IEND was read
        self._tail = b""
        self._riff_bytes = 0
        self.received_bytes = 0
        self.written_bytes = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            BadReply: it is no image.
            TruncatedFile: a PNG chunk is damaged.
        """
        self.received_bytes += len(data)
        self._waiting += data
        if self._content_type is None:
            if len(self._waiting) < _MAGIC_BYTES:
                return
            self._recognise()
        if self._content_type == "image/png":
            self._feed_png()
        else:
            self._tail = (self._tail + self._waiting)[-2:]
            self._write(self._waiting)
            self._waiting = b""

    def finish(self) -> str:
        """Return the content type of a whole image.

        Raises:
            BadReply: it is no image.
            TruncatedFile: it is empty or ends too early.
        """
        if self._content_type is None and not _could_become_image(self._waiting):
            raise BadReply("The file is not an image.")
        whole = {
            None: False,
            "image/png": self._ended,
            "image/jpeg": self._tail == b"\xff\xd9",
            "image/webp": self.received_bytes == self._riff_bytes,
        }[self._content_type]
        if not whole or self._content_type is None:
            raise TruncatedFile(f"The file ends too early, after {self.received_bytes} bytes.")
        return self._content_type

    def _recognise(self) -> None:
        self._content_type = content_type_of(self._waiting)
        if self._content_type is None:
            raise BadReply("The file is not an image.")
        if self._content_type == "image/webp":
            # The size counts what follows it; chunks are padded to even length.
            size = int.from_bytes(self._waiting[4:8], "little")
            self._riff_bytes = 8 + size + size % 2
        elif self._content_type == "image/png":
            self._write(_PNG)
            self._waiting = self._waiting[len(_PNG) :]

    def _feed_png(self) -> None:
        while self._waiting:
            if not self._chunk_type:
                if self._ended:
                    raise TruncatedFile("The file goes on after its end.")
                if len(self._waiting) < _CHUNK.size:
                    return
                self._chunk_left, self._chunk_type = _CHUNK.unpack_from(self._waiting)
                self._crc = zlib.crc32(self._chunk_type)
                self._pass_on(_CHUNK.size)
            elif self._chunk_left:
                part = self._waiting[: self._chunk_left]
                self._crc = zlib.crc32(part, self._crc)
                self._chunk_left -= len(part)
                self._pass_on(len(part))
            else:
                if len(self._waiting) < _CRC_BYTES:
                    return
                if int.from_bytes(self._waiting[:_CRC_BYTES]) != self._crc:
                    raise TruncatedFile("The file is damaged.")
                self._pass_on(_CRC_BYTES)
                self._ended = self._chunk_type == b"IEND"
                self._chunk_type = b""

    def _pass_on(self, size: int) -> None:
        part, self._waiting = self._waiting[:size], self._waiting[size:]
        if self._chunk_type not in _TEXT_CHUNKS:
            self._write(part)

    def _write(self, data: bytes) -> None:
        self._destination.write(data)
        self.written_bytes += len(data)


def _could_become_image(head: bytes) -> bool:
    return any(magic.startswith(head[: len(magic)]) for magic in (_PNG, _JPEG, _RIFF))
