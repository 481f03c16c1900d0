"""The preset sketches: well-formed files that draw something."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from generation import presets
from generation.images import is_blank, sketch_normalise
from generation.params import PROMPT_CHARS_MAX, side_problem
from generation.presets import FOLDER, preset_list, preset_png

FILES = sorted(FOLDER.glob("*.json"))
each_file = pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])


def content_of(path: Path) -> dict[str, Any]:
    """A preset's file, parsed."""
    value = json.loads(path.read_text())
    assert isinstance(value, dict)
    return value


def test_there_are_enough_to_choose_from() -> None:
    assert len(FILES) >= 4


def test_each_file_is_one_preset_with_a_name_of_its_own() -> None:
    assert [preset.id for preset in preset_list()] == [path.stem for path in FILES]
    assert len({preset.name for preset in preset_list()}) == len(FILES)


@each_file
def test_a_preset_says_what_it_is(path: Path) -> None:
    preset = content_of(path)

    assert preset["id"] == path.stem
    assert re.fullmatch(r"[a-z0-9-]+", preset["id"])
    assert preset["name"].strip()
    assert 0 < len(preset["prompt"].strip()) <= PROMPT_CHARS_MAX
    assert side_problem(preset["width"]) is None
    assert side_problem(preset["height"]) is None


@each_file
def test_a_presets_strokes_lie_on_its_paper(path: Path) -> None:
    preset = content_of(path)

    assert preset["strokes"]
    for stroke in preset["strokes"]:
        assert re.fullmatch(r"#[0-9a-f]{6}", stroke["color"])
        assert 0 < stroke["width"] <= 200
        assert stroke["points"]
        for x, y, pressure in stroke["points"]:
            assert 0 <= x <= preset["width"]
            assert 0 <= y <= preset["height"]
            assert 0 <= pressure <= 1


@each_file
def test_a_preset_draws_a_sketch_of_its_size_that_is_not_blank(path: Path) -> None:
    preset = content_of(path)

    data = preset_png(path.stem)

    assert data is not None
    drawn = Image.open(io.BytesIO(data))
    assert drawn.size == (preset["width"], preset["height"])
    assert not is_blank(drawn)
    assert sketch_normalise(data).width == preset["width"]


@pytest.mark.parametrize("name", ["", "nothing", "../secret", "__init__", "a" * 100_000])
def test_there_is_no_preset_of_any_other_name(name: str) -> None:
    assert preset_png(name) is None


def test_names_that_strangers_make_up_are_not_remembered() -> None:
    presets._drawn.cache_clear()

    preset_png("x" * 1_000_000)

    assert presets._drawn.cache_info().currsize == 0
