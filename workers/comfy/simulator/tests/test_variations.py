"""The noises of one seed: which picture of a batch is which, however the batch was made."""

from pathlib import Path
from typing import Any

import pytest

from workers.comfy.simulator.tests.bare import BareSimulator
from workers.comfy.simulator.tests.graphs import klein_graph, outline
from workers.comfy.simulator.values import Latent

EMPTY = Latent(64, 64, 1)


def picked(first: int, count: int, *, seed: int = 5) -> dict[str, Any]:
    graph = klein_graph(seed=seed, side=128, prefix=f"picked-{first}-{count}")
    graph["20"] = {
        "class_type": "RepeatLatentBatch",
        "inputs": {"samples": ["3", 0], "amount": 4},
    }
    graph["21"] = {
        "class_type": "LatentFromBatch",
        "inputs": {"samples": ["20", 0], "batch_index": first, "length": count},
    }
    graph["12"]["inputs"]["latent_image"] = ["21", 0]
    return graph


@pytest.fixture
def simulator(tmp_path: Path) -> BareSimulator:
    simulator = BareSimulator(tmp_path)
    simulator.upload(outline("red", side=128), "llamasketch/sketch.png")
    return simulator


def pictures(simulator: BareSimulator, graph: dict[str, Any]) -> list[bytes]:
    return [picture.tobytes() for picture in simulator.run(graph)]


def test_a_picture_is_the_same_alone_and_in_a_batch(simulator: BareSimulator) -> None:
    together = pictures(simulator, picked(0, 4))
    alone = [pictures(simulator, picked(index, 1)) for index in range(4)]
    middle = pictures(simulator, picked(1, 2))
    plain = pictures(simulator, klein_graph(seed=5, side=128, prefix="plain"))

    assert [[each] for each in together] == alone
    assert middle == together[1:3]
    assert plain == together[:1]
    assert len(set(together)) == 4


def test_the_second_noise_of_a_seed_is_not_the_first_of_the_next(
    simulator: BareSimulator,
) -> None:
    second = pictures(simulator, picked(1, 1, seed=5))

    assert second != pictures(simulator, picked(0, 1, seed=6))


@pytest.mark.parametrize(
    ("latent", "indices"),
    [
        (EMPTY.repeated(4), (0, 1, 2, 3)),
        (EMPTY.repeated(4).part(1, 2), (1, 2)),
        (EMPTY.repeated(4).part(3, 4), (3,)),
        (EMPTY.repeated(4).part(9, 1), (3,)),
        (EMPTY.repeated(4).part(1, 2).repeated(2), (1, 2, 3, 4)),
        (EMPTY.repeated(4).part(1, 3).part(1, 1), (2,)),
    ],
)
def test_indices_follow_comfyui(latent: Latent, indices: tuple[int, ...]) -> None:
    assert latent.noise_indices == indices
    assert latent.batch == len(indices)
