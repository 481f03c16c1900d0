"""The colours of a picture, chosen by the words of the prompt, the sketch's colours and a seed."""

import colorsys
import re
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

Rgb: TypeAlias = tuple[float, float, float]
"""A colour, each channel from 0 to 255."""


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one picture and what its background shows.

    `sky` runs from the top to the horizon; `land` from the farthest ridge to the nearest.
    """

    sky: tuple[Rgb, ...]
    land: tuple[Rgb, ...]
    accents: tuple[Rgb, ...]
    ink: Rgb
    sun: Rgb
    scene: str = "hills"  # hills, trees, sea, dunes
    weather: str = ""  # "", stars, snow, embers
    hue: float | None = None  # set when all of it is one hue, 0 to 1


def _hex(*texts: str) -> tuple[Rgb, ...]:
    return tuple(
        (float(int(text[:2], 16)), float(int(text[2:4], 16)), float(int(text[4:], 16)))
        for text in texts
    )


def _theme(
    sky: str, land: str, accents: str, ink: str, sun: str, scene: str = "hills", weather: str = ""
) -> Palette:
    colours = _hex(*accents.split())
    return Palette(
        _hex(*sky.split()),
        _hex(*land.split()),
        colours,
        _hex(ink)[0],
        _hex(sun)[0],
        scene,
        weather,
    )


# Mixed by eye; each holds together under the same soft light.
_DAYS = (
    _theme(
        "8ec5e8 cfe5ea faf0d8",
        "a9c3b4 8fb089 a5bf74",
        "e2725b f2b84b 5b8fb9 f4e3c1 86a873 d98a9c 6c7fa8",
        "2f2a35",
        "ffd166",
    ),
    _theme(
        "f4b8a8 f9d8c0 fff1dc",
        "c9a9b8 b08fa3 d9b38c",
        "e76f51 f4a261 457b9d fbe8d3 84a98c c8788a e9c46a",
        "3a2730",
        "ffcf70",
    ),
    _theme(
        "a7d8d0 d5ebdd fbf4dd",
        "9cc2ad 7fae94 b7c98a",
        "ee8572 f3c26b 4f8a8b f7ead0 95b46a c78fb5 5d77a5",
        "26323a",
        "ffd97a",
    ),
    _theme(
        "b6b8e8 dccfee fbeadf",
        "aeb0d0 9a9cc4 b9c79a",
        "d6749a f2b872 7286c9 f5e6dc 8fb08a b98ad0 e8967a",
        "2c2744",
        "ffdb8a",
    ),
)

_THEMES: tuple[tuple[str, Palette], ...] = (
    (
        "night moon star stars space galaxy midnight dark nacht",
        _theme(
            "141a44 2d2f68 6a5590",
            "343565 272a55 1b1f42",
            "f3c969 6f8fe0 b488cc 4d93a3 e5917b e8dcc0 7f78c8",
            "0d0f26",
            "fdf3cf",
            "hills",
            "stars",
        ),
    ),
    (
        "sunset dusk evening dawn sunrise golden twilight",
        _theme(
            "5c4f94 c8648a ff9f68 ffd9a0",
            "8f5a80 6a4470 4a3358",
            "f25f5c ffc15e 70569c ffe3c2 e58a6a 3f7d8c d9668f",
            "2b1b36",
            "fff0b8",
        ),
    ),
    (
        "forest wood woods jungle tree trees pine moss",
        _theme(
            "b9d8cf dcebd4 f6f1d6",
            "93b5a0 6c977b 426f55",
            "d98a4e f0cf7a 8c5e43 f1e7c8 6d9c5f c4563f a3b65c",
            "1f2b26",
            "ffe08a",
            "trees",
        ),
    ),
    (
        "sea ocean beach boat ship harbour harbor water lake sail fish island",
        _theme(
            "7cc3e6 bfe1ee fdf1d9",
            "5fb0c9 3c8fb3 2a6f97",
            "f2784b f6cf75 d64f4f fbf3e0 4fa39a e99ab0 356a9c",
            "18303f",
            "ffdf80",
            "sea",
        ),
    ),
    (
        "snow winter ice frozen arctic christmas frost",
        _theme(
            "a9c6e4 d3e2f1 f5f6fa",
            "c3d4e8 d9e5f1 f1f5fa",
            "cc4b44 e6b04e 4b7fa6 faf4ea 5c8a72 a8739c 7d98c4",
            "26344a",
            "fff1c4",
            "hills",
            "snow",
        ),
    ),
    (
        "fire lava volcano flame flames dragon hell inferno burning",
        _theme(
            "331019 8f2a1d e8692c ffc15a",
            "6a2320 471718 2d0f14",
            "ff7a33 ffc94a b8322b ffe6b0 7d3a4f e85d3a 5b4a6e",
            "1c090d",
            "fff0a8",
            "dunes",
            "embers",
        ),
    ),
    (
        "desert sand dune dunes pyramid camel egypt",
        _theme(
            "7fbdd6 d9e3d0 fbe6bd",
            "e0b57c d39f62 c2854c",
            "c65d3b f0c05a 3f8c8c faead0 98764f d88f8f 5a6fa0",
            "3b2619",
            "ffe08a",
            "dunes",
        ),
    ),
    (
        "autumn fall harvest october pumpkin",
        _theme(
            "a8c4d0 e6dcc4 fbe7c2",
            "c79a5f b5713c 8f4f2e",
            "d8572a f2a93b 8a3b2e f8e6c4 7f8f4e c98b6b 54718c",
            "33201a",
            "ffd98a",
            "trees",
        ),
    ),
    (
        "spring flower flowers garden blossom rose meadow love fairy princess",
        _theme(
            "a6d3f2 e8def0 fdeaea",
            "b5d3a5 98c48a 86b774",
            "ec6f91 f7c35f 8f7fd0 fff0ea 7fbf8a f29a76 5fa8c8",
            "35283c",
            "ffe08f",
        ),
    ),
)

_HUE_WORDS = {
    "red": 0.0,
    "orange": 0.075,
    "gold": 0.125,
    "yellow": 0.14,
    "lime": 0.24,
    "green": 0.35,
    "turquoise": 0.48,
    "cyan": 0.5,
    "blue": 0.59,
    "violet": 0.74,
    "purple": 0.77,
    "magenta": 0.85,
    "pink": 0.93,
}


def choose_palette(prompt: str, rng: np.random.Generator) -> Palette:
    """Choose by the prompt's words, the first theme word first; else one of the days by seed."""
    words = re.findall(r"[a-z]+", prompt.lower())
    themes = {word: theme for names, theme in _THEMES for word in names.split()}
    palette = next((themes[word] for word in words if word in themes), None)
    if palette is None:
        palette = _DAYS[int(rng.integers(len(_DAYS)))]
    accents = [palette.accents[index] for index in rng.permutation(len(palette.accents))]
    named = [_HUE_WORDS[word] for word in words if word in _HUE_WORDS]
    accents = [hsv(hue, 0.68, 0.86) for hue in named] + accents
    return replace(palette, accents=tuple(accents))


