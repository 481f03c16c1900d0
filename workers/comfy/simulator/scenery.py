"""What lies behind the drawing: sky, ridges, water, weather."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workers.comfy.simulator.palette import Palette, Rgb
from workers.comfy.simulator.regions import Plane

Canvas = NDArray[np.float32]
"""Colours from 0 to 255, shape (height, width, 3)."""


def smooth_noise(rng: np.random.Generator, height: int, width: int, cell_px: float) -> Plane:
    """Make noise of about -1 to 1 whose features are about `cell_px` wide."""
    size = (max(2, round(height / cell_px) + 1), max(2, round(width / cell_px) + 1))
    coarse = rng.uniform(-1.0, 1.0, size).astype(np.float32)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.float32)


def mix(canvas: Canvas, colour: Rgb | Canvas, amount: Plane) -> Canvas:
    """Blend a colour into a canvas, pixel by pixel."""
    mixed: Canvas = np.asarray(colour, dtype=np.float32) - canvas
    mixed *= amount[..., None]
    mixed += canvas
    return mixed


def paint_scenery(palette: Palette, rng: np.random.Generator, height: int, width: int) -> Canvas:
    """Paint the background."""
    horizon = height * float(rng.uniform(0.58, 0.68))
    canvas = _sky(palette, height, width, horizon)
    canvas = _clouds(canvas, palette, rng, horizon)
    if palette.weather == "stars":
        canvas = _dots(canvas, rng, count=150, limit=horizon, radius=1.1, colour=palette.sun)
    if palette.scene == "sea":
        canvas = _sea(canvas, palette, rng, horizon)
    else:
        canvas = _ridges(canvas, palette, rng, horizon)
    if palette.weather == "snow":
        canvas = _dots(
            canvas, rng, count=220, limit=height, radius=1.9, colour=(255.0, 255.0, 255.0)
        )
    if palette.weather == "embers":
        canvas = _dots(canvas, rng, count=90, limit=height, radius=1.5, colour=palette.sun)
    return canvas


def _sky(palette: Palette, height: int, width: int, horizon: float) -> Canvas:
    stops = np.linspace(0.0, horizon, len(palette.sky))
    rows = np.arange(height, dtype=np.float32)
    columns = [np.interp(rows, stops, [c[channel] for c in palette.sky]) for channel in range(3)]
    gradient = np.stack(columns, axis=1).astype(np.float32)
    return np.repeat(gradient[:, None, :], width, axis=1)


def _clouds(canvas: Canvas, palette: Palette, rng: np.random.Generator, horizon: float) -> Canvas:
    height, width = canvas.shape[:2]
    scale = width / 512.0
    noise = smooth_noise(rng, height, width, 120.0 * scale)
    noise = noise + 0.5 * smooth_noise(rng, height, width, 44.0 * scale)
    noise = noise + 0.25 * smooth_noise(rng, height, width, 18.0 * scale)
    rows = np.arange(height, dtype=np.float32)[:, None]
    high = np.clip(1.0 - rows / horizon, 0.0, 1.0)
    amount = np.clip((noise - 0.12) * 0.9, 0.0, 0.75) * np.minimum(1.0, 0.35 + high)
    if palette.weather in {"stars", "embers"}:
        amount = amount * 0.3
    return mix(canvas, _lighter(palette.sky[-1], 0.55), amount.astype(np.float32))


def _ridges(canvas: Canvas, palette: Palette, rng: np.random.Generator, horizon: float) -> Canvas:
    height, width = canvas.shape[:2]
    scale = height / 512.0
    rows = np.arange(height, dtype=np.float32)[:, None]
    grain = smooth_noise(rng, height, width, 26.0 * scale)
    for index, colour in enumerate(palette.land):
        base = horizon + (height - horizon) * (0.02 + 0.3 * index)
        swell = _line(rng, width, 150.0 * scale) * (34.0 - 7.0 * index) * scale
        swell = swell + _line(rng, width, 48.0 * scale) * 7.0 * scale
        if palette.scene == "trees" and index < 2:
            swell = swell - _trees(rng, width, scale) * (1.0 + 0.35 * index)
        edge = (base + swell)[None, :]
        top = int(np.clip(edge.min() - 1.0, 0, height - 1))
        below = rows[top:] - edge
        depth = np.clip(below / (120.0 * scale), 0.0, 1.0)
        # Mist gathers at the foot of each ridge; the ground has soft patches.
        shade = 1.06 - 0.12 * depth + 0.05 * grain[top:]
        layer = np.clip(np.asarray(colour, dtype=np.float32) * shade[..., None], 0.0, 255.0)
        amount = np.clip(below, 0.0, 1.0).astype(np.float32)
        canvas[top:] = mix(canvas[top:], layer.astype(np.float32), amount)
    return canvas


def _sea(canvas: Canvas, palette: Palette, rng: np.random.Generator, horizon: float) -> Canvas:
    height, width = canvas.shape[:2]
    rows = np.arange(height, dtype=np.float32)[:, None]
    depth = np.clip((rows - horizon) / (height - horizon), 0.0, 1.0)
    stops = np.linspace(0.0, 1.0, len(palette.land))
    shades = [np.interp(depth[:, 0], stops, [c[ch] for c in palette.land]) for ch in range(3)]
    water = np.repeat(np.stack(shades, axis=1).astype(np.float32)[:, None, :], width, axis=1)
    waves = np.asarray(
        Image.fromarray(
            rng.uniform(-1.0, 1.0, (height // 5 + 2, width // 60 + 2)).astype(np.float32)
        ).resize((width, height), Image.Resampling.BICUBIC),
        dtype=np.float32,
    )
    glints = np.clip(waves - 0.25, 0.0, 1.0) * (0.35 + 0.3 * depth)
    water = mix(water, _lighter(palette.sky[-1], 0.4), glints.astype(np.float32))
    return mix(canvas, water, np.clip(rows - horizon + waves * 0.6, 0.0, 1.0))


def _dots(
    canvas: Canvas,
    rng: np.random.Generator,
    *,
    count: int,
    limit: float,
    radius: float,
    colour: Rgb,
) -> Canvas:
    height, width = canvas.shape[:2]
    scale = width / 512.0
    amount = np.zeros((height, width), np.float32)
    reach = max(1, round(radius * scale * 1.5))
    offsets = np.arange(-reach, reach + 1)
    for x, y, size in zip(
        rng.uniform(0, width, count),
        rng.uniform(0, limit, count),
        rng.uniform(0.45, 1.0, count),
        strict=True,
    ):
        rows, columns = offsets + int(y), offsets + int(x)
        rows, columns = (
            rows[(rows >= 0) & (rows < height)],
            columns[(columns >= 0) & (columns < width)],
        )
        distance = np.hypot(rows[:, None] - y, columns[None, :] - x)
        dot = np.clip(radius * scale * size + 0.5 - distance, 0.0, 1.0)
        spot = np.ix_(rows, columns)
        amount[spot] = np.maximum(amount[spot], dot * size)
    return mix(canvas, colour, amount)


def _line(rng: np.random.Generator, width: int, cell_px: float) -> NDArray[np.float32]:
    line: NDArray[np.float32] = smooth_noise(rng, 2, width, cell_px)[0]
    return line


def _trees(rng: np.random.Generator, width: int, scale: float) -> NDArray[np.float32]:
    """Heights of a row of firs above the ridge."""
    columns = np.arange(width, dtype=np.float32)
    heights: NDArray[np.float32] = np.zeros(width, np.float32)
    x = float(rng.uniform(-10.0, 10.0)) * scale
    while x < width:
        size = float(rng.uniform(20.0, 62.0)) * scale
        heights = np.maximum(heights, size - np.abs(columns - x) * 2.7)
        x += float(rng.uniform(9.0, 26.0)) * scale
    return heights


def _lighter(colour: Rgb, amount: float) -> Rgb:
    red, green, blue = (channel + (255.0 - channel) * amount for channel in colour)
    return (red, green, blue)
