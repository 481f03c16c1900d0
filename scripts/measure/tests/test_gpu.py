"""A graph that makes several images at once."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from scripts.measure.bare import Graph, graph_of
from scripts.measure.gpu import repeat
from scripts.measure.orders import orders_of


@pytest.fixture
def graph() -> Graph:
    return graph_of(orders_of(1, wheel=1)[0], UUID(int=1), "bench/x.png")


def test_one_a_prompt_is_the_graph_as_it_was(graph: Graph) -> None:
    before = json.dumps(graph)

    repeat(graph, 1)

    assert json.dumps(graph) == before


def test_the_sampler_takes_the_sketch_as_often_as_asked(graph: Graph) -> None:
    samplers = [node for node in graph.values() if "latent_image" in node["inputs"]]
    before = [node["inputs"]["latent_image"] for node in samplers]

    repeat(graph, 4)

    (sampler,) = samplers
    added = graph[sampler["inputs"]["latent_image"][0]]
    assert added["class_type"] == "RepeatLatentBatch"
    assert added["inputs"] == {"samples": before[0], "amount": 4}
