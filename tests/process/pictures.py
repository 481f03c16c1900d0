"""Sketches to send, and what can be seen in the images that come back."""

from __future__ import annotations

import colorsys
import io

import numpy as np
from PIL import Image, ImageDraw


def sketch(hue: float = 0.0, *, side_px: int = 512) -> bytes:
    """A PNG: a large block of one colour on white paper."""
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.9, 0.85))
    image = Image.new("RGB", (side_px, side_px), "white")
    edge = side_px // 5
    box = (edge, edge, side_px - edge, side_px - edge)
    ImageDraw.Draw(image).rectangle(box, fill=(red, green, blue))
    return encode(image)


def encode(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """An image's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height in pixels, from a complete decoding."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.size


def hue_of(data: bytes) -> float:
    """The hue of the picture's middle, 0 to 1, from its mean colour."""
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=np.float64)
    height, width = pixels.shape[:2]
    middle = pixels[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3]
    red, green, blue = middle.reshape(-1, 3).mean(axis=0) / 255
    return colorsys.rgb_to_hsv(float(red), float(green), float(blue))[0]


def hue_distance(one: float, other: float) -> float:
    """How far two hues are apart on the wheel, 0 to 0.5."""
    distance = abs(one - other) % 1.0
    return min(distance, 1.0 - distance)


def contrast(data: bytes) -> float:
    """How much more colour the middle has than the corner: the block is there, or it is not."""
    with Image.open(io.BytesIO(data)) as image:
        saturation = np.asarray(image.convert("HSV"), dtype=np.float64)[..., 1]
    height, width = saturation.shape
    middle = saturation[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3].mean()
    corner = saturation[: height // 10, : width // 10].mean()
    return float(middle - corner)