def tint_palette(palette: Palette, hue: float) -> Palette:
    """Rebuild a palette in one hue, keeping how light each of its colours is."""

    def tinted(colour: Rgb, saturation: float) -> Rgb:
        value = max(colour) / 255.0
        return hsv(hue, saturation, 0.25 + 0.75 * value)

    top = len(palette.sky) - 1
    return replace(
        palette,
        sky=tuple(
            tinted(colour, 0.34 - 0.24 * index / max(top, 1))
            for index, colour in enumerate(palette.sky)
        ),
        land=tuple(
            tinted(colour, 0.34 + 0.12 * index) for index, colour in enumerate(palette.land)
        ),
        accents=tuple(
            hsv(hue, 0.42 + 0.09 * (index % 5), 0.95 - 0.07 * (index % 4)) for index in range(7)
        ),
        ink=hsv(hue, 0.6, 0.2),
        sun=hsv(hue, 0.25, 1.0),
        hue=hue,
    )


def fade_background(palette: Palette, amount: float) -> Palette:
    """Take colour out of the background, so that the drawn colours lead."""

    def faded(colour: Rgb) -> Rgb:
        hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255.0 for channel in colour))
        return hsv(hue, saturation * (1.0 - amount), value)

    return replace(
        palette,
        sky=tuple(faded(colour) for colour in palette.sky),
        land=tuple(faded(colour) for colour in palette.land),
    )


def hsv(hue: float, saturation: float, value: float) -> Rgb:
    """Convert a colour; hue, saturation and value from 0 to 1."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, min(saturation, 1.0), min(value, 1.0))
    return (red * 255.0, green * 255.0, blue * 255.0)
