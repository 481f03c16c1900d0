"""The painter: a sketch becomes a watercolour that follows it."""

import hashlib
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from workers.comfy.simulator.labelling import Labels
from workers.comfy.simulator.palette import (
    Palette,
    choose_palette,
    fade_background,
    tint_palette,
)
from workers.comfy.simulator.regions import (
    Layout,
    Plane,
    blurred,
    channel_spread,
    take_apart,
)
from workers.comfy.simulator.scenery import Canvas, mix, paint_scenery, smooth_noise
from workers.comfy.simulator.values import Pixels

_Number = TypeVar("_Number", np.float32, np.int32)

LABEL = "simulated · no GPU"

_MAX_PAINTED_SIDE_PX = 768  # larger pictures are painted at this size and scaled up


@dataclass(frozen=True, slots=True)
class Brief:
    """What to paint. `denoise` is how far the result may go from the sketch, 0 to 1."""

    prompt: str
    seed: int
    denoise: float
    steps: int
    width_px: int
    height_px: int


def paint(sketch: Pixels | None, brief: Brief) -> Pixels:
    """Paint a picture, shape (height_px, width_px, 3).

    The same arguments give the same picture. Without a sketch only the scenery is painted.
    """
    scale = min(1.0, _MAX_PAINTED_SIDE_PX / max(brief.width_px, brief.height_px))
    width, height = round(brief.width_px * scale), round(brief.height_px * scale)
    if sketch is None:
        sketch = np.full((height, width, 3), 255, np.uint8)
    elif sketch.shape[:2] != (height, width):
        resized = Image.fromarray(sketch).resize((width, height), Image.Resampling.LANCZOS)
        sketch = np.asarray(resized, dtype=np.uint8)
    picture = Image.fromarray(_paint(sketch, brief))
    if picture.size != (brief.width_px, brief.height_px):
        picture = picture.resize((brief.width_px, brief.height_px), Image.Resampling.LANCZOS)
    painted: Pixels = np.asarray(_labelled(picture), dtype=np.uint8)
    return painted


def _paint(sketch: Pixels, brief: Brief) -> Pixels:
    height, width = sketch.shape[:2]
    key = f"{brief.prompt}\n{brief.seed}\n{brief.steps}".encode()
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(key).digest()[:8], "big"))
    looseness = float(np.clip(brief.denoise, 0.0, 1.0))
    unit = min(height, width) / 512.0
    palette = choose_palette(brief.prompt, rng)
    layout = take_apart(sketch)
    palette = (
        tint_palette(palette, layout.hue)
        if layout.hue is not None
        else fade_background(palette, 0.55 * min(1.0, 2.0 * layout.colour_share))
    )
    canvas = paint_scenery(palette, rng, height, width)
    wobble = _Wobble(rng, height, width, reach_px=(0.6 + 3.2 * looseness) * unit)
    labels = wobble(layout.labels)
    line = wobble(layout.line)
    light = rng.uniform(-2.6, -1.9)  # the direction it comes from, in radians: upper left
    slope = (float(np.cos(light)), float(np.sin(light)))
    shape = blurred((labels != 0).astype(np.float32), 0.8 * unit)
    canvas = _cast_shadow(canvas, shape, slope, unit)
    fills = _region_colours(layout, palette, rng, height)
    canvas = mix(canvas, _washes(fills[labels], labels, slope, rng, unit), shape)
    canvas = _bleed(canvas, layout, wobble, unit)
    canvas = _grain(canvas, rng, unit)
    canvas = _draw_lines(canvas, line, wobble(layout.line_colour), palette, rng, looseness)
    amount = float(np.clip(looseness / 0.45, 0.0, 1.0)) ** 0.8
    canvas = sketch.astype(np.float32) * (1.0 - amount) + canvas * amount
    painted: Pixels = np.clip(canvas + 0.5, 0.0, 255.0).astype(np.uint8)
    return painted


