"""Figures: numbers drawn from samples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scripts.havoc.hues import look_at, nearest_user
from scripts.measure.orders import Made
from scripts.measure.records import Execution


@dataclass(frozen=True, slots=True)
class Spread:
    """Where samples lie."""

    count: int
    p50: float
    p95: float
    p99: float
    most: float


def percentile(samples: Sequence[float], share: float) -> float:
    """The sample below which a share of all lie: the nearest rank, so one that was measured.

    Raises:
        ValueError: there are no samples, or `share` is not from 0 to 1.
    """
    if not samples or not 0 <= share <= 1:
        raise ValueError("A percentile needs samples and a share from 0 to 1.")
    return sorted(samples)[max(0, math.ceil(share * len(samples)) - 1)]


def spread(samples: Sequence[float]) -> Spread:
    """Where the samples lie."""
    return Spread(
        len(samples),
        percentile(samples, 0.5),
        percentile(samples, 0.95),
        percentile(samples, 0.99),
        max(samples),
    )


def overhead_ms(made: Made, execution: Execution) -> float:
    """From the order to the image in the client, less the node's own time."""
    return (made.done_at - made.asked_at - execution.seconds) * 1000


def makespan_s(made: Iterable[Made]) -> float:
    """From the first order to the last image."""
    images = list(made)
    return max(one.done_at for one in images) - min(one.asked_at for one in images)


def makespan_ratio(made: Sequence[Made], executions: Iterable[Execution]) -> float:
    """The makespan over what one node needs for all of it at the least."""
    return makespan_s(made) / sum(execution.seconds for execution in executions)


def foreign_count(made: Iterable[Made], *, wheel: int) -> int:
    """How many images have the colour of another order's sketch; what was not made has none."""
    return sum(
        nearest_user(look_at(one.image).hue, wheel) != one.order.number for one in made if one.image
    )


# Between two moments each: of the client's, or the node's.
_STAGES = (
    ("submit until the node begins", "asked", "node begins"),
    ("node's end until succeeded", "node ends", "job.succeeded"),
    ("succeeded until the image is there", "job.succeeded", "done"),
)


def stages_ms(made: Made, execution: Execution) -> Mapping[str, float]:
    """Where the overhead was spent; the stages' sum is the overhead."""
    moments = {
        **made.moments,
        "asked": made.asked_at,
        "done": made.done_at,
        "node begins": execution.began_at,
        "node ends": execution.ended_at,
    }
    return {name: (moments[end] - moments[start]) * 1000 for name, start, end in _STAGES}
