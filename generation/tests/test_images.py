"""Images: what strangers send is taken, or refused with a sentence; never a crash, never a bomb."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conftest import sketch_png
from generation.exceptions import InvalidImage
from generation.images import (
    SKETCH_BYTES_MAX,
    SKETCH_SIDE_MIN,
    THUMBNAIL_SIDE_PX,
    image_check,
    is_blank,
    is_plain_alike,
    sketch_normalise,
    thumbnail_encode,
)

SIDE = 64
WHITE, RED, GREY = (255, 255, 255), (255, 0, 0), (128, 128, 128)
ORIENTATION = 0x0112


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    """An image's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def plain(
    mode: str = "RGB", color: Any = "red", size: tuple[int, int] = (SIDE, SIDE)
) -> Image.Image:
    """An image of one colour."""
    return Image.new(mode, size, color)


def animated(format_: str) -> bytes:
    """Two different frames."""
    return encoded(
        plain(), format_, save_all=True, append_images=[plain(color="blue")], duration=100
    )


def png_chunk(type_: bytes, data: bytes) -> bytes:
    """A chunk of a PNG, with its length and checksum."""
    return struct.pack(">I", len(data)) + type_ + data + struct.pack(">I", zlib.crc32(type_ + data))


def png_by_hand(
    width: int, height: int, *, depth: int = 8, color_type: int = 2, rest: bytes = b""
) -> bytes:
    """A PNG whose header says what we like."""
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + rest + png_chunk(b"IEND", b"")


def png_of_pixel(pixel: bytes, *, color_type: int, transparency: bytes = b"") -> bytes:
    """A 16-bit PNG that repeats one pixel."""
    rows = (b"\0" + pixel * SIDE) * SIDE
    rest = png_chunk(b"tRNS", transparency) if transparency else b""
    rest += png_chunk(b"IDAT", zlib.compress(rows))
    return png_by_hand(SIDE, SIDE, depth=16, color_type=color_type, rest=rest)


