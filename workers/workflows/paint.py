"""The paint workflow with the distilled model, as its first callers know it.

To be removed when nobody imports it any more: build.py makes every graph.
"""

from dataclasses import dataclass
from uuid import UUID

from workers.workflows import build
from workers.workflows.abilities import MODEL_INPUTS, Abilities
from workers.workflows.build import is_output_of
from workers.workflows.order import Order, Workflow
from workers.workflows.shape import Shape
from workers.workflows.templates import Graph, graph_compose

__all__ = [
    "PaintParams",
    "is_output_of",
    "paint_graph",
    "required_classes",
    "required_models",
    "sampler_steps",
]


@dataclass(frozen=True, slots=True)
class PaintParams:
    """What one prompt paints; an Order says more about each of the fields."""

    prompt_id: UUID
    sketch: str
    prompt: str
    denoise: float
    steps: int
    seed: int
    width: int
    height: int

    def __post_init__(self) -> None:
        self.as_order()

    def as_order(self) -> Order:
        """The same as an order."""
        return Order(
            prompt_id=self.prompt_id,
            workflow=Workflow.PAINT,
            sketch=self.sketch,
            prompt=self.prompt,
            denoise=self.denoise,
            steps=self.steps,
            seed=self.seed,
            width=self.width,
            height=self.height,
        )


def paint_graph(params: PaintParams) -> Graph:
    """Build the graph for a node that has just what painting needs."""
    abilities = Abilities(required_classes() | {"VAEDecodeTiled"}, required_models())
    return build.graph_build(params.as_order(), abilities).graph


def sampler_steps(*, steps: int, denoise: float) -> int:
    """Return how many steps the sampler runs; its progress counts up to this."""
    return build.sampler_steps(
        PaintParams(
            prompt_id=UUID(int=0),
            sketch="any",
            prompt="",
            denoise=denoise,
            steps=steps,
            seed=0,
            width=16,
            height=16,
        ).as_order()
    )


def required_classes() -> frozenset[str]:
    """Return the node classes that a server must have."""
    return frozenset(node["class_type"] for node in _graph().values())


def required_models() -> frozenset[tuple[str, str, str]]:
    """Return the models that a server must have, as (node class, input, file)."""
    return frozenset(
        (node["class_type"], name, value)
        for node in _graph().values()
        for name, value in node["inputs"].items()
        if (node["class_type"], name) in MODEL_INPUTS
    )


def _graph() -> Graph:
    return graph_compose(Shape(Workflow.PAINT).parts())
