"""The parameters of a job and the limits within which they may lie."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self
from uuid import UUID, uuid5

PROMPT_CHARS_MAX = 2000
STEPS_MIN, STEPS_MAX, STEPS_DEFAULT = 1, 50, 4
COUNT_MIN, COUNT_MAX = 1, 128
DENOISE_DEFAULT = 0.75
# FLUX.2's latent is a sixteenth of the image; below 256 it makes mush, above 1536² the decode of
# the rented 24 GB cards runs out of memory.
SIDE_MULTIPLE, SIDE_MIN, SIDE_MAX, SIDE_DEFAULT = 16, 256, 1536, 512
SEED_MAX = 2**53 - 1  # what JavaScript can hold exactly
MODES = ("paint",)
# (aspect, width, height): multiples of 16 near 512² pixels.
SIZES = (
    ("1:1", 512, 512),
    ("4:3", 592, 448),
    ("3:4", 448, 592),
    ("3:2", 624, 416),
    ("2:3", 416, 624),
    ("16:9", 688, 384),
    ("9:16", 384, 688),
)

_PROMPT_NAMESPACE = UUID("6f0a0bd0-6d0e-5f0c-9a55-8f4d2f8b7d11")  # chosen; never change it

Mode = Literal["paint"]


@dataclass(frozen=True, slots=True)
class JobParams:
    """What a user may decide about one image; sizes in pixels."""

    prompt: str
    mode: Mode
    denoise: float
    steps: int
    seed: int
    width: int
    height: int

    def as_json(self) -> dict[str, Any]:
        """The parameters as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Read back what `as_json` wrote."""
        return cls(**values)

    def variation(self, index: int) -> JobParams:
        """The same parameters with the seed that is `index` further on; after the last comes 0."""
        return JobParams(**{**asdict(self), "seed": (self.seed + index) % (SEED_MAX + 1)})


def side_problem(side_px: int) -> str | None:
    """Why a width or height cannot be taken, as a sentence; None when it can."""
    if not SIDE_MIN <= side_px <= SIDE_MAX or side_px % SIDE_MULTIPLE:
        return f"Give a multiple of {SIDE_MULTIPLE} from {SIDE_MIN} to {SIDE_MAX}."
    return None


def denoise_problem(denoise: float) -> str | None:
    """Why a strength cannot be taken, as a sentence; None when it can."""
    if not math.isfinite(denoise) or not 0 <= denoise <= 1:
        return "Give a number from 0 to 1."
    return None


def prompt_id_for(job_id: UUID, attempt: int) -> UUID:
    """The node's name for one attempt of a job: always the same, and never another's."""
    return uuid5(_PROMPT_NAMESPACE, f"{job_id}/{attempt}")
