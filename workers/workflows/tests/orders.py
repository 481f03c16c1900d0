"""Orders, and nodes of several abilities, for the tests."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from workers.workflows.abilities import MODEL_INPUTS, Abilities
from workers.workflows.order import Anchor, Model, Order, Workflow

PROMPT_ID = UUID("5346c49c-63e3-4d9f-a474-bb83f936ac18")
DESCRIPTION = Path(__file__).parents[2] / "comfy" / "simulator" / "object_info.json"
UPSCALER = "4x-UltraSharp.pth"


def pack(*formats: str) -> dict[str, Any]:
    """The node pack as it describes itself."""
    return {
        "LlamaSketchCheckLatent": {
            "input": {"required": {"samples": ["LATENT"]}},
            "output": ["LATENT"],
            "output_node": False,
        },
        "LlamaSketchSaveImage": {
            "input": {
                "required": {
                    "images": ["IMAGE"],
                    "filename_prefix": ["STRING", {"default": "ComfyUI"}],
                    "format": [list(formats)],
                    "quality": ["INT", {"default": 92, "min": 1, "max": 100}],
                }
            },
            "output": [],
            "output_node": True,
        },
    }


PACK = pack("webp", "webp-lossless", "png", "jpeg")
OLDER_PACK = pack("webp", "webp-lossless", "png")  # before 1.2
# Servers describe the loader so, with the files in their models/upscale_models.
UPSCALE_LOADER: dict[str, Any] = {
    "UpscaleModelLoader": {
        "input": {
            "required": {"model_name": ["COMBO", {"multiselect": False, "options": [UPSCALER]}]}
        },
        "output": ["UPSCALE_MODEL"],
        "output_node": False,
    }
}


def recorded() -> dict[str, Any]:
    """What a recorded server, which has no pack, says about its node classes."""
    described: dict[str, Any] = json.loads(DESCRIPTION.read_text(encoding="utf-8"))
    return {name: entry for name, entry in described.items() if name not in PACK}


def abilities(described: Mapping[str, Any]) -> Abilities:
    """What a server can, going by its /object_info."""
    models = set()
    for class_name, name in MODEL_INPUTS & {
        (class_name, name)
        for class_name, entry in described.items()
        for name in entry["input"].get("required", {})
    }:
        kind, *rest = described[class_name]["input"]["required"][name]
        files = kind if isinstance(kind, list) else rest[0]["options"]
        models |= {(class_name, name, file) for file in files}
    saver = described.get("LlamaSketchSaveImage")
    formats = saver["input"]["required"]["format"][0] if saver else ()
    return Abilities(frozenset(described), frozenset(models), frozenset(formats))


STOCK = abilities(recorded())
PACKED = abilities(recorded() | PACK)
PACKED_OLDER = abilities(recorded() | OLDER_PACK)
FULL = abilities(recorded() | PACK | UPSCALE_LOADER)


def order(workflow: Workflow = Workflow.PAINT, **changes: Any) -> Order:
    """An order, every field of which is told from its default."""
    fields: dict[str, Any] = {
        "prompt_id": PROMPT_ID,
        "workflow": workflow,
        "sketch": "llamasketch/abc.png",
        "prompt": "a llama",
        "denoise": 0.75,
        "steps": 4,
        "seed": 7,
        "width": 512,
        "height": 768,
    }
    return Order(**fields | changes)


ANCHOR = Anchor("llamasketch/kept.png", "llamasketch/mask.png")
REFERENCES = ("llamasketch/one.png", "llamasketch/two.png", "llamasketch/three.png")

ALL_SHAPES = {
    "paint": order(),
    "paint-base": order(model=Model.BASE, steps=20, negative="blurry"),
    "paint-unsampled": order(denoise=0.0),
    "paint-varied": order(count=4),
    "paint-last": order(first=3),
    "paint-anchor": order(anchor=ANCHOR),
    "paint-base-anchor-varied": order(model=Model.BASE, anchor=ANCHOR, first=1, count=2),
    "paint-anchor-unsampled": order(anchor=ANCHOR, denoise=0.0),
    "follow": order(Workflow.FOLLOW),
    "follow-base": order(Workflow.FOLLOW, model=Model.BASE, steps=20, negative="blurry"),
    "follow-references": order(Workflow.FOLLOW, references=REFERENCES),
    "follow-base-everything": order(
        Workflow.FOLLOW,
        model=Model.BASE,
        references=REFERENCES,
        anchor=ANCHOR,
        first=1,
        count=3,
        width=1792,
        height=1536,
    ),
    "hd": order(Workflow.HD, denoise=0.3, width=1024, height=1536),
    "hd-tiled": order(Workflow.HD, denoise=0.3, width=2048, height=2048),
    "hd-base": order(Workflow.HD, denoise=0.3, model=Model.BASE, steps=20),
    "upscale": order(Workflow.UPSCALE, width=2048, height=3072),
}
"""An order for every shape that a graph may have."""
