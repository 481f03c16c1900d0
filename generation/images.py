"""Images as bytes and pixels: decode what strangers send, encode what we keep."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

from PIL import Image, ImageOps

from generation.exceptions import InvalidImage
from generation.png import png_encode, png_keep

SKETCH_BYTES_MAX = 8 * 1024 * 1024
# Nearly twice the largest image that can be made from it; decoding one takes some 60 MB.
SKETCH_PIXELS_MAX = 2048 * 2048
SKETCH_SIDE_MIN = 16
THUMBNAIL_SIDE_PX = 320  # chosen: two device pixels for each of the history strip's
ALLOWED_FORMATS = ("PNG", "JPEG", "WEBP")
# Phones put a second picture behind the JPEG, and Pillow then calls it by another name.
SKETCH_FORMATS = (*ALLOWED_FORMATS, "MPO")
# Chosen: a defective GPU's image is all zero; a drawing on plain paper still differs by more.
BLANK_RANGE = 2
FEW_PX = (16, 16)
PLAIN_NEAR = 32  # chosen: far from the black of a broken GPU under any paper that is not
OPAQUE = 255


@dataclass(frozen=True, slots=True)
class Encoded:
    """An encoded image and its size in pixels."""

    data: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image as it came, with its pixels (RGB): decoded once for all who look at them."""

    data: bytes
    pixels: Image.Image

    @property
    def width(self) -> int:
        """In pixels."""
        return self.pixels.width

    @property
    def height(self) -> int:
        """In pixels."""
        return self.pixels.height


def sketch_normalise(data: bytes) -> Encoded:
    """Turn an uploaded sketch into an RGB PNG on white paper, without metadata.

    One that is that already keeps its rows as they were compressed.

    Raises:
        InvalidImage: empty, too long, of a format we do not take, animated, too many pixels
            (read from the header, before decoding), or truncated.
    """
    with _opened(data) as image:
        if image.format == "PNG" and image.mode == "RGB":
            kept = png_keep(data)
            if kept is not None:
                return Encoded(kept, image.width, image.height)
        try:
            ImageOps.exif_transpose(image, in_place=True)
            sheet = _on_white(image)
            pixels = sheet.tobytes()
            data = png_encode(pixels, width=sheet.width, height=sheet.height)
            return Encoded(data, sheet.width, sheet.height)
        except MemoryError:
            raise
        except Exception as error:
            raise InvalidImage(
                "The image is damaged and cannot be read. Save it again and send that."
            ) from error


def image_check(data: bytes, *, width: int, height: int) -> Decoded:
    """Decode an image that a node made, completely.

    Raises:
        InvalidImage: not an image, truncated, or of another size in pixels than was asked for
            (read from the header, before decoding).
    """
    try:
        with Image.open(io.BytesIO(data), formats=ALLOWED_FORMATS) as image:
            has_right_size = image.size == (width, height)
            pixels = _rgb(image) if has_right_size else image
    except MemoryError:
        raise
    except Exception as error:
        raise InvalidImage("The node sent a file that is not a whole image.") from error
    if not has_right_size:
        raise InvalidImage(f"The node sent an image that is not {width}×{height} pixels.")
    return Decoded(data, pixels)


def is_blank(pixels: Image.Image) -> bool:
    """Whether all pixels are (nearly) the same, as a defective GPU or NaN latents leave them."""
    # A few of them tell already of nearly every picture that it is not.
    few = pixels.resize(FEW_PX, Image.Resampling.NEAREST)
    return all(high - low <= BLANK_RANGE for image in (few, pixels) for low, high in _ranges(image))


def is_plain_alike(sketch: bytes, pixels: Image.Image) -> bool:
    """Whether a blank image is what its sketch was: plain paper of about the same colour.

    Who paints over an empty paper, or enlarges one, may well get one back.
    """
    with Image.open(io.BytesIO(sketch), formats=ALLOWED_FORMATS) as image:
        paper = image.convert("RGB")
    if not is_blank(paper):
        return False
    pairs = zip(_ranges(paper), _ranges(pixels), strict=True)
    return all(abs(one[0] - other[0]) <= PLAIN_NEAR for one, other in pairs)


def thumbnail_encode(pixels: Image.Image) -> Encoded:
    """A WebP of at most `THUMBNAIL_SIDE_PX` on its longer side."""
    small = pixels.copy()
    # Measured, from 512²: 3.5 ms, with LANCZOS 5.7, and no difference to be seen at this size.
    small.thumbnail((THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX), Image.Resampling.HAMMING)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=82, method=2)
    return Encoded(buffer.getvalue(), small.width, small.height)


def _rgb(image: Image.Image) -> Image.Image:
    """The image's pixels, decoded; copied only where they are not RGB yet."""
    if image.mode != "RGB":
        return image.convert("RGB")
    image.load()
    return image


def _opened(data: bytes) -> Image.Image:
    """Open a sketch and judge it by its header alone."""
    if not data:
        raise InvalidImage("The image is empty. Send a PNG, JPEG or WebP.")
    if len(data) > SKETCH_BYTES_MAX:
        raise InvalidImage(
            f"The image is larger than {SKETCH_BYTES_MAX // 2**20} MB. Send a smaller one."
        )
    try:
        with warnings.catch_warnings():
            # Pillow's own limit only warns, and lies above ours.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=(*ALLOWED_FORMATS, "GIF"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, Image.DecompressionBombError):
            raise _too_many_pixels() from error
        raise InvalidImage("This is not a PNG, JPEG or WebP image.") from error
    if image.format not in SKETCH_FORMATS:
        raise InvalidImage("This is a GIF. Send a PNG, JPEG or WebP.")
    if image.width * image.height > SKETCH_PIXELS_MAX:
        raise _too_many_pixels()
    if min(image.size) < SKETCH_SIDE_MIN:
        raise InvalidImage(f"The image is smaller than {SKETCH_SIDE_MIN} pixels on a side.")
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise InvalidImage("The image is animated. Send a single picture.")
    return image


def _too_many_pixels() -> InvalidImage:
    return InvalidImage(
        f"The image has more than {SKETCH_PIXELS_MAX // 1_000_000} million pixels. Make it smaller."
    )


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        rgba = image.convert("RGBA")
        if rgba.getchannel("A").getextrema() == (OPAQUE, OPAQUE):
            return rgba.convert("RGB")  # what browsers send, and paper would not be seen
        paper = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(paper, rgba).convert("RGB")
    if image.mode.startswith("I"):
        # 16 bits of grey, which Pillow would cut off at 255 instead of scaling.
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    return image.convert("RGB")


def _ranges(image: Image.Image) -> list[tuple[float, float]]:
    return [band.getextrema() for band in image.split()]  # type: ignore[misc]  # one band: a pair
