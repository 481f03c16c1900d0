"""The preset sketches: strokes drawn by us, kept as JSON beside this file, shared with the studio.

A file holds `id`, `name`, `prompt`, `width`, `height` and `strokes`; a stroke holds `color`
(#rrggbb), `width` (px) and `points`, a list of [x px, y px, pressure 0–1].
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

FOLDER = Path(__file__).parent
OVERSAMPLING = 3  # chosen: smooth edges at 512 px


@dataclass(frozen=True, slots=True)
class Preset:
    """A sketch to begin with; `strokes` as in the file."""

    id: str
    name: str
    width: int
    height: int
    strokes: tuple[dict[str, Any], ...]


@lru_cache(maxsize=1)
def preset_list() -> tuple[Preset, ...]:
    """All presets, by id."""
    values = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]
    return tuple(
        Preset(v["id"], v["name"], v["width"], v["height"], tuple(v["strokes"])) for v in values
    )


def preset_png(preset_id: str) -> bytes | None:
    """The preset drawn on white paper, as a PNG; None when there is none of this name."""
    preset = next((preset for preset in preset_list() if preset.id == preset_id), None)
    return None if preset is None else _drawn(preset.id)


@lru_cache(maxsize=16)
def _drawn(preset_id: str) -> bytes:
    preset = next(preset for preset in preset_list() if preset.id == preset_id)
    size = (preset.width * OVERSAMPLING, preset.height * OVERSAMPLING)
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for stroke in preset.strokes:
        _stroke(draw, stroke)
    buffer = io.BytesIO()
    image.resize((preset.width, preset.height), Image.Resampling.LANCZOS).save(buffer, "PNG")
    return buffer.getvalue()


def _stroke(draw: ImageDraw.ImageDraw, stroke: dict[str, Any]) -> None:
    """Draw round dots along the line, as wide as the pressure there says."""
    points = [(p[0] * OVERSAMPLING, p[1] * OVERSAMPLING, p[2]) for p in stroke["points"]]
    width = stroke["width"] * OVERSAMPLING
    for (x, y, pressure), (x2, y2, pressure2) in pairwise([*points, points[-1]]):
        dots = max(1, int(max(abs(x2 - x), abs(y2 - y)) / max(1.0, width / 8)))
        for dot in range(dots):
            part = dot / dots
            radius = width * (0.6 + 0.4 * (pressure + (pressure2 - pressure) * part)) / 2
            cx, cy = x + (x2 - x) * part, y + (y2 - y) * part
            draw.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), fill=stroke["color"])