def pixels_of(data: bytes) -> Image.Image:
    """Decode what `sketch_normalise` made."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def middle_of(data: bytes) -> tuple[int, ...]:
    """The colour in the middle of a normalised sketch."""
    image = pixels_of(sketch_normalise(data).data)
    color = image.getpixel((image.width // 2, image.height // 2))
    assert isinstance(color, tuple)
    return tuple(int(part) for part in color)


# --- What is refused ---

PNG, JPEG, WEBP = (encoded(plain(), name) for name in ("PNG", "JPEG", "WEBP"))
NOISE = Image.effect_noise((SIDE, SIDE), 90).convert("RGB")

REFUSED = {
    "empty": (b"", "empty"),
    "text": (b"not an image", "not a PNG"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not a PNG"),
    "pdf": (b"%PDF-1.7\n", "not a PNG"),
    "bmp": (encoded(plain(), "BMP"), "not a PNG"),
    "tiff": (encoded(plain(), "TIFF"), "not a PNG"),
    "icon": (encoded(plain(), "ICO"), "not a PNG"),
    "gif": (encoded(plain(), "GIF"), "GIF"),
    "animated gif": (animated("GIF"), "GIF"),
    "animated png": (animated("PNG"), "animated"),
    "animated webp": (animated("WEBP"), "animated"),
    "signature alone": (b"\x89PNG\r\n\x1a\n", "not a PNG"),
    "truncated png": (encoded(NOISE, "PNG")[:-4000], "damaged"),
    "truncated jpeg": (encoded(NOISE, "JPEG")[:-1500], "damaged"),
    "truncated webp": (encoded(NOISE, "WEBP")[:-500], "damaged|not a PNG"),
    "truncated lossless webp": (
        encoded(NOISE, "WEBP", lossless=True)[:-500],
        "damaged|not a PNG",
    ),
    "png without pixels": (png_by_hand(SIDE, SIDE), "damaged|not a PNG"),
    "png with a wrong checksum": (PNG[:45] + b"\xff\xff" + PNG[47:], "damaged|not a PNG"),
    "50,000 × 50,000": (png_by_hand(50_000, 50_000), "million pixels"),
    "largest header": (png_by_hand(2**31 - 1, 2**31 - 1), "million pixels|not a PNG"),
    "a little too many": (png_by_hand(4097, 4096), "million pixels"),
    "too many, long": (png_by_hand(16, 2_000_000), "million pixels"),
    "no width": (png_by_hand(0, SIDE), "smaller|not a PNG"),
    "one pixel": (encoded(plain(size=(1, 1)), "PNG"), "smaller"),
    "a line": (encoded(plain(size=(512, SKETCH_SIDE_MIN - 1)), "PNG"), "smaller"),
    "too many bytes": (PNG + b"\0" * SKETCH_BYTES_MAX, "MB"),
}


@pytest.mark.parametrize(("data", "says"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_sketch_is_refused_with_a_sentence(data: bytes, says: str) -> None:
    with pytest.raises(InvalidImage, match=says) as refusal:
        sketch_normalise(data)

    assert str(refusal.value).endswith(".")


def test_a_photo_that_holds_several_pictures_is_never_called_a_gif() -> None:
    photo = encoded(plain(), "MPO", save_all=True, append_images=[plain(color="blue")])

    try:
        sketch = sketch_normalise(photo)
    except InvalidImage as refusal:
        assert "GIF" not in str(refusal)  # noqa: PT017 - taking the first picture is fine too
    else:
        assert sketch.width == SIDE


# --- What is taken ---

TAKEN = {
    "png": (PNG, RED),
    "jpeg": (JPEG, RED),
    "webp": (WEBP, RED),
    "lossless webp": (encoded(plain(), "WEBP", lossless=True), RED),
    "grey png": (encoded(plain("L", 128), "PNG"), GREY),
    "grey jpeg": (encoded(plain("L", 128), "JPEG"), GREY),
    "black and white": (encoded(plain("1", 0), "PNG"), (0, 0, 0)),
    "palette": (encoded(plain().quantize(8), "PNG"), RED),
    "cmyk": (encoded(plain("CMYK", (0, 255, 255, 0)), "JPEG"), RED),
    "progressive": (encoded(plain(), "JPEG", progressive=True), RED),
    "transparent": (encoded(plain("RGBA", (255, 0, 0, 0)), "PNG"), WHITE),
    "half transparent": (encoded(plain("RGBA", (0, 0, 0, 127)), "PNG"), GREY),
    "opaque": (encoded(plain("RGBA", (255, 0, 0, 255)), "PNG"), RED),
    "transparent grey": (encoded(plain("LA", (0, 0)), "PNG"), WHITE),
    "transparent webp": (encoded(plain("RGBA", (255, 0, 0, 0)), "WEBP"), WHITE),
    "transparent palette": (
        encoded(plain("P", 0), "PNG", transparency=0),
        WHITE,
    ),
    "transparent colour": (encoded(plain(), "PNG", transparency=(255, 0, 0)), WHITE),
    "16 bits a colour": (png_of_pixel(b"\xff\xff\0\0\0\0", color_type=2), RED),
    "16 bits, transparent": (png_of_pixel(b"\xff\xff\0\0\0\0\0\0", color_type=6), WHITE),
    "16 bits, grey": (png_of_pixel(b"\x80\x80", color_type=0), GREY),
    "16 bits, grey by Pillow": (
        encoded(Image.fromarray(np.full((SIDE, SIDE), 0x8080, dtype=np.uint16)), "PNG"),
        GREY,
    ),
    "16 bits, grey, opaque": (png_of_pixel(b"\x80\x80\xff\xff", color_type=4), GREY),
    "smallest": (encoded(plain(size=(SKETCH_SIDE_MIN, SKETCH_SIDE_MIN)), "PNG"), RED),
    "bytes after the end": (PNG + b"\0" * 100, RED),
}


@pytest.mark.parametrize(("data", "color"), TAKEN.values(), ids=TAKEN)
def test_every_kind_of_picture_keeps_its_colours_on_white_paper(
    data: bytes, color: tuple[int, int, int]
) -> None:
    assert middle_of(data) == pytest.approx(color, abs=3)


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(1, (0, 0)), (3, (1, 1)), (6, (1, 0)), (8, (0, 1))],
    ids=["upright", "upside down", "turned right", "turned left"],
)
@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
def test_a_photo_is_turned_as_its_camera_says(
    format_: str, orientation: int, corner: tuple[int, int]
) -> None:
    photo = plain(color="white", size=(128, 64))
    photo.paste((0, 0, 255), (0, 0, 32, 32))  # the upper left corner, as stored
    exif = Image.Exif()
    exif[ORIENTATION] = orientation

    sketch = sketch_normalise(encoded(photo, format_, exif=exif))

    image = pixels_of(sketch.data)
    assert image.size == ((128, 64) if orientation in {1, 3} else (64, 128))
    assert (sketch.width, sketch.height) == image.size
    x, y = corner[0] * (image.width - 16) + 8, corner[1] * (image.height - 16) + 8
    found = image.getpixel((x, y))
    assert isinstance(found, tuple)
    assert found[0] < 100 < found[2]


BROKEN_EXIF = {
    "four bytes": b"Exif\0\0MM\0*",
    "nothing": b"Exif\0\0",
    "no TIFF": b"Exif\0\0hello, world",
    "an end too soon": b"Exif\0\0II*\0\x08\0\0\0\x09\0\x12\x01",
    "a far offset": b"Exif\0\0II*\0\xff\xff\xff\xff",
    "text for a number": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x03\0\0\0ab\0\0\0\0\0\0",
    "no such orientation": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0c\0\0\0\0\0\0\0",
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("exif", BROKEN_EXIF.values(), ids=BROKEN_EXIF)
@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
def test_a_broken_note_of_the_camera_spoils_nothing_or_is_refused(
    format_: str, exif: bytes
) -> None:
    try:
        sketch = sketch_normalise(encoded(plain(), format_, exif=exif))
    except InvalidImage:
        return
    assert (sketch.width, sketch.height) == (SIDE, SIDE)


def test_nothing_but_pixels_is_kept() -> None:
    exif = Image.Exif()
    exif[0x010E] = "where somebody lives"
    photo = encoded(plain(), "JPEG", exif=exif, comment=b"a secret")

    image = pixels_of(sketch_normalise(photo).data)

    assert (image.format, image.mode) == ("PNG", "RGB")
    assert not image.getexif()
    assert b"somebody" not in sketch_normalise(photo).data


@pytest.mark.parametrize(
    ("mode", "files"),
    [("RGBA", [{"compress_level": 1}, {"compress_level": 9}]), ("RGB", [{}, {"dpi": (96, 96)}])],
    ids=["encoded anew", "kept"],
)
def test_the_same_drawing_becomes_the_same_bytes(mode: str, files: list[dict[str, Any]]) -> None:
    drawing = Image.open(io.BytesIO(sketch_png())).convert(mode)

    kept = {sketch_normalise(encoded(drawing, "PNG", **options)).data for options in files}

    assert len(kept) == 1


@pytest.mark.parametrize("size", [(16, 17), (33, 16), (512, 344)], ids=str)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_every_pixel_of_an_opaque_sketch_is_kept(mode: str, size: tuple[int, int]) -> None:
    noise = Image.merge("RGB", [Image.effect_noise(size, 90) for _ in range(3)])

    sketch = sketch_normalise(encoded(noise.convert(mode), "PNG"))

    with Image.open(io.BytesIO(sketch.data)) as image:
        image.verify()
    assert (sketch.width, sketch.height) == size
    assert pixels_of(sketch.data).tobytes() == noise.tobytes()


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_drawing_is_not_kept_longer_than_pillow_would_write_it(mode: str) -> None:
    drawing = Image.open(io.BytesIO(sketch_png()))
    drawing.thumbnail((256, 256), Image.Resampling.LANCZOS)  # soft edges, as a browser draws

    sketch = sketch_normalise(encoded(drawing.convert(mode), "PNG"))

    assert len(sketch.data) <= len(encoded(drawing, "PNG", compress_level=1))


def _spoiled() -> st.SearchStrategy[bytes]:
    """Pictures of each kind with some bytes changed, and some cut off."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    picture = plain("RGBA", (255, 0, 0, 100), size=(24, 24))
    whole = [
        encoded(picture, "PNG", exif=exif),
        encoded(picture, "WEBP", exif=exif),
        encoded(picture, "WEBP", lossless=True),
        encoded(picture.convert("RGB"), "JPEG", exif=exif),
        encoded(picture.convert("P"), "PNG", transparency=0),
    ]

    @st.composite
    def build(draw: st.DrawFn) -> bytes:
        data = bytearray(draw(st.sampled_from(whole)))
        for _ in range(draw(st.integers(1, 6))):
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
        return bytes(data[: draw(st.integers(1, len(data)))] if draw(st.booleans()) else data)

    return build()


