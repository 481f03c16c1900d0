"""What a node says of itself, and what it can make by that."""

import json

import pytest

from workers.workflows.abilities import CLASSES, MODEL_INPUTS, Abilities, ability_key
from workers.workflows.build import graph_build
from workers.workflows.order import Model, Workflow
from workers.workflows.tests.orders import (
    ALL_SHAPES,
    FULL,
    PACK,
    PACKED,
    PACKED_OLDER,
    STOCK,
    UPSCALER,
)

EVERYTHING = (
    "follow",
    "follow-anchor",
    "follow-base",
    "follow-base-anchor",
    "hd",
    "hd-base",
    "paint",
    "paint-anchor",
    "paint-base",
    "paint-base-anchor",
    "upscale",
)


@pytest.mark.parametrize(
    "node",
    [STOCK, PACKED, PACKED_OLDER, FULL],
    ids=["stock", "pack", "older-pack", "upscaler"],
)
def test_a_recorded_server_makes_everything(node: Abilities) -> None:
    assert node.offers() == EVERYTHING


@pytest.mark.parametrize(
    ("missing", "lost"),
    [
        (
            "flux-2-klein-4b.safetensors",
            {key for key in EVERYTHING if "base" not in key} - {"upscale"},
        ),
        ("flux-2-klein-base-4b.safetensors", {key for key in EVERYTHING if "base" in key}),
        ("qwen_3_4b.safetensors", set(EVERYTHING) - {"upscale"}),
        ("SplitSigmasDenoise", {key for key in EVERYTHING if key[:2] in {"pa", "hd"}}),
        ("ReferenceLatent", {key for key in EVERYTHING if key.startswith("follow")}),
        ("ImageToMask", {key for key in EVERYTHING if key.endswith("anchor")}),
        ("VAEDecodeTiled", {"hd", "hd-base"}),
        ("RepeatLatentBatch", set(EVERYTHING) - {"upscale"}),
        ("LlamaSketchSaveImage", set()),
        ("SaveImage", set(EVERYTHING)),
    ],
)
def test_a_node_offers_only_what_it_has_all_for(missing: str, lost: set[str]) -> None:
    models = frozenset(model for model in STOCK.models if model[2] != missing)

    offered = Abilities(STOCK.classes - {missing}, models).offers()

    assert set(EVERYTHING) - set(offered) == lost


def test_a_node_with_nothing_offers_nothing() -> None:
    assert Abilities(frozenset(), frozenset()).offers() == ()


def test_half_a_pack_is_no_pack() -> None:
    for name in PACK:
        half = Abilities(PACKED.classes - {name}, PACKED.models)
        assert not half.has_pack
        assert half.offers() == EVERYTHING
    assert PACKED.has_pack
    assert not STOCK.has_pack


def test_what_is_offered_can_be_built() -> None:
    for made in ALL_SHAPES.values():
        key = ability_key(made.workflow, made.model, is_anchored=made.anchor is not None)
        assert key in FULL.offers()
        assert graph_build(made, FULL)


@pytest.mark.parametrize(
    ("workflow", "model", "is_anchored", "key"),
    [
        (Workflow.PAINT, Model.DISTILLED, False, "paint"),
        (Workflow.PAINT, Model.BASE, False, "paint-base"),
        (Workflow.FOLLOW, Model.DISTILLED, True, "follow-anchor"),
        (Workflow.FOLLOW, Model.BASE, True, "follow-base-anchor"),
        (Workflow.HD, Model.BASE, False, "hd-base"),
        (Workflow.UPSCALE, Model.BASE, False, "upscale"),
    ],
)
def test_ability_keys(workflow: Workflow, model: Model, is_anchored: bool, key: str) -> None:
    assert ability_key(workflow, model, is_anchored=is_anchored) == key


def test_the_upscale_model_is_the_first_that_enlarges() -> None:
    def node(*files: str) -> Abilities:
        loader = ("UpscaleModelLoader", "model_name")
        return Abilities(STOCK.classes, frozenset((*loader, file) for file in files))

    assert node("4x-b.pth", "2x-a.pth", "1x-clean.pth").upscaler == "2x-a.pth"
    assert node("1x-clean.pth").upscaler is None
    assert STOCK.upscaler is None
    assert FULL.upscaler == UPSCALER
    assert Abilities(FULL.classes - {"ImageUpscaleWithModel"}, FULL.models).upscaler is None


def test_abilities_survive_json() -> None:
    stored = json.loads(json.dumps(FULL.as_json()))

    assert Abilities.from_json(stored) == FULL
    assert json.dumps(FULL.as_json()) == json.dumps(Abilities.from_json(stored).as_json())


def test_abilities_that_were_stored_without_formats_have_none() -> None:
    stored = PACKED.as_json()
    del stored["formats"]

    assert Abilities.from_json(stored) == Abilities(PACKED.classes, PACKED.models)


def test_every_model_input_belongs_to_a_class_that_nodes_are_asked_about() -> None:
    assert {class_name for class_name, _ in MODEL_INPUTS} <= CLASSES
