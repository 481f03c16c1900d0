"""What a sketch consists of: lines, and the areas that they enclose."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from workers.comfy.simulator.labelling import Labels, areas, drop_small, grow, opened
from workers.comfy.simulator.values import Pixels

Plane: TypeAlias = NDArray[np.float32]
"""One number a pixel, shape (height, width)."""

_INK_DISTANCE = 34.0  # channel difference from the paper at which a pixel counts as drawn
_SMOOTH_PX = 5.0
_CHROMA = 46.0  # channel spread from which a drawn pixel counts as coloured


@dataclass(frozen=True, slots=True)
class Layout:
    """A sketch, taken apart. Arrays by region are indexed by label; label 0 is the background."""

    labels: Labels
    line: Plane  # how much of a line covers a pixel, 0 to 1
    line_colour: NDArray[np.float32]  # (height, width, 3): the ink spread around the lines
    area_px: NDArray[np.float64]
    colour: NDArray[np.float32]  # (regions, 3): what it was filled with, or the ink around it
    chroma: NDArray[np.float64]  # how much of `colour` there is to go by, 0 to 1
    is_filled: NDArray[np.bool_]  # the user painted it, not only its outline
    box: NDArray[np.float64]  # (regions, 4): left, top, right, bottom
    hue: float | None  # the hue of the whole sketch when it has just one
    colour_share: float  # how much of what is drawn is coloured, 0 to 1


def take_apart(sketch: Pixels) -> Layout:
    """Find the lines and areas of an RGB sketch."""
    pixels = sketch.astype(np.float32)
    paper = _paper_colour(sketch)
    chroma = channel_spread(pixels)
    ink = np.clip(_channel_max(np.abs(pixels - paper)) / 120.0, 0.0, 1.0)
    is_ink = ink > _INK_DISTANCE / 120.0
    is_coloured = is_ink & (chroma > _CHROMA)
    is_thick = opened(is_ink, radius_px=max(4, round(min(sketch.shape[:2]) * 0.013)))
    is_line = is_ink & ~is_thick
    # Pixels of one kind join: paper with paper, fills with fills of about the same colour.
    coarse = (pixels / 86.0).astype(np.int32)
    kind = 1 + coarse[..., 0] * 9 + coarse[..., 1] * 3 + coarse[..., 2]
    kind = np.where(is_line, 0, np.where(is_thick, kind, 100))
    min_px = max(24, sketch[..., 0].size // 4000)
    labels = grow(drop_small(areas(kind, is_line), min_px=min_px))
    line_weight = np.where(is_line, ink, 0.0).astype(np.float32)
    spread = _spread_ink(
        pixels, line_weight * np.where(is_coloured, np.float32(1.0), np.float32(0.35))
    )
    labels = _background_first(labels, is_thick)
    return _describe(labels, pixels, line_weight, spread, is_coloured, is_ink, is_thick)


def blurred(plane: Plane, radius_px: float) -> Plane:
    """Blur numbers from 0 to 1, to 8 bits."""
    image = Image.fromarray((np.clip(plane, 0.0, 1.0) * 255.0).astype(np.uint8))
    if radius_px < _SMOOTH_PX:
        softened = image.filter(ImageFilter.GaussianBlur(radius_px))
    else:  # nothing finer than two pixels is left: half the size does, in a quarter of the time
        small = image.reduce(2).filter(ImageFilter.GaussianBlur(radius_px / 2.0))
        softened = small.resize(image.size, Image.Resampling.BILINEAR)
    return np.asarray(softened, dtype=np.float32) / np.float32(255.0)


def channel_spread(colours: NDArray[np.float32]) -> Plane:
    """Return the difference between each pixel's strongest and weakest channel."""
    red, green, blue = colours[..., 0], colours[..., 1], colours[..., 2]
    low: Plane = np.minimum(np.minimum(red, green), blue)
    return _channel_max(colours) - low


def _channel_max(colours: NDArray[np.float32]) -> Plane:
    # Much faster than max(axis=2) on three channels.
    high: Plane = np.maximum(np.maximum(colours[..., 0], colours[..., 1]), colours[..., 2])
    return high


def _paper_colour(sketch: Pixels) -> NDArray[np.float32]:
    border = np.concatenate([sketch[0], sketch[-1], sketch[:, 0], sketch[:, -1]])
    paper = np.median(border, axis=0).astype(np.float32)
    is_paper = paper.min() > 170.0 and paper.max() - paper.min() < 40.0
    return paper if is_paper else np.full(3, 255.0, np.float32)


def _spread_ink(pixels: NDArray[np.float32], weight: Plane) -> NDArray[np.float32]:
    """Spread the colours of lines around them: what a brush would pick up nearby."""
    height, width = weight.shape
    small = (max(1, width // 4), max(1, height // 4))
    planes = [weight, *(pixels[..., channel] * weight / 255.0 for channel in range(3))]
    spread = []
    for plane in planes:
        image = Image.fromarray(plane.astype(np.float32)).resize(small, Image.Resampling.BOX)
        values = np.asarray(image, dtype=np.float32)
        for _ in range(3):  # three box blurs are nearly a Gaussian
            values = _box(_box(values, 4).T, 4).T
        spread.append(values)
    total = np.maximum(spread[0], 1e-6)
    channels = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(np.clip(plane / total, 0.0, 1.0))).resize(
                (width, height), Image.Resampling.BILINEAR
            ),
            dtype=np.float32,
        )
        for plane in spread[1:]
    ]
    return np.stack(channels, axis=2) * np.float32(255.0)


