"""The pace: how long a kind of job takes, from those that were made."""

from __future__ import annotations

from django.core.cache import cache
from django.db.models import Avg, F, TextField

from generation.models import Pace
from generation.params import JobParams
from usage.statements import Select, Slot

FIRST_GUESS_S = 3.0  # chosen: until any job has finished
LATEST_SHARE = 0.2  # chosen: the mean follows a change of machines within about ten jobs
QUARTER_MEGAPIXEL = 512 * 512
KEPT_S = 5.0  # chosen: a mean hardly moves in this time, and each claim asks for one


def job_kind(params: JobParams) -> str:
    """What a job's duration depends on: its workflow, its steps, and its size in steps of 512²."""
    steps = max(1, round(params.steps * params.denoise))
    size = max(1, round(params.width * params.height / QUARTER_MEGAPIXEL))
    return f"{params.workflow} {steps} steps {size}×512²"


_MEAN_OF = Select(lambda: Pace.objects.filter(kind=Slot("kind", TextField())).values_list("mean_s"))


def pace_of(params: JobParams) -> float:
    """Seconds on a node that a job like this is likely to take."""
    kind = job_kind(params)
    kept: float | None = cache.get(_key(kind))
    if kept is not None:
        return kept
    for (mean_s,) in _MEAN_OF.rows(kind=kind):
        cache.set(_key(kind), float(mean_s), KEPT_S)
        return float(mean_s)
    return pace_mean()


def pace_mean() -> float:
    """Seconds on a node that a job of any kind is likely to take."""
    mean = Pace.objects.aggregate(mean=Avg("mean_s"))["mean"]
    return FIRST_GUESS_S if mean is None else float(mean)


def pace_note(params: JobParams, execution_s: float) -> None:
    """Take a finished job's seconds into the mean of its kind."""
    kind = job_kind(params)
    moved = F("mean_s") + (execution_s - F("mean_s")) * LATEST_SHARE
    if not Pace.objects.filter(kind=kind).update(mean_s=moved):
        Pace.objects.get_or_create(kind=kind, defaults={"mean_s": execution_s})
    cache.delete(_key(kind))


def _key(kind: str) -> str:
    return f"pace/{kind.replace(' ', '_')}"
