"""The paint workflow: a sketch and a prompt become the graph that paints over the sketch.

FLUX.2 Klein 4B, distilled: a few steps, guidance off (cfg 1.0, the negative zeroed out). The
sketch is scaled, encoded, noised as far as `denoise` says, and painted from there. The graph's
shape is in `paint.v1.json`; another shape is another version, beside it, so that what made an
image stays known.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

VERSION = "paint.v1"

Graph = dict[str, dict[str, Any]]

# Ids of the template's nodes that parameters reach.
_SKETCH, _ENCODED, _TEXT, _NOISE = "1", "3", "6", "8"
_SCHEDULE, _DECODE, _SAVE, _SPLIT, _SCALE = "10", "13", "14", "15", "16"

_MAX_SEED = 2**64 - 1
_MIN_DENOISE = 0.01  # the step of SplitSigmasDenoise; finer values would only lengthen the schedule
_SIZE_STEP_PX = 16  # a latent pixel is 16 pixels
_MAX_SIZE_PX = 16384
_OUTPUT_FOLDER = "llamasketch"
_MODEL_INPUTS = frozenset({"unet_name", "clip_name", "vae_name"})


@dataclass(frozen=True, slots=True)
class PaintParams:
    """What one prompt paints.

    Args:
        prompt_id: names the output's folder, so that no other prompt's file can be taken for it.
        sketch: what LoadImage takes, as the upload returned it.
        prompt: may be empty.
        denoise: 0 keeps the sketch, 1 ignores it.
        steps: of the whole schedule; about `denoise` of them run.
        width, height: of the image in pixels, multiples of 16.
    """

    prompt_id: UUID
    sketch: str
    prompt: str
    denoise: float
    steps: int
    seed: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if not self.sketch:
            raise ValueError("sketch is empty.")
        if not 0 <= self.denoise <= 1:
            raise ValueError(f"denoise is {self.denoise}, not from 0 to 1.")
        if not 1 <= self.steps <= 4096:
            raise ValueError(f"steps is {self.steps}, not from 1 to 4096.")
        if not 0 <= self.seed <= _MAX_SEED:
            raise ValueError("seed does not fit into 64 bits.")
        for name, size_px in (("width", self.width), ("height", self.height)):
            if not _SIZE_STEP_PX <= size_px <= _MAX_SIZE_PX or size_px % _SIZE_STEP_PX:
                raise ValueError(f"{name} is {size_px}, not a multiple of 16 from 16 to 16384.")


def paint_graph(params: PaintParams) -> Graph:
    """Build the graph, in the form that `POST /prompt` takes.

    The sketch is stretched to the size, not cropped: nothing that was drawn may be cut off, and the
    studio sends sketches of the size's own shape. Lanczos, because thin lines survive it.

    With denoise 0 nothing is sampled and the encoded sketch is decoded as it is. A denoise so small
    that no step of the schedule would run gets a finer schedule, of which one step runs.
    """
    graph = _template()
    schedule_steps, denoise = _schedule(steps=params.steps, denoise=params.denoise)
    size = {"width": params.width, "height": params.height}
    graph[_SKETCH]["inputs"]["image"] = params.sketch
    graph[_SCALE]["inputs"] |= size
    # A lone surrogate is text to JSON and an error to the tokenizer.
    graph[_TEXT]["inputs"]["text"] = params.prompt.encode("utf-8", "replace").decode("utf-8")
    graph[_NOISE]["inputs"]["noise_seed"] = params.seed
    graph[_SCHEDULE]["inputs"] |= {"steps": schedule_steps, **size}
    graph[_SPLIT]["inputs"]["denoise"] = denoise
    graph[_SAVE]["inputs"]["filename_prefix"] = f"{_output_folder(params.prompt_id)}/image"
    if denoise == 0:
        # Servers run only what an output needs, so that nothing is sampled.
        graph[_DECODE]["inputs"]["samples"] = [_ENCODED, 0]
    return graph


def sampler_steps(*, steps: int, denoise: float) -> int:
    """Return how many steps the sampler runs; its progress counts up to this."""
    schedule_steps, denoise = _schedule(steps=steps, denoise=denoise)
    return _steps_run(schedule_steps, denoise)


def is_output_of(prompt_id: UUID, *, subfolder: str) -> bool:
    """Whether a file lies in a prompt's own folder.

    A server that had all of a graph in its cache names the file of an earlier prompt, which may
    be gone or overwritten by then.
    """
    return subfolder.replace("\\", "/").strip("/") == _output_folder(prompt_id)


def required_classes() -> frozenset[str]:
    """Return the node classes that a server must have."""
    return frozenset(node["class_type"] for node in _template().values())


def required_models() -> frozenset[tuple[str, str, str]]:
    """Return the models that a server must have, as (node class, input, file)."""
    return frozenset(
        (node["class_type"], name, value)
        for node in _template().values()
        for name, value in node["inputs"].items()
        if name in _MODEL_INPUTS
    )


def _schedule(*, steps: int, denoise: float) -> tuple[int, float]:
    """Return the schedule's steps and the share of them that is run."""
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


def _template() -> Graph:
    graph: Graph = json.loads(_template_text())
    return graph


@cache
def _template_text() -> str:
    return Path(__file__).with_name(f"{VERSION}.json").read_text(encoding="utf-8")
