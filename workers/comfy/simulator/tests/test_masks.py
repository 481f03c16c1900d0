"""What masks mean, as in ComfyUI: which channel, which polarity, which part of a picture."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from workers.comfy.simulator.masking import composited, grown, held, resized
from workers.comfy.simulator.tests.bare import BareSimulator
from workers.comfy.simulator.tests.graphs import klein_graph, outline
from workers.comfy.simulator.values import Mask, Pixels, Plane

SIDE = 128


def plane(*rows: str) -> Plane:
    return np.array([[int(digit) for digit in row] for row in rows], np.float32)


def flat(value: int, width: int = 64, height: int = 64) -> Pixels:
    return np.full((height, width, 3), value, np.uint8)


@pytest.mark.parametrize(
    ("expand", "has_tapered_corners", "expected"),
    [
        (0, False, ("00000", "00000", "00100", "00000", "00000")),
        (1, False, ("00000", "01110", "01110", "01110", "00000")),
        (1, True, ("00000", "00100", "01110", "00100", "00000")),
        (2, False, ("11111",) * 5),
        (-1, False, ("00000",) * 5),
    ],
)
def test_a_mask_grows_by_whole_pixels(
    expand: int, has_tapered_corners: bool, expected: tuple[str, ...]
) -> None:
    mask = plane("00000", "00000", "00100", "00000", "00000")

    assert (grown(mask, expand, has_tapered_corners=has_tapered_corners) == plane(*expected)).all()


def test_the_edge_of_a_picture_does_not_shrink_a_mask() -> None:
    mask = plane("110", "110", "000")

    assert (grown(mask, -1, has_tapered_corners=False) == plane("100", "000", "000")).all()


def test_a_composite_takes_the_source_where_the_mask_is_white() -> None:
    mask = np.zeros((64, 64), np.float32)
    mask[:, :20] = 1.0
    mask[:, 20:30] = 0.5

    result = composited(flat(10), flat(200), Mask(mask), x=0, y=0)

    assert (result[:, :20] == 200).all()
    assert (result[:, 20:30] == 105).all()
    assert (result[:, 30:] == 10).all()


def test_a_composite_without_a_mask_covers_and_is_cut_off_at_the_edge() -> None:
    result = composited(flat(10), flat(200), None, x=40, y=50)

    assert (result[50:, 40:] == 200).all()
    assert (result[:50] == 10).all()
    assert (result[:, :40] == 10).all()
    assert (composited(flat(10), flat(200), None, x=64, y=0) == 10).all()


def test_a_noise_mask_keeps_what_was_there_where_it_is_black() -> None:
    mask = np.zeros((4, 4), np.float32)
    mask[1, 2] = 1.0

    result = held(flat(200), flat(10), Mask(mask))

    assert (result[16:32, 32:48] == 200).all()
    assert (result == 200).sum() == 16 * 16 * 3
    assert (result == 10).sum() == (64 * 64 - 16 * 16) * 3


def test_a_mask_of_the_size_is_not_touched() -> None:
    mask = plane("010", "101", "010")

    assert resized(mask, 3, 3) is mask


@pytest.fixture
def simulator(tmp_path: Path) -> BareSimulator:
    simulator = BareSimulator(tmp_path)
    simulator.upload(outline("red", side=SIDE), "llamasketch/sketch.png")
    return simulator


def laid_over(mask_node: dict[str, Any]) -> dict[str, Any]:
    """A graph that lays the inverted sketch over the sketch."""
    graph = klein_graph(side=SIDE)
    graph["20"] = {"class_type": "ImageInvert", "inputs": {"image": ["16", 0]}}
    graph["21"] = mask_node
    graph["22"] = {
        "class_type": "ImageCompositeMasked",
        "inputs": {
            "destination": ["16", 0],
            "source": ["20", 0],
            "mask": ["21", 1 if mask_node["class_type"] == "LoadImage" else 0],
            "x": 0,
            "y": 0,
            "resize_source": False,
        },
    }
    graph["14"]["inputs"]["images"] = ["22", 0]
    return graph


def quarters() -> tuple[Image.Image, ...]:
    """Four channels, each white in another quarter."""
    channels = []
    for x, y in ((0, 0), (64, 0), (0, 64), (64, 64)):
        channel = Image.new("L", (SIDE, SIDE), 0)
        ImageDraw.Draw(channel).rectangle((x, y, x + 63, y + 63), fill=255)
        channels.append(channel)
    return tuple(channels)


@pytest.mark.parametrize(
    ("channel", "covers"),
    [
        ("red", (slice(0, 64), slice(0, 64))),
        ("green", (slice(0, 64), slice(64, 128))),
        ("blue", (slice(64, 128), slice(0, 64))),
    ],
)
def test_a_mask_is_loaded_from_a_colour_channel(
    channel: str, covers: tuple[slice, slice], simulator: BareSimulator
) -> None:
    simulator.upload(Image.merge("RGBA", quarters()), "mask.png")
    node = {"class_type": "LoadImageMask", "inputs": {"image": "mask.png", "channel": channel}}

    (picture,) = simulator.run(laid_over(node))

    sketch = np.asarray(outline("red", side=SIDE))
    expected = sketch.copy()
    expected[covers] = 255 - sketch[covers]
    assert (picture == expected).all()


@pytest.mark.parametrize(
    "node",
    [
        {"class_type": "LoadImageMask", "inputs": {"image": "mask.png", "channel": "alpha"}},
        {"class_type": "LoadImage", "inputs": {"image": "mask.png"}},
    ],
    ids=["LoadImageMask", "LoadImage"],
)
def test_a_mask_from_alpha_is_white_where_the_picture_is_transparent(
    node: dict[str, Any], simulator: BareSimulator
) -> None:
    simulator.upload(Image.merge("RGBA", quarters()), "mask.png")

    (picture,) = simulator.run(laid_over(node))

    sketch = np.asarray(outline("red", side=SIDE))
    expected = 255 - sketch
    expected[64:, 64:] = sketch[64:, 64:]  # the one quarter that is opaque
    assert (picture == expected).all()


def test_the_mask_of_an_opaque_picture_is_empty(simulator: BareSimulator) -> None:
    node = {"class_type": "LoadImage", "inputs": {"image": "llamasketch/sketch.png"}}

    (picture,) = simulator.run(laid_over(node))

    assert (picture == np.asarray(outline("red", side=SIDE))).all()