@settings(max_examples=300, deadline=None)
@given(data=_spoiled())
def test_whatever_is_spoiled_is_refused_or_drawn(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on broken metadata
        try:
            sketch = sketch_normalise(data)
        except InvalidImage:
            return
    assert sketch.width > 0


# --- What nodes send ---


@pytest.mark.parametrize("data", [PNG, JPEG, WEBP], ids=["png", "jpeg", "webp"])
def test_a_nodes_whole_image_stays_as_it_came(data: bytes) -> None:
    image = image_check(data, width=SIDE, height=SIDE)

    assert (image.data, image.width, image.height) == (data, SIDE, SIDE)


@pytest.mark.parametrize(
    "data",
    [b"", b"<html>502</html>", PNG[:30], encoded(NOISE, "PNG")[:-4000], encoded(plain(), "BMP")],
    ids=["empty", "a page", "a header", "truncated", "another format"],
)
def test_what_is_not_a_nodes_whole_image_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidImage):
        image_check(data, width=SIDE, height=SIDE)


def test_an_image_of_another_size_is_refused_before_it_is_decoded() -> None:
    header_alone = encoded(NOISE, "PNG")[:100]

    with pytest.raises(InvalidImage, match="pixels"):
        image_check(header_alone, width=SIDE * 2, height=SIDE)


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(
    ("color", "dot", "blank"),
    [
        ((0, 0, 0), None, True),
        ((255, 255, 255), None, True),
        ((127, 127, 127), (128, 127, 127), True),
        ((255, 255, 255), (0, 0, 0), False),
        ((0, 0, 0), (0, 60, 0), False),
    ],
    ids=["black", "white", "nearly grey", "a line on paper", "one channel"],
)
def test_blank_is_what_has_one_colour(
    format_: str, color: tuple[int, int, int], dot: tuple[int, int, int] | None, blank: bool
) -> None:
    image = plain(color=color)
    if dot:
        image.paste(dot, (16, 16, 32, 32))

    assert is_blank(pixels_of(encoded(image, format_)).convert("RGB")) is blank


