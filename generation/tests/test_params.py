"""Parameters: their limits, and that they survive being kept."""

from __future__ import annotations

import json
import math
from uuid import UUID

import pytest

from conftest import params
from generation.params import (
    SEED_MAX,
    SIDE_MAX,
    SIDE_MIN,
    SIZES,
    JobParams,
    denoise_problem,
    prompt_id_for,
    side_problem,
)

JOB = UUID("00000000-0000-4000-8000-000000000001")
OTHER = UUID("00000000-0000-4000-8000-000000000002")


@pytest.mark.parametrize(
    ("side", "is_good"),
    [
        (SIDE_MIN, True),
        (SIDE_MAX, True),
        (512, True),
        (SIDE_MIN - 16, False),
        (SIDE_MAX + 16, False),
        (17, False),
        (513, False),
        (0, False),
        (-512, False),
    ],
)
def test_a_side_is_a_multiple_of_16_within_the_models_limits(side: int, is_good: bool) -> None:
    assert (side_problem(side) is None) is is_good


@pytest.mark.parametrize(
    ("denoise", "is_good"),
    [
        (0.0, True),
        (1.0, True),
        (0.5, True),
        (-0.001, False),
        (1.001, False),
        (math.nan, False),
        (math.inf, False),
        (-math.inf, False),
    ],
)
def test_a_strength_is_a_finite_number_from_0_to_1(denoise: float, is_good: bool) -> None:
    assert (denoise_problem(denoise) is None) is is_good


@pytest.mark.parametrize(("aspect", "width", "height"), SIZES, ids=[size[0] for size in SIZES])
def test_every_offered_size_can_be_made_and_has_its_aspect(
    aspect: str, width: int, height: int
) -> None:
    across, down = (int(part) for part in aspect.split(":"))

    assert side_problem(width) is None
    assert side_problem(height) is None
    assert width / height == pytest.approx(across / down, rel=0.05)


def test_after_the_last_seed_that_javascript_holds_comes_the_first() -> None:
    last = params(seed=SEED_MAX)

    seeds = [last.variation_after(index).seed for index in (0, 3, 4, 8)]

    assert seeds == [SEED_MAX, SEED_MAX, 0, 1]


def test_variations_count_up_under_a_seed_before_the_next_seed_comes() -> None:
    first = params(seed=7, variation=2)

    after = [first.variation_after(index) for index in range(4)]

    assert [(one.seed, one.variation) for one in after] == [(7, 2), (7, 3), (8, 0), (8, 1)]


def test_only_the_next_variation_of_the_same_seed_is_the_next() -> None:
    first = params(seed=7, variation=1)

    assert params(seed=7, variation=2).is_next_of(first)
    assert not params(seed=7, variation=3).is_next_of(first)
    assert not params(seed=8, variation=2).is_next_of(first)
    assert not params(seed=7, variation=2, prompt="another").is_next_of(first)


@pytest.mark.parametrize(
    ("changes", "workflow"),
    [
        ({}, "paint"),
        ({"model": "base"}, "paint-base"),
        ({"mode": "follow", "anchor_image": "a", "anchor_mask": "m"}, "follow-anchor"),
        ({"model": "base", "anchor_image": "a", "anchor_mask": "m"}, "paint-base-anchor"),
        ({"mode": "hd", "model": "base"}, "hd-base"),
        ({"mode": "upscale"}, "upscale"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_workflow_is_named_by_what_a_node_must_have_for_it(
    changes: dict[str, str], workflow: str
) -> None:
    assert params(**changes).workflow == workflow


def test_parameters_survive_being_kept() -> None:
    original = params(prompt='ümlaut "quotes" 🦙', denoise=0.1, references=("a", "b"))

    assert JobParams.from_json(json.loads(json.dumps(original.as_json()))) == original


def test_parameters_that_an_older_version_kept_can_be_read() -> None:
    newer = ("model", "negative_prompt", "variation", "references", "anchor_image", "anchor_mask")
    kept = {name: value for name, value in params().as_json().items() if name not in newer}

    assert JobParams.from_json(kept) == params()


def test_another_seed_changes_nothing_else() -> None:
    original = params(seed=7)

    changed = original.variation_after(4)

    assert changed.as_json() == {**original.as_json(), "seed": 8}


def test_a_prompt_id_is_the_same_for_the_same_attempt_and_no_other() -> None:
    ids = [prompt_id_for(job, attempt) for job in (JOB, OTHER) for attempt in (1, 2, 11)]

    assert len(set(ids)) == 6
    assert prompt_id_for(JOB, 1) == ids[0]
    # Prompts that run on nodes while the server is upgraded are found again by this name.
    assert prompt_id_for(JOB, 1) == UUID("4b752587-e245-539f-9207-877b1ccb0332")
