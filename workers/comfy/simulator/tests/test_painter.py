"""The painter follows the drawing."""

import colorsys
import io
import time

import numpy as np
import pytest
from PIL import Image, ImageDraw

from workers.comfy.simulator.painter import LABEL, Brief, paint
from workers.comfy.simulator.previews import preview_jpeg
from workers.comfy.simulator.tests.graphs import outline
from workers.comfy.simulator.values import Pixels

WORDLESS = Brief("", 5, 0.75, 4, 512, 512)


def pixels(image: Image.Image) -> Pixels:
    return np.asarray(image, dtype=np.uint8)


def brief(**changes: object) -> Brief:
    fields = {name: getattr(WORDLESS, name) for name in Brief.__slots__}
    return Brief(**(fields | changes))


def dominant_hue(picture: Pixels) -> float:
    """The direction, in degrees, in which the colours of a picture pull, by their chroma."""
    small = picture.reshape(-1, 3)[::7].astype(float) / 255.0
    high, low = small.max(axis=1), small.min(axis=1)
    chroma = high - low
    hues = np.array([colorsys.rgb_to_hsv(*colour)[0] for colour in small])
    pull = (np.exp(2j * np.pi * hues) * chroma).sum()
    return float(np.degrees(np.angle(pull))) % 360.0


def difference(first: Pixels, second: Pixels) -> float:
    return float(np.abs(first.astype(float) - second.astype(float)).mean())


@pytest.mark.parametrize("style", ["outline", "filled"])
@pytest.mark.parametrize("hue", range(0, 360, 12))
def test_the_colour_of_the_sketch_leads_in_the_picture(hue: int, style: str) -> None:
    colour = tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue / 360, 0.85, 0.85))
    sketch = outline(colour, side=256, width=8)
    if style == "filled":
        ImageDraw.Draw(sketch).ellipse((60, 60, 200, 200), fill=colour)

    picture = paint(pixels(sketch), brief(width_px=256, height_px=256, prompt="a castle"))

    away = (dominant_hue(picture) - hue + 180) % 360 - 180
    assert abs(away) < 5  # the next of the 30 colours is 12 degrees away


def test_a_closed_outline_is_filled_and_an_open_one_is_not() -> None:
    closed = paint(pixels(outline()), WORDLESS)
    image = Image.new("RGB", (512, 512), "white")
    ImageDraw.Draw(image).arc((118, 118, 399, 399), 0, 180, fill="black", width=10)
    open_ = paint(pixels(image), WORDLESS)

    inside = (slice(180, 220), slice(230, 290))
    assert difference(closed[inside], open_[inside]) > 20


def test_a_small_gap_in_an_outline_does_not_let_the_colour_out() -> None:
    image = outline()
    ImageDraw.Draw(image).rectangle((250, 100, 260, 135), fill="white")

    picture = paint(pixels(image), WORDLESS)

    whole = paint(pixels(outline()), WORDLESS)
    inside = (slice(230, 280), slice(230, 280))
    assert difference(picture[inside], whole[inside]) < 12


def test_each_area_keeps_the_colour_it_was_filled_with() -> None:
    image = Image.new("RGB", (512, 512), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((60, 150, 220, 380), fill=(210, 40, 40))
    draw.rectangle((290, 150, 450, 380), fill=(40, 80, 210))

    picture = paint(pixels(image), WORDLESS)

    left = picture[200:340, 100:180].reshape(-1, 3).mean(axis=0)
    right = picture[200:340, 330:410].reshape(-1, 3).mean(axis=0)
    assert left[0] > left[2] + 80
    assert right[2] > right[0] + 80


def test_the_same_request_gives_the_same_picture() -> None:
    assert np.array_equal(paint(pixels(outline()), WORDLESS), paint(pixels(outline()), WORDLESS))


@pytest.mark.parametrize(
    "other",
    [brief(prompt="night"), brief(seed=6), brief(denoise=0.5), brief(steps=8)],
    ids=["prompt", "seed", "denoise", "steps"],
)
def test_another_request_gives_another_picture(other: Brief) -> None:
    sketch = pixels(outline())

    assert difference(paint(sketch, WORDLESS), paint(sketch, other)) > 0.5


def test_low_denoise_stays_near_the_sketch() -> None:
    sketch = pixels(outline())

    away = [difference(sketch, paint(sketch, brief(denoise=value))) for value in (0.1, 0.3, 0.9)]

    assert away[0] < away[1] < away[2]
    assert away[0] < 35


def test_night_is_darker_than_snow() -> None:
    sketch = pixels(outline())

    night = paint(sketch, brief(prompt="a quiet night"))
    snow = paint(sketch, brief(prompt="fresh snow"))

    assert night.mean() + 60 < snow.mean()


@pytest.mark.parametrize("size", [(256, 256), (768, 432), (1536, 1536)])
def test_pictures_have_the_size_that_was_asked_for(size: tuple[int, int]) -> None:
    picture = paint(pixels(outline()), brief(width_px=size[0], height_px=size[1]))

    assert picture.shape == (size[1], size[0], 3)


@pytest.mark.parametrize("colour", ["white", "black", "red", (120, 120, 120)])
def test_a_sheet_of_one_colour_is_painted(colour: object) -> None:
    sheet = Image.new("RGB", (128, 128), colour)  # type: ignore[arg-type]

    picture = paint(pixels(sheet), brief(width_px=128, height_px=128))

    assert picture.std() > 2


def test_a_photograph_full_of_noise_is_painted() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (512, 512, 3), dtype=np.uint8)

    assert paint(noise, WORDLESS).shape == (512, 512, 3)


def test_without_a_sketch_there_is_scenery() -> None:
    assert paint(None, WORDLESS).std() > 10


def test_the_corner_says_that_there_was_no_gpu() -> None:
    picture = paint(pixels(outline()), WORDLESS)

    corner = picture[-30:, -140:].astype(int)
    assert LABEL == "simulated · no GPU"
    assert (corner.min(axis=2) > 235).sum() > 100  # white letters
    assert (corner.max(axis=2) < 150).sum() > 500  # on a dark plate


def test_previews_come_closer_to_the_picture_with_every_step() -> None:
    picture = paint(pixels(outline()), WORDLESS)

    jpegs = [preview_jpeg(picture, step, 4, seed=1) for step in range(1, 5)]

    shown = [np.asarray(Image.open(io.BytesIO(jpeg))) for jpeg in jpegs]
    away = [difference(picture, each) for each in shown]
    assert away == sorted(away, reverse=True)
    assert all(10_000 < len(jpeg) < 100_000 for jpeg in jpegs)


def test_painting_is_quick() -> None:
    """Generous, for a busy machine: alone on one core it takes about an eighth of a second."""
    sketch = pixels(outline())
    durations = []
    for _ in range(3):
        began_s = time.perf_counter()
        paint(sketch, WORDLESS)
        durations.append(time.perf_counter() - began_s)

    assert min(durations) < 0.6