@pytest.mark.parametrize(
    ("paper", "image", "alike"),
    [
        ((255, 255, 255), (250, 252, 251), True),
        ((255, 255, 255), (0, 0, 0), False),
        ((200, 30, 30), (190, 40, 35), True),
        ((0, 0, 0), (0, 0, 0), True),
    ],
    ids=["white paper", "black from white", "red paper", "black paper"],
)
def test_a_blank_image_is_no_wonder_from_a_blank_paper(
    paper: tuple[int, int, int], image: tuple[int, int, int], alike: bool
) -> None:
    assert is_plain_alike(encoded(plain(color=paper), "PNG"), plain(color=image)) is alike


def test_a_blank_image_of_a_drawing_is_a_fault() -> None:
    assert not is_plain_alike(sketch_png(), plain(color=(255, 255, 255)))


def test_a_drawing_is_not_blank() -> None:
    assert not is_blank(pixels_of(sketch_png()))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1536, 768), (THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX // 2)),
        ((512, 1024), (THUMBNAIL_SIDE_PX // 2, THUMBNAIL_SIDE_PX)),
        ((64, 48), (64, 48)),
    ],
    ids=["wide", "tall", "small already"],
)
def test_a_thumbnail_keeps_the_shape(size: tuple[int, int], expected: tuple[int, int]) -> None:
    thumbnail = thumbnail_encode(plain(size=size))

    image = pixels_of(thumbnail.data)
    assert (image.format, image.size) == ("WEBP", expected)
    assert (thumbnail.width, thumbnail.height) == expected