class _Wobble:
    """Moves every pixel a little, along slow waves: a hand instead of a ruler."""

    def __init__(
        self, rng: np.random.Generator, height: int, width: int, *, reach_px: float
    ) -> None:
        cell = min(height, width) / 11.0
        rows, columns = np.indices((height, width))
        down = smooth_noise(rng, height, width, cell) * reach_px
        across = smooth_noise(rng, height, width, cell) * reach_px
        row = np.clip(np.rint(rows + down), 0, height - 1).astype(np.intp)
        column = np.clip(np.rint(columns + across), 0, width - 1).astype(np.intp)
        self._places = row * width + column

    def __call__(self, plane: NDArray[_Number]) -> NDArray[_Number]:
        rows = plane.reshape(self._places.size, *plane.shape[2:])
        return np.take(rows, self._places, axis=0)


def _region_colours(
    layout: Layout, palette: Palette, rng: np.random.Generator, height: int
) -> NDArray[np.float32]:
    """Choose a colour for each region: the drawn one where there is one, else an accent."""
    count = len(layout.area_px)
    accents = np.asarray(palette.accents, dtype=np.float32)
    chosen = np.zeros((count, 3), np.float32)
    used = 0
    by_size = [int(label) for label in np.argsort(-layout.area_px) if label != 0]
    for position, label in enumerate(by_size):
        twin = next((done for done in by_size[:position] if _are_twins(layout, done, label)), None)
        if layout.box[label][3] > 0.97 * height and palette.hue is None:
            chosen[label] = palette.land[-1]
        elif palette.hue is None and _looks_like_a_sun(layout, label, height):
            chosen[label] = palette.sun
        elif twin is not None:
            chosen[label] = chosen[twin]
        else:
            chosen[label] = accents[used % len(accents)]
            used += 1
    # Outlined in colour: a lighter wash of that colour. Mixing with white keeps the hue.
    light = rng.uniform(0.12, 0.42, (count, 1)).astype(np.float32)
    light = np.where(layout.is_filled[:, None], light * 0.3, light)
    drawn = layout.colour + (255.0 - layout.colour) * light
    amount = layout.chroma[:, None].astype(np.float32)
    amount = np.where(layout.is_filled[:, None], 1.0, np.clip(amount * 1.6, 0.0, 1.0))
    return (chosen + (drawn - chosen) * amount).astype(np.float32)


def _are_twins(layout: Layout, first: int, second: int) -> bool:
    """Say whether two areas are a pair: eyes, ears, windows in a row."""
    if not 0.75 < layout.area_px[second] / layout.area_px[first] <= 1.0:
        return False
    one, other = layout.box[first], layout.box[second]
    tall = one[3] - one[1] + 1.0
    return bool(
        abs((one[3] + one[1]) - (other[3] + other[1])) < 0.5 * tall
        and abs((one[3] - one[1]) - (other[3] - other[1])) < 0.25 * tall
    )


def _looks_like_a_sun(layout: Layout, label: int, height: int) -> bool:
    left, top, right, bottom = layout.box[label]
    wide, tall = right - left + 1.0, bottom - top + 1.0
    roundness = layout.area_px[label] / (wide * tall)
    return bool(
        bottom < 0.45 * height
        and 0.75 < wide / tall < 1.33
        and 0.7 < roundness < 0.86
        and wide < 0.35 * height
    )


def _cast_shadow(canvas: Canvas, shape: Plane, slope: tuple[float, float], unit: float) -> Canvas:
    across, down = round(-slope[0] * 12.0 * unit), round(-slope[1] * 12.0 * unit)
    height, width = shape.shape
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - across, 0, width - 1)
    moved = shape[rows[:, None], columns[None, :]]
    shadow = blurred(moved, 11.0 * unit) * (1.0 - shape)
    return canvas * (1.0 - np.float32(0.34) * shadow)[..., None].astype(np.float32)


