"""Every graph that is built, checked and run by the simulator."""

from pathlib import Path
from typing import Any

import pytest

from workers.comfy.simulator.tests.bare import BareSimulator
from workers.comfy.simulator.tests.graphs import klein_graph, outline
from workers.workflows.abilities import Abilities
from workers.workflows.build import graph_build
from workers.workflows.order import Order
from workers.workflows.tests.orders import (
    ALL_SHAPES,
    ANCHOR,
    FULL,
    PACK,
    PACKED,
    REFERENCES,
    STOCK,
    UPSCALE_LOADER,
    order,
)

NODES: dict[str, tuple[Abilities, dict[str, Any]]] = {
    "stock": (STOCK, {}),
    "pack": (PACKED, PACK),
    "full": (FULL, PACK | UPSCALE_LOADER),
}
SKETCH = order().sketch


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("made", ALL_SHAPES.values(), ids=ALL_SHAPES)
def test_every_graph_passes_a_servers_checks(made: Order, node: str, tmp_path: Path) -> None:
    abilities, additions = NODES[node]
    simulator = BareSimulator(tmp_path, additions)
    for name in (SKETCH, ANCHOR.image, ANCHOR.mask, *REFERENCES):
        simulator.upload(outline(side=16), name)
    graph = graph_build(made, abilities).graph

    validated = simulator.validate(graph)

    assert validated.error is None, validated
    assert validated.outputs == ("save",)
    for node_id, each in graph.items():
        known = simulator.catalogue.classes[each["class_type"]]
        assert set(each["inputs"]) <= {item.name for item in known.inputs}, node_id


def test_paint_is_the_graph_that_was_recorded() -> None:
    made = order(width=512, height=512, seed=1, prompt="a lighthouse")
    graph = graph_build(made, STOCK).graph
    recorded = klein_graph(image=made.sketch, prefix=graph["save"]["inputs"]["filename_prefix"])

    assert unfolded(graph, "save") == unfolded(recorded, "14")
    assert len(graph) == len(recorded)


def unfolded(graph: dict[str, Any], node_id: str) -> dict[str, Any]:
    """A node with its sources in place of their ids."""
    node = graph[node_id]
    return {
        "class_type": node["class_type"],
        "inputs": {
            name: [unfolded(graph, value[0]), value[1]] if isinstance(value, list) else value
            for name, value in node["inputs"].items()
        },
    }
