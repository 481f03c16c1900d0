"""Latents: whether one can become a picture.

A broken GPU, or a model in a number format that it does not bear, gives latents full of NaN or of
one value. The decoder makes a black image of them without an error.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# Chosen: a latent's values spread over some units, whatever it shows; a white sheet's do too.
_SPREAD_MIN = 1e-6


class BadLatent(ValueError):
    """A latent without a picture in it. LlamaSketch knows the message: change both."""


def latent_check(samples: npt.NDArray[Any]) -> None:
    """Look at a batch of latents in the CPU's memory; the first axis counts the pictures.

    Raises:
        BadLatent: one of the pictures has NaN or infinity in it, or one value all over.
    """
    for picture in samples:
        if not np.isfinite(picture).all():
            raise BadLatent("LlamaSketch: the latent is not a number")
        if picture.size == 0 or float(picture.max()) - float(picture.min()) <= _SPREAD_MIN:
            raise BadLatent("LlamaSketch: the latent is blank")
