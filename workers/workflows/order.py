"""What one prompt is to make."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

VARIATIONS_MAX = 4  # one seed's noise is drawn as a batch of four
REFERENCES_MAX = 3  # beside the sketch; the authors of FLUX.2 Klein 4B say: up to four
SIZE_STEP_PX = 16  # a latent pixel is 16 pixels
SIZE_MAX_PX = 16384
STEPS_MAX = 4096
SEED_MAX = 2**64 - 1


class Workflow(StrEnum):
    """What is done with the picture that comes in."""

    PAINT = "paint"  # painted over, as far as denoise says
    FOLLOW = "follow"  # painted anew, with the sketch to look at
    HD = "hd"  # a finished picture scaled up, then painted over a little
    UPSCALE = "upscale"  # a finished picture scaled up; nothing is painted


class Model(StrEnum):
    """Which FLUX.2 Klein 4B paints."""

    DISTILLED = "distilled"  # guidance built in: no negative prompt
    BASE = "base"  # guidance 5.0: slower, takes a negative prompt

    @property
    def steps_default(self) -> int:
        """How many steps its authors run it with."""
        return 4 if self is Model.DISTILLED else 20


@dataclass(frozen=True, slots=True)
class Anchor:
    """What of a picture is kept to the pixel: both as LoadImage takes them.

    The mask is as large as the picture: white keeps, black is painted. Its red channel counts.
    """

    image: str
    mask: str

    def __post_init__(self) -> None:
        if not self.image or not self.mask:
            raise ValueError("anchor has no image, or no mask.")


@dataclass(frozen=True, slots=True)
class Order:
    """What one prompt is to make: `count` pictures, the variations `first` and after of a seed.

    A variation has the same noise alone and with others. A GPU may round otherwise in a batch of
    another size, so that bytes are not promised.

    Args:
        prompt_id: names the output's folder, so that no other prompt's file can be taken for it.
        sketch: what LoadImage takes, as the upload returned it; with hd and upscale the finished
            picture. Opaque: LoadImage drops alpha, and what is hidden under it would show.
        prompt: may be empty.
        denoise: 0 keeps the sketch, 1 ignores it. Follow always paints the whole way.
        steps: of the whole schedule; about `denoise` of them run.
        width, height: of what comes out, in pixels; multiples of 16.
        negative: what not to paint; the distilled model cannot hear it.
        references: further pictures to look at, with follow.
    """

    prompt_id: UUID
    workflow: Workflow
    sketch: str
    prompt: str
    denoise: float
    steps: int
    seed: int
    width: int
    height: int
    model: Model = Model.DISTILLED
    negative: str = ""
    first: int = 0
    count: int = 1
    references: tuple[str, ...] = ()
    anchor: Anchor | None = None

    def __post_init__(self) -> None:
        if not self.sketch:
            raise ValueError("sketch is empty.")
        if not 0 <= self.denoise <= 1:
            raise ValueError(f"denoise is {self.denoise}, not from 0 to 1.")
        if not 1 <= self.steps <= STEPS_MAX:
            raise ValueError(f"steps is {self.steps}, not from 1 to {STEPS_MAX}.")
        if not 0 <= self.seed <= SEED_MAX:
            raise ValueError("seed does not fit into 64 bits.")
        for name, size_px in (("width", self.width), ("height", self.height)):
            if not SIZE_STEP_PX <= size_px <= SIZE_MAX_PX or size_px % SIZE_STEP_PX:
                raise ValueError(f"{name} is {size_px}, not a multiple of 16 from 16 to 16384.")
        if self.first < 0 or self.count < 1 or self.first + self.count > VARIATIONS_MAX:
            raise ValueError(
                f"first is {self.first} and count {self.count}: a seed has the variations 0 to 3."
            )
        if self.workflow is Workflow.UPSCALE and self.is_varied:
            raise ValueError("first and count vary nothing in an upscaled picture.")
        if self.references and self.workflow is not Workflow.FOLLOW:
            raise ValueError("references are for follow.")
        if len(self.references) > REFERENCES_MAX or not all(self.references):
            raise ValueError(f"references are up to {REFERENCES_MAX}, none of them empty.")
        if self.anchor and self.workflow not in {Workflow.PAINT, Workflow.FOLLOW}:
            raise ValueError("anchor is for paint and follow.")

    @property
    def is_varied(self) -> bool:
        """Whether it needs more than the first noise of its seed."""
        return (self.first, self.count) != (0, 1)