def _box(values: Plane, radius: int) -> Plane:
    padded = np.pad(values, ((0, 0), (radius + 1, radius)), mode="edge")
    sums = np.cumsum(padded, axis=1, dtype=np.float64)
    width = 2 * radius + 1
    return ((sums[:, width:] - sums[:, :-width]) / width).astype(np.float32)


def _background_first(labels: Labels, is_thick: NDArray[np.bool_]) -> Labels:
    """Renumber so that 0 is the paper behind the drawing.

    That is what reaches the top of the sheet, or a good part of its sides. What only reaches
    the bottom is ground that somebody drew.
    """
    count = int(labels.max()) + 1

    def contact(edges: list[tuple[Labels, NDArray[np.bool_]]]) -> NDArray[np.float64]:
        seen = np.zeros(count)
        for edge, thick in edges:
            seen += np.bincount(edge[~thick], minlength=count) / len(edge)
        return seen

    top = contact([(labels[0], is_thick[0])])
    sides = contact([(labels[:, 0], is_thick[:, 0]), (labels[:, -1], is_thick[:, -1])])
    bottom = contact([(labels[-1], is_thick[-1])])
    is_background = (top > 0.04) | ((sides > 0.15) & (bottom < 0.04))
    if not is_background.any():
        is_background = (sides > 0.15) & (top + sides + bottom > 0.5)
    is_background[0] = True
    renumbered = np.where(is_background, 0, np.cumsum(~is_background))
    found: Labels = renumbered[labels].astype(np.int32)
    return found


def _describe(
    labels: Labels,
    pixels: NDArray[np.float32],
    line: Plane,
    spread: NDArray[np.float32],
    is_coloured: NDArray[np.bool_],
    is_ink: NDArray[np.bool_],
    is_thick: NDArray[np.bool_],
) -> Layout:
    count = int(labels.max()) + 1
    coarse = (slice(None, None, 2), slice(None, None, 2))  # every fourth pixel tells as much
    flat = labels[coarse].ravel()
    filled = is_thick[coarse].astype(np.float32)

    def total(values: NDArray[np.floating]) -> NDArray[np.float64]:
        sums: NDArray[np.float64] = np.bincount(flat, values.ravel(), count).astype(np.float64)
        return sums

    area = np.maximum(np.bincount(flat, minlength=count).astype(np.float64), 1.0)
    filled_px = total(filled)
    is_filled = filled_px > 0.5 * area
    shown, inked = pixels[coarse], spread[coarse]
    line_near = blurred(line, 6.0)[coarse] * (1.0 - filled)
    coloured_line = np.where(is_coloured, line, np.float32(0.0))
    coloured_near = blurred(coloured_line, 6.0)[coarse] * (1.0 - filled)
    vivid = channel_spread(inked) / 255.0
    near = line_near * (0.02 + vivid * vivid)  # the strongest colour around an area leads
    near_px = np.maximum(total(near), 1e-5)
    colour = np.zeros((count, 3), np.float32)
    for channel in range(3):
        outline = total(inked[..., channel] * near) / near_px
        fill = total(shown[..., channel] * filled) / np.maximum(filled_px, 1.0)
        colour[:, channel] = np.where(is_filled, fill, outline)
    near_share = total(coloured_near) / np.maximum(total(line_near), 1e-5)
    chroma = np.clip((colour.max(axis=1) - colour.min(axis=1)) / 90.0, 0.0, 1.0)
    chroma = chroma * np.where(is_filled, 1.0, np.clip(near_share * 2.5 - 0.9, 0.0, 1.0))
    coloured_px = float(is_coloured.sum())
    share = coloured_px / max(float(is_ink.sum()), 1.0)
    return Layout(
        labels=labels,
        line=line,
        line_colour=spread,
        area_px=area * 4.0,
        colour=colour,
        chroma=chroma.astype(np.float64),
        is_filled=is_filled,
        box=_boxes(labels, count),
        hue=_single_hue(pixels, is_coloured) if share > 0.8 else None,
        colour_share=share,
    )


def _boxes(labels: Labels, count: int) -> NDArray[np.float64]:
    step = max(1, min(labels.shape) // 128)  # a coarse look is enough for them
    coarse = labels[::step, ::step]
    rows, columns = np.indices(coarse.shape)
    box = np.zeros((count, 4))
    box[:, :2] = max(labels.shape)
    flat = coarse.ravel()
    for side, (function, values) in enumerate(
        ((np.minimum, columns), (np.minimum, rows), (np.maximum, columns), (np.maximum, rows))
    ):
        function.at(box[:, side], flat, values.ravel() * float(step))
    box[:, 2:] += step - 1
    return box


def _single_hue(pixels: NDArray[np.float32], is_coloured: NDArray[np.bool_]) -> float | None:
    """Return the hue that the coloured pixels agree on, 0 to 1; None when they do not."""
    colours = pixels[is_coloured]
    if len(colours) < 16:
        return None
    high, low = colours.max(axis=1), colours.min(axis=1)
    chroma = high - low
    red, green, blue = colours.T
    hue = np.where(
        high == red,
        (green - blue) / chroma,
        np.where(high == green, 2.0 + (blue - red) / chroma, 4.0 + (red - green) / chroma),
    )
    angle = hue * (np.pi / 3.0)
    weight = chroma / chroma.sum()
    vector = complex(float((np.cos(angle) * weight).sum()), float((np.sin(angle) * weight).sum()))
    if abs(vector) < 0.9:
        return None
    return float(np.angle(vector) / (2.0 * np.pi)) % 1.0
