"""PNG files that are taken over as they came, or not at all."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from generation.png import SIGNATURE, png_encode, png_keep

WIDTH, HEIGHT = 24, 17
NOISE = np.random.default_rng(7).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
ROWS = b"".join(b"\0" + row.tobytes() for row in NOISE)


def chunk(type_: bytes, data: bytes = b"", *, crc: int | None = None) -> bytes:
    """A chunk with its checksum, or with another."""
    found = zlib.crc32(type_ + data) if crc is None else crc
    return struct.pack(">I", len(data)) + type_ + data + struct.pack(">I", found)


def header(*, depth: int = 8, color: int = 2, interlace: int = 0) -> bytes:
    """The header of our size."""
    fields = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, color, 0, 0, interlace)
    return chunk(b"IHDR", fields)


def png(*chunks: bytes) -> bytes:
    """A file of chunks."""
    return SIGNATURE + b"".join(chunks)


def pixels_of(data: bytes) -> bytes:
    """What Pillow makes of a file."""
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return image.tobytes()


def by_pillow(**options: object) -> bytes:
    """The same picture as Pillow writes it."""
    buffer = io.BytesIO()
    Image.fromarray(NOISE).save(buffer, "PNG", **options)
    return buffer.getvalue()


def types_of(data: bytes) -> Iterator[bytes]:
    """The chunks' types, in their order."""
    at = len(SIGNATURE)
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8]
        at += 12 + length


PIXELS = chunk(b"IDAT", zlib.compress(ROWS))
HALF = len(zlib.compress(ROWS)) // 2
END = chunk(b"IEND")
KEPT = {
    "by hand": png(header(), PIXELS, END),
    "with filters": by_pillow(),
    "as it is written here": png_encode(NOISE.tobytes(), width=WIDTH, height=HEIGHT),
    "in pieces": png(
        header(),
        chunk(b"IDAT", zlib.compress(ROWS)[:HALF]),
        chunk(b"IDAT"),
        chunk(b"IDAT", zlib.compress(ROWS)[HALF:]),
        END,
    ),
    "with its resolution": by_pillow(dpi=(96, 96)),
    "with its colours' kind": png(header(), chunk(b"sRGB", b"\0"), PIXELS, END),
    "with something behind it": png(header(), PIXELS, END) + b"somebody's notes",
}


@pytest.mark.parametrize("data", KEPT.values(), ids=KEPT)
def test_a_plain_picture_is_taken_over_with_nothing_but_its_pixels(data: bytes) -> None:
    kept = png_keep(data)

    assert kept is not None
    assert list(types_of(kept)) == [b"IHDR", b"IDAT", b"IEND"]
    assert pixels_of(kept) == NOISE.tobytes()


LEFT = {
    "nothing": b"",
    "a signature": SIGNATURE,
    "no PNG": b"\xff\xd8\xff" + KEPT["by hand"][3:],
    "a JPEG's name in front": b"x" + KEPT["by hand"],
    "16 bits": png(header(depth=16), PIXELS, END),
    "grey": png(header(color=0), PIXELS, END),
    "with an alpha channel": png(header(color=6), PIXELS, END),
    "a palette": png(header(color=3), PIXELS, END),
    "interlaced": png(header(interlace=1), PIXELS, END),
    "a transparent colour": png(header(), chunk(b"tRNS", bytes(6)), PIXELS, END),
    "turned by its camera": png(header(), chunk(b"eXIf", b"MM\0*"), PIXELS, END),
    "a film": png(header(), chunk(b"acTL", bytes(8)), PIXELS, END),
    "words": png(header(), chunk(b"tEXt", b"Author\0somebody"), PIXELS, END),
    "no header": png(PIXELS, END),
    "two headers": png(header(), header(), PIXELS, END),
    "a larger header behind its pixels": png(
        header(),
        PIXELS,
        chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)),
        END,
    ),
    "a short header": png(chunk(b"IHDR", bytes(12)), PIXELS, END),
    "no pixels": png(header(), END),
    "no end": png(header(), PIXELS),
    "a wrong checksum": png(header(), chunk(b"IDAT", zlib.compress(ROWS), crc=1), END),
    "a chunk that is cut off": png(header(), PIXELS[:-9]),
    "a row too few": png(header(), chunk(b"IDAT", zlib.compress(ROWS[:-73])), END),
    "a byte too few": png(header(), chunk(b"IDAT", zlib.compress(ROWS[:-1])), END),
    "a byte too many": png(header(), chunk(b"IDAT", zlib.compress(ROWS + b"\0")), END),
    "a bomb": png(header(), chunk(b"IDAT", zlib.compress(bytes(10**7))), END),
    "a filter that is none": png(header(), chunk(b"IDAT", zlib.compress(b"\5" + ROWS[1:])), END),
    "bytes behind its pixels": png(header(), chunk(b"IDAT", zlib.compress(ROWS) + b"more"), END),
    "a wrong sum of its pixels": png(
        header(), chunk(b"IDAT", zlib.compress(ROWS)[:-1] + b"\0"), END
    ),
    "pixels that are cut off": png(header(), chunk(b"IDAT", zlib.compress(ROWS)[:-20]), END),
    "no stream": png(header(), chunk(b"IDAT", b"pixels"), END),
}


@pytest.mark.parametrize("data", LEFT.values(), ids=LEFT)
def test_whatever_else_there_may_be_is_left_to_a_decoder(data: bytes) -> None:
    assert png_keep(data) is None


@settings(max_examples=400, deadline=None)
@given(
    whole=st.sampled_from([KEPT["with filters"], KEPT["in pieces"]]),
    changes=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=3),
    cut=st.integers(0, 40),
)
def test_what_is_taken_over_is_what_a_decoder_reads(
    whole: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(whole)
    for at, value in changes:
        data[at % len(data)] = value

    kept = png_keep(bytes(data[: len(data) - cut]))

    if kept is not None:
        assert pixels_of(kept) == pixels_of(bytes(data)) == NOISE.tobytes()