def _washes(
    colours: Canvas,
    labels: Labels,
    slope: tuple[float, float],
    rng: np.random.Generator,
    unit: float,
) -> Canvas:
    """Turn flat colours into washes: light from one side, pigment at the rims, blooms inside."""
    height, width = labels.shape
    rim = np.zeros((height, width), np.float32)
    rim[:, 1:] = labels[:, 1:] != labels[:, :-1]
    rim[1:] = np.maximum(rim[1:], labels[1:] != labels[:-1])
    wide = blurred(np.minimum(1.0, blurred(rim, 7.0 * unit) * 9.0), 12.0 * unit)
    down, across = np.gradient(wide)
    relief = (across * slope[0] + down * slope[1]) * (22.0 * unit)
    narrow = np.minimum(1.0, blurred(rim, 2.2 * unit) * 2.6)
    bloom = smooth_noise(rng, height, width, 70.0 * unit)
    bloom = bloom + 0.5 * smooth_noise(rng, height, width, 23.0 * unit)
    shade = 1.0 + np.clip(relief, -0.2, 0.2) - 0.2 * narrow + 0.075 * bloom
    light = np.clip(relief * 1.1 + 0.05 * bloom, 0.0, 0.3)
    washed = (colours * shade[..., None]).astype(np.float32, copy=False)
    return mix(washed, (255.0, 255.0, 255.0), light.astype(np.float32))


def _bleed(canvas: Canvas, layout: Layout, wobble: _Wobble, unit: float) -> Canvas:
    """Let coloured lines run a little into the wet paper around them."""
    spread = layout.line_colour
    chroma = np.clip(channel_spread(spread) / 90.0, 0.0, 1.0)
    halo = blurred(layout.line, 9.0 * unit) * chroma
    amount = np.clip(halo, 0.0, 0.4)
    return mix(canvas, wobble(spread), wobble(amount))


def _grain(canvas: Canvas, rng: np.random.Generator, unit: float) -> Canvas:
    """Press the picture onto rough paper: pigment settles in the hollows."""
    height, width = canvas.shape[:2]
    paper = smooth_noise(rng, height, width, max(1.6, 2.1 * unit))
    paper = paper + 0.6 * smooth_noise(rng, height, width, max(2.0, 5.0 * unit))
    relief = np.zeros_like(paper)
    relief[1:, 1:] = paper[1:, 1:] - paper[:-1, :-1]
    rows = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None]
    columns = np.linspace(-1.0, 1.0, width, dtype=np.float32)[None, :]
    vignette = 1.02 - 0.07 * (rows**2 + columns**2)
    shade = vignette * (1.0 + 0.026 * relief + 0.016 * paper)
    pressed: Canvas = np.clip(canvas * shade[..., None], 0.0, 255.0)
    return pressed


def _draw_lines(
    canvas: Canvas,
    line: Plane,
    colour: Canvas,
    palette: Palette,
    rng: np.random.Generator,
    looseness: float,
) -> Canvas:
    """Draw the lines over the washes, fainter and more broken the looser the picture is."""
    height, width = line.shape
    chroma = np.clip(channel_spread(colour) / 70.0, 0.0, 1.0)
    ink = mix(np.broadcast_to(np.asarray(palette.ink, np.float32), colour.shape), colour, chroma)
    pressure = 1.0 - 0.3 * looseness * (1.0 + smooth_noise(rng, height, width, 17.0))
    keep = 1.0 - 0.38 * looseness
    return mix(canvas, ink, np.clip(line * 1.15, 0.0, 1.0) * pressure * keep)


def _labelled(picture: Image.Image) -> Image.Image:
    """Say in the corner what this is: nobody shall take it for a model's work."""
    size = max(11.0, min(picture.size) / 40.0)
    font = ImageFont.load_default(size)
    width, height = font.getlength(LABEL), size
    margin = size * 0.6
    x, y = picture.width - width - 2.0 * margin, picture.height - height - 1.7 * margin
    plate = (
        round(x - margin * 0.8),
        round(y - margin * 0.4),
        round(x + width + margin * 0.8),
        round(y + height + margin * 0.7),
    )
    under = picture.crop(plate)
    shade = Image.new("L", under.size, 0)
    corner = (0, 0, under.width - 1, under.height - 1)
    ImageDraw.Draw(shade).rounded_rectangle(corner, radius=size * 0.6, fill=120)
    under.paste((20, 20, 28), (0, 0), shade)
    picture.paste(under, plate[:2])
    ImageDraw.Draw(picture).text((x, y), LABEL, font=font, fill=(255, 255, 255))
    return picture
