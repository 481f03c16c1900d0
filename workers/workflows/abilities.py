"""What a node can make, by the node classes and models that it has."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

from workers.workflows.order import Model, Workflow
from workers.workflows.shape import Shape
from workers.workflows.templates import Graph, graph_compose

CLASSES = frozenset(
    {
        "CFGGuider",
        "CLIPLoader",
        "CLIPTextEncode",
        "ConditioningZeroOut",
        "EmptyFlux2LatentImage",
        "Flux2Scheduler",
        "GrowMask",
        "ImageCompositeMasked",
        "ImageInvert",
        "ImageScale",
        "ImageScaleToTotalPixels",
        "ImageToMask",
        "ImageUpscaleWithModel",
        "KSamplerSelect",
        "LatentFromBatch",
        "LlamaSketchCheckLatent",
        "LlamaSketchSaveImage",
        "LoadImage",
        "LoadImageMask",
        "RandomNoise",
        "ReferenceLatent",
        "RepeatLatentBatch",
        "SamplerCustomAdvanced",
        "SaveImage",
        "SetLatentNoiseMask",
        "SplitSigmasDenoise",
        "UNETLoader",
        "UpscaleModelLoader",
        "VAEDecode",
        "VAEDecodeTiled",
        "VAEEncode",
        "VAELoader",
    }
)
"""Every node class that a graph may use."""

MODEL_INPUTS = frozenset(
    {
        ("CLIPLoader", "clip_name"),
        ("UNETLoader", "unet_name"),
        ("UpscaleModelLoader", "model_name"),
        ("VAELoader", "vae_name"),
    }
)
"""Every (node class, input) that names a model's file."""

_PACK = frozenset({"LlamaSketchCheckLatent", "LlamaSketchSaveImage"})


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a node has.

    Args:
        classes: its node classes, of CLASSES.
        models: the models' files: (class, input, file).
        formats: those that the node pack's LlamaSketchSaveImage offers; empty without the pack.
    """

    classes: frozenset[str]
    models: frozenset[tuple[str, str, str]]
    formats: frozenset[str] = frozenset()

    @property
    def has_pack(self) -> bool:
        """Whether it has the node pack whole."""
        return self.classes >= _PACK

    @property
    def upscaler(self) -> str | None:
        """The upscale model to use, None where there is none: the first by name.

        Models that only clean a picture up, "1x" by name, do not count.
        """
        files = sorted(
            file
            for class_name, _, file in self.models
            if class_name == "UpscaleModelLoader" and not file.lower().startswith("1x")
        )
        return files[0] if files and "ImageUpscaleWithModel" in self.classes else None

    def offers(self) -> tuple[str, ...]:
        """Return the ability keys of all that it can make, variations included, sorted."""
        return tuple(
            sorted(
                ability_key(shape.workflow, shape.model, is_anchored=shape.is_anchored)
                for shape in _shapes(has_pack=self.has_pack)
                if self.lacks(graph_compose(shape.parts())) is None
            )
        )

    def lacks(self, graph: Graph) -> str | None:
        """Name a node class or a model that a graph needs and the node has not, None without."""
        for node in graph.values():
            class_name = node["class_type"]
            if class_name not in self.classes:
                return str(class_name)
            for name, value in node["inputs"].items():
                is_model = (class_name, name) in MODEL_INPUTS
                if is_model and (class_name, name, value) not in self.models:
                    return str(value)
        return None

    def as_json(self) -> dict[str, Any]:
        """The abilities as JSON values, in a stable order."""
        return {
            "classes": sorted(self.classes),
            "models": [list(model) for model in sorted(self.models)],
            "formats": sorted(self.formats),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Read back what `as_json` wrote. Before the pack's 1.2 it wrote no formats."""
        return cls(
            classes=frozenset(values["classes"]),
            models=frozenset((model[0], model[1], model[2]) for model in values["models"]),
            formats=frozenset(values.get("formats", ())),
        )


STOCK = Abilities(
    classes=CLASSES - _PACK,
    models=frozenset(
        {
            ("CLIPLoader", "clip_name", "qwen_3_4b.safetensors"),
            ("UNETLoader", "unet_name", "flux-2-klein-4b.safetensors"),
            ("UNETLoader", "unet_name", "flux-2-klein-base-4b.safetensors"),
            ("VAELoader", "vae_name", "flux2-vae.safetensors"),
        }
    ),
)
"""A node as ComfyUI comes, with the models of ours: no node pack, no upscale model."""


def ability_key(workflow: Workflow, model: Model, *, is_anchored: bool) -> str:
    """Name what an order needs of a node: "paint", "follow-base-anchor", "hd", "upscale"…"""
    if workflow is Workflow.UPSCALE:
        return workflow.value  # no model of ours takes part
    parts = [workflow.value]
    if model is Model.BASE:
        parts.append(model.value)
    if is_anchored:
        parts.append("anchor")
    return "-".join(parts)


def _shapes(*, has_pack: bool) -> Iterator[Shape]:
    """Of each ability the shape that needs most. Variations are part of all that is painted."""
    paint = Shape(Workflow.PAINT, is_varied=True, has_pack=has_pack)
    follow = replace(paint, workflow=Workflow.FOLLOW, references=1)
    for model in Model:
        for is_anchored in (False, True):
            yield replace(paint, model=model, is_anchored=is_anchored)
            yield replace(follow, model=model, is_anchored=is_anchored)
        yield replace(paint, workflow=Workflow.HD, model=model, is_tiled=True)
    yield Shape(Workflow.UPSCALE, has_pack=has_pack)
