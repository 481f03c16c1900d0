"""Orders become graphs, in the form that `POST /prompt` takes."""

from dataclasses import dataclass
from uuid import UUID

from workers.workflows.abilities import Abilities
from workers.workflows.order import SIZE_STEP_PX, Order, Workflow
from workers.workflows.shape import Shape
from workers.workflows.templates import Graph, graph_bypass, graph_compose, graph_fill

_OUTPUT_FOLDER, _OUTPUT_STEM = "llamasketch", "image"
_SUFFIXES = {"jpeg": "jpg", "png": "png", "webp": "webp"}  # of the node pack's formats
_MIN_DENOISE = 0.01  # the step of SplitSigmasDenoise; finer values would only lengthen the schedule
# In one piece, larger pictures do not decode in the 24 GB of the cards that are rented.
_WHOLE_DECODE_MAX_PX = 1536 * 1536


class Unsupported(Exception):
    """The node lacks what the order needs: `lacks` names a node class or a model's file."""

    def __init__(self, lacks: str) -> None:
        super().__init__(f"The node lacks {lacks}.")
        self.lacks = lacks


@dataclass(frozen=True, slots=True)
class Recipe:
    """A graph, and what is to be known about it.

    Args:
        version: the template and the parts that it was put together from.
        sampler_steps: what the sampler's progress counts up to; 0 where nothing is sampled.
        method: how a picture was enlarged: "lanczos", or "model" with the model's file; else "".
        folder: where its files go, below the node's output folder.
        names: what the node pack will call them in an empty folder; without the pack nobody knows.
    """

    graph: Graph
    version: str
    sampler_steps: int
    method: str
    folder: str
    names: tuple[str, ...]


def graph_build(order: Order, abilities: Abilities) -> Recipe:
    """Build the graph of an order for a node.

    Its files come out in the order of the variations: file k is number `first` + k.

    The sketch is stretched to the size, not cropped: nothing that was drawn may be cut off, and the
    studio sends sketches of the size's own shape. Lanczos, because thin lines survive it.

    With denoise 0 nothing is sampled and the encoded sketch is decoded as it is. A denoise so small
    that no step of the schedule would run gets a finer schedule, of which one step runs.

    Raises:
        Unsupported: the node lacks a class or a model.
    """
    steps = sampler_steps(order)
    upscaler = abilities.upscaler if order.workflow is Workflow.UPSCALE else None
    shape = Shape(
        order.workflow,
        order.model,
        references=len(order.references),
        is_anchored=order.anchor is not None,
        is_varied=order.is_varied,
        is_sampled=steps > 0,
        is_tiled=order.width * order.height > _WHOLE_DECODE_MAX_PX,
        has_pack=abilities.has_pack,
        has_jpeg="jpeg" in abilities.formats,
        has_upscaler=upscaler is not None,
    )
    parts = shape.parts()
    graph = graph_compose(parts)
    if not steps and "sampler" in graph:
        graph = graph_bypass(graph, "sampler", takes="latent_image")
    graph = graph_fill(graph, _values(order, upscaler))
    lacks = abilities.lacks(graph)
    if lacks is not None:
        raise Unsupported(lacks)
    return Recipe(
        graph=graph,
        version="+".join(dict.fromkeys(parts)),
        sampler_steps=steps,
        method=_method(order, upscaler),
        folder=_output_folder(order.prompt_id),
        names=_names(graph, order.count),
    )


def sampler_steps(order: Order) -> int:
    """Return how many steps the sampler runs; its progress counts up to this."""
    if order.workflow is Workflow.UPSCALE:
        return 0
    if order.workflow is Workflow.FOLLOW:
        return order.steps
    return _steps_run(*_schedule(order))


def is_output_of(prompt_id: UUID, *, subfolder: str) -> bool:
    """Whether a file lies in a prompt's own folder.

    A server that had all of a graph in its cache names the file of an earlier prompt, which may
    be gone or overwritten by then.
    """
    return subfolder.replace("\\", "/").strip("/") == _output_folder(prompt_id)


def _values(order: Order, upscaler: str | None) -> dict[str, object]:
    """What stands behind the templates' names with $."""
    schedule_steps, denoise = _schedule(order)
    values: dict[str, object] = {
        "sketch": order.sketch,
        "prompt": _text(order.prompt),
        "negative": _text(order.negative),
        "denoise": denoise,
        "steps": order.steps,
        "schedule_steps": schedule_steps,
        "seed": order.seed,
        "first": order.first,
        "count": order.count,
        "width": order.width,
        "height": order.height,
        "filename_prefix": f"{_output_folder(order.prompt_id)}/{_OUTPUT_STEM}",
        "upscaler": upscaler,
        "reference_megapixels": _reference_megapixels(order),
        "latent_width": order.width // SIZE_STEP_PX,
        "latent_height": order.height // SIZE_STEP_PX,
    }
    for number, reference in enumerate(order.references, start=1):
        values[f"reference{number}"] = reference
    if order.anchor is not None:
        values |= {"anchor_image": order.anchor.image, "anchor_mask": order.anchor.mask}
    return values


def _reference_megapixels(order: Order) -> float:
    """How large a reference is looked at: as large as what comes out, up to a megapixel.

    Each reference costs the sampler as much as a picture of its size.
    """
    return round(min(1.0, max(0.06, order.width * order.height / 1024**2)), 2)


def _text(text: str) -> str:
    # A lone surrogate is text to JSON and an error to the tokenizer.
    return text.encode("utf-8", "replace").decode("utf-8")


def _names(graph: Graph, count: int) -> tuple[str, ...]:
    suffix = _SUFFIXES.get(graph["save"]["inputs"].get("format", ""))
    if suffix is None:
        return ()
    return tuple(f"{_OUTPUT_STEM}_{number:05}_.{suffix}" for number in range(1, count + 1))


def _method(order: Order, upscaler: str | None) -> str:
    if order.workflow is Workflow.UPSCALE and upscaler is not None:
        return f"model {upscaler}"
    return "lanczos" if order.workflow in {Workflow.UPSCALE, Workflow.HD} else ""


def _schedule(order: Order) -> tuple[int, float]:
    """Return the schedule's steps and the share of them that is run."""
    steps, denoise = order.steps, order.denoise
    if denoise <= 0:
        return steps, 0.0
    denoise = max(denoise, _MIN_DENOISE)
    while _steps_run(steps, denoise) < 1:
        steps += 1
    return steps, denoise


def _steps_run(steps: int, denoise: float) -> int:
    # SplitSigmasDenoise rounds with Python's round: halves go to the even neighbour.
    return round(steps * denoise)


def _output_folder(prompt_id: UUID) -> str:
    # A folder for each prompt: SaveImage lists the folder it writes to, which gets slow when it
    # fills up.
    return f"{_OUTPUT_FOLDER}/{prompt_id}"
