"""Hues: each user draws in one, so that an image says whose sketch it was made from."""

from __future__ import annotations

import colorsys
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

# An image with less colour than this shows nobody's sketch. Measured: the blocks come back with
# 0.15 and more, black pictures with 0.
CHROMA_MIN = 0.04


@dataclass(frozen=True, slots=True)
class Look:
    """What an image shows: its size in pixels, the hue (0 to 1) that leads, and how strongly."""

    width: int
    height: int
    hue: float
    chroma: float


def hue_of_user(user: int, users: int) -> float:
    """The hue of a user's sketches; all users' hues are equally far apart."""
    return user / users


def sketch(hue: float, *, shift_px: int = 0, side_px: int = 256) -> bytes:
    """A PNG of a block of one colour on white; another shift is another drawing."""
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.9, 0.85))
    image = Image.new("RGB", (side_px, side_px), "white")
    edge = side_px // 5
    box = (edge + shift_px % 16, edge, side_px - edge, side_px - edge - shift_px // 16 % 16)
    ImageDraw.Draw(image).rectangle(box, fill=(red, green, blue))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def look_at(data: bytes) -> Look:
    """Decode a whole image; its leading hue is where its colours pull, weighted by their chroma.

    Raises:
        OSError: it is no image, or not a whole one.
    """
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=np.float64) / 255.0
    height, width = pixels.shape[:2]
    flat = pixels.reshape(-1, 3)
    # The colour circle's plane: red at 0, green at a third, blue at two thirds.
    angles = np.exp(2j * np.pi * np.arange(3) / 3)
    pull = complex((flat @ angles).mean())
    return Look(width, height, float(np.angle(pull) / (2 * np.pi)) % 1.0, abs(pull))


def hue_distance(one: float, other: float) -> float:
    """How far two hues are apart on the wheel, 0 to 0.5."""
    distance = abs(one - other) % 1.0
    return min(distance, 1.0 - distance)


def nearest_user(hue: float, users: int) -> int:
    """The user whose sketches have the hue that is nearest."""
    return min(range(users), key=lambda user: hue_distance(hue, hue_of_user(user, users)))
