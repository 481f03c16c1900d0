"""Latents without a picture in them are told from those with one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from deploy.comfyui.llamasketch_nodes.latents import BadLatent, latent_check

Values = npt.NDArray[np.float32]


def latents(batch: int = 2) -> Values:
    return np.random.default_rng(1).normal(size=(batch, 128, 4, 4)).astype(np.float32)


def test_a_latent_with_a_picture_passes() -> None:
    latent_check(latents())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_single_value_that_is_no_number_is_found(value: float) -> None:
    values = latents()
    values[1, 127, 3, 3] = value

    with pytest.raises(BadLatent, match=r"^LlamaSketch: the latent is not a number$"):
        latent_check(values)


@pytest.mark.parametrize("value", [0.0, 1.5])
def test_one_picture_of_one_value_is_blank_whatever_the_others_show(value: float) -> None:
    values = latents()
    values[1] = value

    with pytest.raises(BadLatent, match=r"^LlamaSketch: the latent is blank$"):
        latent_check(values)
