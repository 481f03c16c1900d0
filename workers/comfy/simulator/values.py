"""What flows along the links of a graph."""

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]
"""One RGB picture, shape (height, width, 3)."""

Plane: TypeAlias = NDArray[np.float32]
"""One number a pixel, shape (height, width)."""

Images: TypeAlias = tuple[Pixels, ...]
"""An IMAGE: a batch of pictures of one size."""


@dataclass(frozen=True, slots=True)
class Token:
    """A model, encoder, sampler…: something that only has to be passed on."""

    kind: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Mask:
    """A MASK: numbers from 0 to 1."""

    values: Plane


@dataclass(frozen=True, slots=True)
class Latent:
    """A LATENT, kept as the pictures it stands for; `pictures` is empty for empty latents.

    `indices` say which of a seed's noises each of the batch gets, as ComfyUI's `batch_index`.
    `has_nan` says that it is not a number; its pictures are black then.
    Where `noise_mask` is 0, sampling leaves what was there.
    """

    width: int
    height: int
    batch: int
    pictures: Images = ()
    indices: tuple[int, ...] = ()
    has_nan: bool = False
    noise_mask: Mask | None = None

    @property
    def noise_indices(self) -> tuple[int, ...]:
        """The indices; without any, a batch gets its seed's noises in order."""
        return self.indices or tuple(range(self.batch))

    def repeated(self, amount: int) -> "Latent":
        """Repeat the batch; indices go on counting in each repetition."""
        step = max(self.indices, default=0) - min(self.indices, default=0) + 1
        return replace(
            self,
            batch=self.batch * amount,
            pictures=self.pictures * amount,
            indices=tuple(index + turn * step for turn in range(amount) for index in self.indices),
        )

    def part(self, first: int, count: int) -> "Latent":
        """Take `count` from `first` on out of the batch, with the noises they would have had."""
        first = min(self.batch - 1, first)
        count = min(self.batch - first, count)
        chosen = slice(first, first + count)
        return replace(
            self,
            batch=count,
            pictures=self.pictures[chosen],
            indices=self.noise_indices[chosen],
        )


@dataclass(frozen=True, slots=True)
class Conditioning:
    """The words, and what came as references: the sketch first, where it is one of them."""

    text: str
    references: tuple[Latent, ...] = ()


@dataclass(frozen=True, slots=True)
class Guider:
    """A CFGGuider. What is negative counts only with a `cfg` above 1."""

    positive: Conditioning
    negative: Conditioning
    cfg: float


@dataclass(frozen=True, slots=True)
class Noise:
    """A seed."""

    seed: int


@dataclass(frozen=True, slots=True)
class Sigmas:
    """A schedule: how many steps it has, and which part of the whole way they are."""

    steps: int
    denoise: float = 1.0

    def split(self, denoise: float) -> tuple["Sigmas", "Sigmas"]:
        """Split as SplitSigmasDenoise does: into the high and the low part.

        ComfyUI rounds steps × denoise with Python's round; so is the count of steps here. The
        low part keeps the exact denoise, so that the painter can follow a slider smoothly.
        """
        low = round(self.steps * denoise)
        return Sigmas(self.steps - low, self.denoise), Sigmas(low, self.denoise * denoise)
