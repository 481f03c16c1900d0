"""Write the graphs as files, for a ComfyUI that is used by hand.

python -m workers.workflows deploy/comfyui/workflows
"""

import json
import sys
from pathlib import Path
from uuid import UUID

from workers.workflows.abilities import STOCK, ability_key
from workers.workflows.build import graph_build
from workers.workflows.order import Model, Order, Workflow
from workers.workflows.templates import Graph

NOBODY = UUID(int=0)
KINDS = (
    (Workflow.PAINT, Model.DISTILLED),
    (Workflow.PAINT, Model.BASE),
    (Workflow.FOLLOW, Model.DISTILLED),
    (Workflow.HD, Model.DISTILLED),
    (Workflow.UPSCALE, Model.DISTILLED),
)


def examples() -> dict[str, Graph]:
    """A graph of each kind with ordinary values, by file name."""
    graphs = {}
    for workflow, model in KINDS:
        order = Order(
            prompt_id=NOBODY,
            workflow=workflow,
            model=model,
            sketch="sketch.png",
            prompt="",
            denoise=0.3 if workflow is Workflow.HD else 0.75,
            steps=model.steps_default,
            seed=0,
            width=512,
            height=512,
        )
        graph = graph_build(order, STOCK).graph
        graph["save"]["inputs"]["filename_prefix"] = "llamasketch/image"
        graphs[f"{ability_key(workflow, model, is_anchored=False)}.json"] = graph
    return graphs


def main(arguments: list[str]) -> int:
    """Write them into the folder that is named."""
    if len(arguments) != 1:
        sys.stderr.write("Give the folder to write to.\n")
        return 2
    for name, graph in examples().items():
        text = json.dumps(graph, indent=1) + "\n"
        (Path(arguments[0]) / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
