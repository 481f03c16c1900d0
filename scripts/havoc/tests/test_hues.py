"""An image's leading hue says whose sketch it was made from."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from scripts.havoc.hues import (
    CHROMA_MIN,
    hue_distance,
    hue_of_user,
    look_at,
    nearest_user,
    sketch,
)
from workers.comfy.simulator.painter import Brief, paint

USERS = 8


@pytest.mark.parametrize("user", range(USERS))
@pytest.mark.parametrize(("width", "height"), [(256, 256), (256, 384)])
def test_a_painted_sketch_keeps_its_users_hue(user: int, width: int, height: int) -> None:
    drawn = sketch(hue_of_user(user, USERS), shift_px=user * 7)
    with Image.open(io.BytesIO(drawn)) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=np.uint8)

    painted = paint(pixels, Brief("", user, 0.5, 4, width, height))
    look = look_at(_png(Image.fromarray(painted)))

    assert (look.width, look.height) == (width, height)
    assert look.chroma > CHROMA_MIN
    assert nearest_user(look.hue, USERS) == user


def test_a_sketch_shows_its_own_hue_and_another_shift_is_another_drawing() -> None:
    assert hue_distance(look_at(sketch(0.375)).hue, 0.375) < 0.01
    assert sketch(0.375, shift_px=1) != sketch(0.375, shift_px=2)
    assert sketch(0.375, shift_px=1) == sketch(0.375, shift_px=1)


def test_a_black_image_has_no_hue() -> None:
    assert look_at(_png(Image.new("RGB", (64, 64)))).chroma < CHROMA_MIN


def test_half_an_image_is_none() -> None:
    whole = sketch(0.5)

    with pytest.raises(OSError, match=r".+"):
        look_at(whole[: len(whole) // 2])


def test_hues_are_compared_around_the_wheel() -> None:
    assert hue_distance(0.99, 0.01) == pytest.approx(0.02)
    assert nearest_user(0.99, USERS) == 0


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
