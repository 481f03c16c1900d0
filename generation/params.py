"""The parameters of a job and the limits within which they may lie."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self
from uuid import UUID, uuid5

PROMPT_CHARS_MAX = 2000
STEPS_MIN, STEPS_MAX = 1, 50
COUNT_MIN, COUNT_MAX = 1, 128
# FLUX.2's latent is a sixteenth of the image; below 256 it makes mush, above 1536² the decode of
# the rented 24 GB cards runs out of memory.
SIDE_MULTIPLE, SIDE_MIN, SIDE_MAX, SIDE_DEFAULT = 16, 256, 1536, 512
SEED_MAX = 2**53 - 1  # what JavaScript can hold exactly
# What becomes of the sketch: painted over, followed as a reference, or, being a finished image,
# made twice as large with a second pass (hd) or without one (upscale).
MODES = ("paint", "follow", "hd", "upscale")
ENLARGING = frozenset({"hd", "upscale"})  # they set the size themselves, and make one image
FOLLOWING = frozenset({"follow"})
ANCHORING = frozenset({"paint", "follow"})
MODELS = ("distilled", "base")
# Steps of the whole schedule: the base model was not distilled to a few.
STEPS_OF_MODEL = {"distilled": 4, "base": 20}
DENOISE_OF_MODE = {"paint": 0.75, "follow": 1.0, "hd": 0.3, "upscale": 0.0}
REFERENCES_MAX = 3  # beside the sketch; each costs its latent's tokens at every step
# Images that share a seed: they can be made in one prompt, and each again alone.
VARIATIONS_PER_SEED = 4
ENLARGEMENT = 2
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

Mode = Literal["paint", "follow", "hd", "upscale"]
Model = Literal["distilled", "base"]


@dataclass(frozen=True, slots=True)
class JobParams:
    """What a user may decide about one image; sizes in pixels.

    Attributes:
        variation: which of the images of the seed, from 0; (seed, variation) says it all.
        references: names in storage of further pictures to follow.
        anchor_image, anchor_mask: names in storage of a picture and of what stays of it (white).
    """

    prompt: str
    mode: Mode
    denoise: float
    steps: int
    seed: int
    width: int
    height: int
    model: Model = "distilled"
    negative_prompt: str = ""
    variation: int = 0
    references: tuple[str, ...] = ()
    anchor_image: str = ""
    anchor_mask: str = ""

    def as_json(self) -> dict[str, Any]:
        """The parameters as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Read back what `as_json` wrote."""
        return cls(**{**values, "references": tuple(values.get("references", ()))})

    @property
    def workflow(self) -> str:
        """Which kind of graph makes it: what a node must have for it is told by this name."""
        parts: list[str] = [self.mode]
        if self.model == "base" and self.mode != "upscale":
            parts.append("base")
        if self.anchor_image:
            parts.append("anchor")
        return "-".join(parts)

    @property
    def blobs(self) -> tuple[str, ...]:
        """The names in storage that it refers to, beside the sketch."""
        return (*self.references, *filter(None, (self.anchor_image, self.anchor_mask)))

    def variation_after(self, index: int) -> Self:
        """The same parameters `index` variations further on: the next seed after the last of one.

        After the last seed comes 0.
        """
        seeds, variation = divmod(self.variation + index, VARIATIONS_PER_SEED)
        return replace(self, seed=(self.seed + seeds) % (SEED_MAX + 1), variation=variation)

    def is_next_of(self, other: JobParams) -> bool:
        """Whether it is the variation that follows `other` under the same seed."""
        return replace(other, variation=other.variation + 1) == self


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
