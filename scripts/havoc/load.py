"""The load: what each user asks for and when, decided by the seed alone."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

COUNTS = (1, 1, 1, 1, 1, 2, 2, 3, 4, 6)
# Small ones, since every pixel is painted on the CPU that all processes share.
SIZES = ((256, 256), (256, 256), (320, 256), (256, 384), (384, 384), (512, 512))
DENOISES = (0.3, 0.4, 0.5)  # above, the simulator's painter takes more liberties with the hue


class Then(StrEnum):
    """What a user does some time after a submission."""

    NOTHING = "nothing"
    CANCEL_JOB = "cancel-job"
    CANCEL_BATCH = "cancel-batch"
    CANCEL_ALL = "cancel-all"
    RETRY = "retry"  # of a job that failed or was cancelled, should there be one


_OFTEN = {
    Then.NOTHING: 70,
    Then.CANCEL_JOB: 10,
    Then.CANCEL_BATCH: 7,
    Then.CANCEL_ALL: 2,
    Then.RETRY: 11,
}


class Kind(StrEnum):
    """What is made of the sketch."""

    PAINT = "paint"
    BASE = "base"  # painted by the slower model
    HD = "hd"
    UPSCALE = "upscale"


# Not `follow`: the simulator's painter then takes liberties with the hue, which tells whose it is.
_KINDS = {Kind.PAINT: 75, Kind.BASE: 10, Kind.HD: 5, Kind.UPSCALE: 10}


@dataclass(frozen=True, slots=True)
class Request:
    """One submission; times in seconds since the load began, sizes in pixels.

    `is_twice`: sent twice at once with the same key. `is_impatient`: the caller hangs up before the
    answer and asks again.
    """

    at_s: float
    kind: Kind
    count: int
    lane: str
    steps: int
    denoise: float
    width: int
    height: int
    seed: int
    shift_px: int
    is_twice: bool
    is_impatient: bool
    then: Then
    then_at_s: float


def requests_plan(seed: int, *, user: int, jobs: int, span_s: float) -> tuple[Request, ...]:
    """Plan submissions of `jobs` jobs together, spread over the whole span."""
    rng = random.Random(f"load {seed} {user}")
    counts: list[int] = []
    while (left := jobs - sum(counts)) > 0:
        counts.append(min(left, rng.choice(COUNTS)))
    times = sorted(rng.uniform(0.0, span_s) for _ in counts)
    return tuple(
        _request(rng, at_s, count, number)
        for number, (at_s, count) in enumerate(zip(times, counts, strict=True))
    )


def _request(rng: random.Random, at_s: float, count: int, number: int) -> Request:
    width, height = rng.choice(SIZES)
    kind = rng.choices(list(_KINDS), list(_KINDS.values()))[0]
    if count > 1 and kind in {Kind.HD, Kind.UPSCALE}:
        kind = Kind.PAINT  # enlarging makes one image
    return Request(
        at_s=round(at_s, 2),
        kind=kind,
        count=count,
        lane="live" if count == 1 and rng.random() < 0.4 else "batch",
        steps=rng.choice((4, 4, 6, 12)),
        denoise=rng.choice(DENOISES),
        width=width,
        height=height,
        seed=rng.randrange(2**32),
        shift_px=number,
        is_twice=rng.random() < 0.2,
        is_impatient=rng.random() < 0.1,
        then=rng.choices(list(_OFTEN), list(_OFTEN.values()))[0],
        then_at_s=round(at_s + rng.uniform(0.05, 6.0), 2),
    )
