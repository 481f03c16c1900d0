"""Files: what they show, and what they keep to themselves."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from deploy.comfyui.llamasketch_nodes.encoding import FORMATS, encode_image
from deploy.comfyui.llamasketch_nodes.version import SOFTWARE
from deploy.comfyui.tests.fakes import picture


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("image_format", ["webp-lossless", "png"])
def test_lossless_formats_keep_every_pixel(image_format: str) -> None:
    image = opened(encode_image(picture(), image_format=image_format, quality=1))

    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), picture())


def test_webp_is_close_and_smaller_with_less_quality() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    good = encode_image(picture(), image_format="webp", quality=92)

    image = opened(good)

    assert image.format == "WEBP"
    difference = np.asarray(image).astype(int) - picture().astype(int)
    assert np.abs(difference).mean() < 4
    sizes = [len(encode_image(noise, image_format="webp", quality=q)) for q in (100, 50, 1)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 2 * sizes[2]


def test_jpeg_keeps_the_colours_of_thin_strokes_and_is_smaller_with_less_quality() -> None:
    strokes = np.full((64, 64, 3), 255, np.uint8)
    strokes[::4] = (220, 20, 40)
    sizes = [len(encode_image(strokes, image_format="jpeg", quality=q)) for q in (100, 50, 1)]

    image = opened(encode_image(strokes, image_format="jpeg", quality=90))

    assert (image.format, image.mode) == ("JPEG", "RGB")
    # With half the colours' resolution it is 18, with all of it 1.
    difference = np.asarray(image).astype(int) - strokes.astype(int)
    assert np.abs(difference).mean() < 4
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 2 * sizes[2]


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_file_says_which_software_made_it_and_nothing_else(image_format: str) -> None:
    image = opened(encode_image(picture(), image_format=image_format, quality=92))

    said = image.info if image.format == "PNG" else dict(image.getexif())
    assert list(said.values()) == [SOFTWARE]
    assert not {"comment", "xmp", "icc_profile"} & set(image.info)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_grey_and_transparent_pictures_are_encoded(channels: int, mode: str) -> None:
    pixels = np.full((8, 8, channels), 100, np.uint8)

    assert opened(encode_image(pixels, image_format="png", quality=92)).mode == mode


@pytest.mark.parametrize(
    ("pixel", "mode", "shown"),
    [
        ((100,), "L", 100),
        ((20, 80, 200), "RGB", (20, 80, 200)),
        ((20, 80, 200, 255), "RGB", (20, 80, 200)),
        ((20, 80, 200, 0), "RGB", (255, 255, 255)),
        ((100, 100, 100, 51), "RGB", (224, 224, 224)),
    ],
)
def test_a_jpeg_shows_what_is_transparent_on_white_paper(
    pixel: tuple[int, ...], mode: str, shown: object
) -> None:
    pixels = np.full((8, 8, len(pixel)), pixel, np.uint8)

    image = opened(encode_image(pixels, image_format="jpeg", quality=100))

    assert image.mode == mode
    assert np.abs(np.asarray(image).astype(int) - np.array(shown)).max() <= 2


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="gif"):
        encode_image(picture(), image_format="gif", quality=92)
