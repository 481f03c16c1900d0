"""The node classes that the simulator knows, as /object_info describes them.

`object_info.json` holds the recorded descriptions. CLIPLoader, VAELoader, RepeatLatentBatch,
LatentFromBatch and VAEEncodeForInpaint were not recorded: they are written in the same shape.
"""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from typing import Any

from workers.comfy.simulator.cache import CachedResult


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a class. `type` is a name, or the list of the values it may have."""

    name: str
    type: str | list[Any]
    config: dict[str, Any]
    required: bool

    @property
    def choices(self) -> list[Any] | None:
        """The allowed values of a combo, None for everything else."""
        if isinstance(self.type, list):
            return self.type
        if self.type == "COMBO":
            return list(self.config.get("options", []))
        return None

    @property
    def as_reported(self) -> list[Any]:
        """The pair that validation errors carry as `input_config`."""
        return [self.type, self.config]


@dataclass(frozen=True, slots=True)
class NodeClass:
    """A node class: its inputs, the types of its outputs, whether a graph may end in it.

    `function` is what it does, where a pack brought it; it takes a bench and the inputs.
    """

    name: str
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    is_output: bool
    function: Callable[..., CachedResult] | None = None


@dataclass(frozen=True, slots=True)
class PackClass:
    """A node class that a pack brings: its entry in /object_info, and what it does."""

    description: dict[str, Any]
    function: Callable[..., CachedResult]


class Catalogue:
    """All node classes by name: ComfyUI's own, a pack's, and those that a test describes anew."""

    def __init__(
        self,
        pack: Mapping[str, PackClass] | None = None,
        *,
        additions: Mapping[str, Any] | None = None,
    ) -> None:
        self._pack = pack or {}
        self._additions = dict(additions or {})

    @cached_property
    def description(self) -> dict[str, Any]:
        """The recorded /object_info, with the pack's classes. Copy before changing it."""
        source = resources.files(__package__).joinpath("object_info.json")
        loaded: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))
        packed = {name: added.description for name, added in self._pack.items()}
        return loaded | packed | self._additions

    @cached_property
    def classes(self) -> dict[str, NodeClass]:
        """The parsed classes."""
        parsed = {name: _parse(name, entry) for name, entry in self.description.items()}
        for name, added in self._pack.items():
            parsed[name] = replace(parsed[name], function=added.function)
        return parsed

    def find(self, name: object) -> NodeClass | None:
        """Return the class of that name, None when there is none."""
        return self.classes.get(name) if isinstance(name, str) else None

    def describe(self, name: str, uploads: list[str]) -> dict[str, Any]:
        """Describe one class, with the files in input/ as the choices of the loaders."""
        entry = self.description.get(name)
        if entry is None:
            return {}
        entry = copy.deepcopy(entry)
        image = entry["input"].get("required", {}).get("image")
        if image and len(image) > 1 and image[1].get("image_upload"):
            image[0] = uploads
        return {name: entry}

    def folders(self) -> list[str]:
        """List the model folders."""
        return list(_FOLDERS)

    def models(self, folder: str) -> list[str] | None:
        """List the models of a folder, None for a folder that ComfyUI has not."""
        if folder not in _FOLDERS:
            return None
        owner = _FOLDERS[folder]
        if owner is None:
            return []
        class_name, input_name = owner
        node_class = self.classes[class_name]
        found = next(item for item in node_class.inputs if item.name == input_name)
        return [str(choice) for choice in found.choices or []]


_FOLDERS: dict[str, tuple[str, str] | None] = {
    "diffusion_models": ("UNETLoader", "unet_name"),
    "unet": ("UNETLoader", "unet_name"),
    "text_encoders": ("CLIPLoader", "clip_name"),
    "clip": ("CLIPLoader", "clip_name"),
    "vae": ("VAELoader", "vae_name"),
    "upscale_models": ("UpscaleModelLoader", "model_name"),
    "checkpoints": None,
    "loras": None,
    "controlnet": None,
    "embeddings": None,
}


def _parse(name: str, entry: dict[str, Any]) -> NodeClass:
    inputs = tuple(
        Input(key, spec[0], spec[1] if len(spec) > 1 else {}, required=group == "required")
        for group in ("required", "optional")
        for key, spec in entry["input"].get(group, {}).items()
    )
    return NodeClass(name, inputs, tuple(entry["output"]), bool(entry["output_node"]))
