"""The arithmetic between samples and rows."""

from __future__ import annotations

from uuid import uuid4

import pytest

from scripts.havoc.hues import hue_of_user, sketch
from scripts.measure.figures import (
    foreign_count,
    makespan_ratio,
    makespan_s,
    overhead_ms,
    percentile,
    spread,
    stages_ms,
)
from scripts.measure.orders import Made, orders_of
from scripts.measure.records import Execution

WHEEL = 12


def made(
    asked_at: float, done_at: float, *, number: int = 0, image: bytes = b"", **moments: float
) -> Made:
    heard = {f"job.{name}": moment for name, moment in moments.items()}
    order = orders_of(WHEEL, wheel=WHEEL)[number]
    return Made(order, uuid4(), asked_at, done_at, image, heard)


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, 1), (0.1, 1), (0.5, 5), (0.51, 6), (0.95, 10), (1.0, 10)],
)
def test_a_percentile_is_one_of_the_samples_at_its_nearest_rank(
    share: float, expected: float
) -> None:
    samples = [10, 3, 1, 8, 5, 2, 9, 4, 7, 6]

    assert percentile(samples, share) == expected


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_percentile_outside_of_the_samples_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        percentile([1.0], share)


def test_no_samples_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="samples"):
        percentile([], 0.5)


def test_a_spread_of_a_hundred_samples_names_their_ranks() -> None:
    found = spread([float(number) for number in range(1, 101)])

    assert (found.count, found.p50, found.p95, found.p99, found.most) == (100, 50, 95, 99, 100)


def test_the_nodes_own_time_is_nobodys_overhead() -> None:
    assert overhead_ms(made(100.0, 100.64), Execution(100.02, 100.62)) == pytest.approx(40)


def test_a_makespan_is_from_the_first_request_to_the_last_image() -> None:
    images = [made(10.0, 11.0), made(10.5, 13.0), made(10.2, 12.0)]

    assert makespan_s(images) == pytest.approx(3.0)


def test_a_makespan_is_held_against_the_sum_of_the_executions() -> None:
    images = [made(10.0, 11.1), made(10.0, 12.2)]
    executions = [Execution(10.1, 11.1), Execution(11.1, 12.1)]

    assert makespan_ratio(images, executions) == pytest.approx(1.1)


def test_images_with_anothers_colour_are_counted() -> None:
    def drawn(number: int) -> bytes:
        return sketch(hue_of_user(number, WHEEL))

    images = [
        made(0, 1, number=0, image=drawn(0)),
        made(0, 1, number=1, image=drawn(2)),
        made(0, 1, number=2, image=drawn(2)),
        made(0, 1, number=11, image=drawn(0)),
    ]

    assert foreign_count(images, wheel=WHEEL) == 2


def test_an_image_that_was_not_made_has_nobodys_colour() -> None:
    assert foreign_count([made(0, 1)], wheel=WHEEL) == 0


def test_the_stages_are_the_whole_overhead() -> None:
    image = made(100.0, 100.70, succeeded=100.68)
    execution = Execution(100.035, 100.635)

    stages = stages_ms(image, execution)

    assert list(stages.values()) == pytest.approx([35, 45, 20])
    assert sum(stages.values()) == pytest.approx(overhead_ms(image, execution))
