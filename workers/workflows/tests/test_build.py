"""Every field of an order, and its way into the graph."""

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.workflows.abilities import Abilities
from workers.workflows.build import Unsupported, graph_build, is_output_of, sampler_steps
from workers.workflows.order import Anchor, Model, Order, Workflow
from workers.workflows.templates import Graph
from workers.workflows.tests.orders import (
    ALL_SHAPES,
    ANCHOR,
    FULL,
    PACKED,
    PACKED_OLDER,
    PROMPT_ID,
    REFERENCES,
    STOCK,
    UPSCALER,
    order,
)

Places = set[tuple[str, str]]

SIZE = {
    "width": {("scaled", "width"), ("schedule", "width")},
    "height": {("scaled", "height"), ("schedule", "height")},
}
COMMON = {
    "prompt": ("a cat", {("positive", "text")}),
    "seed": (8, {("noise", "noise_seed")}),
    "prompt_id": (UUID(int=1), {("save", "filename_prefix")}),
}
PAINTED = COMMON | {
    "denoise": (0.5, {("split", "denoise")}),
    "steps": (8, {("schedule", "steps")}),
    "width": (1024, SIZE["width"]),
    "height": (1024, SIZE["height"]),
}
FOLLOWED = COMMON | {
    "sketch": ("llamasketch/other.png", {("sketch", "image")}),
    "denoise": (0.5, set()),
    "steps": (8, {("schedule", "steps")}),
    "width": (1024, {*SIZE["width"], ("latent", "width")}),
    "height": (1024, {*SIZE["height"], ("latent", "height")}),
}
MEGAPIXELS = {(f"reference{n}_scaled", "megapixels") for n in (1, 2, 3)}
ANCHORED = {side: SIZE[side] | {("kept_scaled", side), ("mask_scaled", side)} for side in SIZE}
FIELDS: list[tuple[str, Order, dict[str, tuple[Any, Places]]]] = [
    (
        "paint",
        order(),
        PAINTED
        | {
            "sketch": ("llamasketch/other.png", {("sketch", "image")}),
            "negative": ("a dog", set()),
        },
    ),
    (
        "paint-base",
        order(model=Model.BASE),
        PAINTED | {"negative": ("a dog", {("negative", "text")})},
    ),
    (
        "paint-varied",
        order(first=1, count=2),
        PAINTED | {"first": (2, {("picked", "batch_index")}), "count": (3, {("picked", "length")})},
    ),
    (
        "paint-anchor",
        order(anchor=ANCHOR),
        PAINTED
        | {
            "width": (1024, ANCHORED["width"]),
            "height": (1024, ANCHORED["height"]),
            "anchor": (
                Anchor("llamasketch/kept-2.png", "llamasketch/mask-2.png"),
                {("kept", "image"), ("keep", "image"), ("mask", "image")},
            ),
        },
    ),
    ("follow", order(Workflow.FOLLOW), FOLLOWED | {"negative": ("a dog", set())}),
    (
        "follow-base",
        order(Workflow.FOLLOW, model=Model.BASE),
        FOLLOWED | {"negative": ("a dog", {("negative", "text")})},
    ),
    (
        "follow-references",
        order(Workflow.FOLLOW, references=REFERENCES),
        FOLLOWED
        | {
            "width": (1024, {*SIZE["width"], ("latent", "width")} | MEGAPIXELS),
            "height": (1024, {*SIZE["height"], ("latent", "height")} | MEGAPIXELS),
            "references": (
                (REFERENCES[0], "llamasketch/other.png", REFERENCES[2]),
                {("reference2", "image")},
            ),
        },
    ),
    (
        "follow-anchor",
        order(Workflow.FOLLOW, anchor=ANCHOR),
        FOLLOWED | {"width": (1024, ANCHORED["width"]), "height": (1024, ANCHORED["height"])},
    ),
    (
        "hd",
        order(Workflow.HD),
        PAINTED | {"sketch": ("llamasketch/other.png", {("picture", "image")})},
    ),
    (
        "upscale",
        order(Workflow.UPSCALE),
        {
            "sketch": ("llamasketch/other.png", {("picture", "image")}),
            "width": (1024, {("scaled", "width")}),
            "height": (1024, {("scaled", "height")}),
            "prompt_id": (UUID(int=1), {("save", "filename_prefix")}),
            "prompt": ("a cat", set()),
            "seed": (8, set()),
            "steps": (8, set()),
            "denoise": (0.5, set()),
        },
    ),
]


def built(made: Order, node: Abilities = STOCK) -> Graph:
    return graph_build(made, node).graph


@pytest.mark.parametrize("node", [STOCK, PACKED, PACKED_OLDER], ids=["stock", "pack", "older-pack"])
@pytest.mark.parametrize(
    ("made", "field", "value", "places"),
    [
        pytest.param(made, field, value, places, id=f"{name}-{field}")
        for name, made, fields in FIELDS
        for field, (value, places) in fields.items()
    ],
)
def test_every_field_reaches_its_nodes_and_no_other(
    made: Order, field: str, value: Any, places: Places, node: Abilities
) -> None:
    before, after = built(made, node), built(replace(made, **{field: value}), node)

    assert set(before) == set(after)
    changed = {
        (node_id, name)
        for node_id, each in after.items()
        for name, now in each["inputs"].items()
        if now != before[node_id]["inputs"][name]
    }
    assert changed == places
    if type(value) in {int, float} and not places & MEGAPIXELS:
        divisor = {("mask_scaled", "width"): 16, ("mask_scaled", "height"): 16}
        for place in places:
            assert after[place[0]]["inputs"][place[1]] == value / divisor.get(place, 1)


@given(
    workflow=st.sampled_from(Workflow),
    model=st.sampled_from(Model),
    denoise=st.floats(0, 1),
    steps=st.integers(1, 50),
    seed=st.integers(0, 2**64 - 1),
    width=st.integers(1, 128).map(lambda n: n * 16),
    height=st.integers(1, 128).map(lambda n: n * 16),
    prompt=st.text(),
)
def test_whatever_a_user_asks_for_becomes_a_graph_that_can_be_sent(
    workflow: Workflow,
    model: Model,
    denoise: float,
    steps: int,
    seed: int,
    width: int,
    height: int,
    prompt: str,
) -> None:
    made = order(
        workflow,
        model=model,
        denoise=denoise,
        steps=steps,
        seed=seed,
        width=width,
        height=height,
        prompt=prompt,
    )

    recipe = graph_build(made, STOCK)

    assert json.loads(json.dumps(recipe.graph).encode()) == recipe.graph
    assert recipe.sampler_steps == sampler_steps(made)
    if "split" in recipe.graph:
        run = (
            recipe.graph["schedule"]["inputs"]["steps"] * recipe.graph["split"]["inputs"]["denoise"]
        )
        assert recipe.sampler_steps == round(run) >= 1
    else:
        assert recipe.sampler_steps == (steps if workflow is Workflow.FOLLOW else 0)


@pytest.mark.parametrize("made", ALL_SHAPES.values(), ids=ALL_SHAPES)
def test_every_node_has_a_part_in_the_output(made: Order) -> None:
    graph = built(made, FULL)

    reached: set[str] = set()
    waiting = ["save"]
    while waiting:
        node_id = waiting.pop()
        reached.add(node_id)
        links = [value for value in graph[node_id]["inputs"].values() if isinstance(value, list)]
        waiting += [link[0] for link in links if link[0] not in reached]
    assert reached == set(graph)


def test_graphs_do_not_share_parts() -> None:
    built(order())["positive"]["inputs"]["text"] = "changed"

    assert built(order())["positive"]["inputs"]["text"] == "a llama"


def test_the_distilled_model_runs_without_guidance() -> None:
    graph = built(order(negative="blurry"))

    assert graph["model"]["inputs"]["unet_name"] == "flux-2-klein-4b.safetensors"
    assert graph["guider"]["inputs"]["cfg"] == 1.0
    assert graph["guider"]["inputs"]["negative"] == ["negative", 0]
    assert graph["negative"]["class_type"] == "ConditioningZeroOut"
    assert graph["sampler"]["inputs"]["sigmas"] == ["split", 1]


@pytest.mark.parametrize("workflow", [Workflow.PAINT, Workflow.FOLLOW, Workflow.HD])
def test_the_base_model_runs_with_guidance_and_a_negative_prompt(workflow: Workflow) -> None:
    graph = built(order(workflow, model=Model.BASE, negative="blurry"))

    assert graph["model"]["inputs"]["unet_name"] == "flux-2-klein-base-4b.safetensors"
    assert graph["guider"]["inputs"]["cfg"] == 5.0
    assert graph["negative"]["class_type"] == "CLIPTextEncode"
    assert graph["negative"]["inputs"]["text"] == "blurry"


def test_denoise_0_keeps_the_sketch() -> None:
    graph = built(order(denoise=0.0), PACKED)

    assert graph["decode"]["inputs"]["samples"] == ["latent", 0]
    assert not {"sampler", "model", "clip", "check"} & set(graph)


def test_a_node_without_the_painting_model_can_still_keep_the_sketch() -> None:
    vae = frozenset({("VAELoader", "vae_name", "flux2-vae.safetensors")})

    assert built(order(denoise=0.0), Abilities(STOCK.classes, vae))


@pytest.mark.parametrize(
    ("steps", "denoise", "schedule_steps", "ran"),
    [
        (4, 0.75, 4, 3),
        (4, 1.0, 4, 4),
        (4, 0.13, 4, 1),
        (4, 0.125, 5, 1),  # half a step rounds to none
        (4, 0.1, 6, 1),
        (4, 0.01, 51, 1),
        (4, 0.0001, 51, 1),
        (1, 0.5, 2, 1),
        (20, 0.5, 20, 10),
    ],
)
@pytest.mark.parametrize("workflow", [Workflow.PAINT, Workflow.HD])
def test_a_tiny_denoise_gets_a_finer_schedule(
    workflow: Workflow, steps: int, denoise: float, schedule_steps: int, ran: int
) -> None:
    recipe = graph_build(order(workflow, steps=steps, denoise=denoise), STOCK)

    assert recipe.graph["schedule"]["inputs"]["steps"] == schedule_steps
    assert recipe.sampler_steps == ran


def test_follow_says_so_before_the_prompt_and_has_the_sketch_on_both_sides() -> None:
    graph = built(order(Workflow.FOLLOW))

    assert graph["positive"]["inputs"]["text"].startswith("Turn this sketch into")
    assert graph["positive"]["inputs"]["text"].endswith(". a llama")
    for side in ("positive", "negative"):
        reference = graph[graph["guider"]["inputs"][side][0]]
        assert reference["class_type"] == "ReferenceLatent"
        assert reference["inputs"] == {"conditioning": [side, 0], "latent": ["sketch_latent", 0]}
    assert graph["latent"]["class_type"] == "EmptyFlux2LatentImage"
    assert graph["sampler"]["inputs"]["sigmas"] == ["schedule", 0]


def test_references_come_after_the_sketch_in_their_order() -> None:
    graph = built(order(Workflow.FOLLOW, references=REFERENCES))

    assert "image 1" in graph["positive"]["inputs"]["text"]
    for side in ("positive", "negative"):
        chain = []
        node_id = graph["guider"]["inputs"][side][0]
        while graph[node_id]["class_type"] == "ReferenceLatent":
            chain.append(graph[node_id]["inputs"]["latent"][0])
            node_id = graph[node_id]["inputs"]["conditioning"][0]
        assert chain[::-1] == [
            "sketch_latent",
            "reference1_latent",
            "reference2_latent",
            "reference3_latent",
        ]


@pytest.mark.parametrize(
    ("side_px", "megapixels"), [(16, 0.06), (256, 0.06), (512, 0.25), (1024, 1.0), (1536, 1.0)]
)
def test_a_reference_is_looked_at_as_large_as_the_picture_up_to_a_megapixel(
    side_px: int, megapixels: float
) -> None:
    made = order(Workflow.FOLLOW, references=REFERENCES[:1], width=side_px, height=side_px)

    assert built(made)["reference1_scaled"]["inputs"]["megapixels"] == megapixels


@pytest.mark.parametrize(
    ("width", "height", "decoder"),
    [
        (1536, 1536, "VAEDecode"),
        (1552, 1536, "VAEDecodeTiled"),
        (2048, 2048, "VAEDecodeTiled"),
        (4096, 512, "VAEDecode"),
    ],
)
@pytest.mark.parametrize("workflow", [Workflow.PAINT, Workflow.FOLLOW, Workflow.HD])
def test_large_pictures_are_decoded_in_tiles(
    workflow: Workflow, width: int, height: int, decoder: str
) -> None:
    assert built(order(workflow, width=width, height=height))["decode"]["class_type"] == decoder


@pytest.mark.parametrize(
    ("made", "node", "method"),
    [
        (order(), FULL, ""),
        (order(Workflow.FOLLOW), FULL, ""),
        (order(Workflow.HD), FULL, "lanczos"),
        (order(Workflow.UPSCALE), STOCK, "lanczos"),
        (order(Workflow.UPSCALE), FULL, f"model {UPSCALER}"),
    ],
)
def test_a_recipe_says_how_a_picture_is_enlarged(made: Order, node: Abilities, method: str) -> None:
    recipe = graph_build(made, node)

    assert recipe.method == method
    classes = {each["class_type"] for each in recipe.graph.values()}
    assert ("ImageUpscaleWithModel" in classes) is method.startswith("model")


def test_an_upscaled_picture_ends_in_exactly_the_size_whatever_the_model_makes() -> None:
    graph = built(order(Workflow.UPSCALE), FULL)

    assert graph["upscaler"]["inputs"]["model_name"] == UPSCALER
    assert graph["enlarged"]["inputs"]["image"] == ["picture", 0]
    assert graph["scaled"]["inputs"]["image"] == ["enlarged", 0]
    assert graph["save"]["inputs"]["images"] == ["scaled", 0]


def test_one_picture_of_the_first_noise_needs_no_batch() -> None:
    assert "RepeatLatentBatch" not in {node["class_type"] for node in built(order()).values()}


@pytest.mark.parametrize(("first", "count"), [(0, 2), (0, 4), (1, 1), (3, 1), (1, 3)])
@pytest.mark.parametrize("workflow", [Workflow.PAINT, Workflow.FOLLOW, Workflow.HD])
def test_variations_are_always_picked_from_a_batch_of_four(
    workflow: Workflow, first: int, count: int
) -> None:
    graph = built(order(workflow, first=first, count=count))

    assert graph["repeated"]["inputs"] == {"samples": ["latent", 0], "amount": 4}
    assert graph["picked"]["inputs"] == {
        "samples": ["repeated", 0],
        "batch_index": first,
        "length": count,
    }
    assert graph["sampler"]["inputs"]["latent_image"] == ["picked", 0]


@pytest.mark.parametrize("name", ["RepeatLatentBatch", "LatentFromBatch"])
def test_a_node_without_the_batch_classes_makes_one_picture_of_the_first_noise(name: str) -> None:
    node = replace(FULL, classes=FULL.classes - {name})

    assert built(order(), node) == built(order(), FULL)
    for varied in (order(count=2), order(first=1)):
        with pytest.raises(Unsupported) as caught:
            graph_build(varied, node)
        assert caught.value.lacks == name


@pytest.mark.parametrize(
    ("made", "lacks"),
    [
        (order(), "flux-2-klein-4b.safetensors"),
        (order(model=Model.BASE), "flux-2-klein-base-4b.safetensors"),
        (order(Workflow.FOLLOW), "qwen_3_4b.safetensors"),
        (order(Workflow.FOLLOW), "ReferenceLatent"),
        (order(Workflow.HD, width=2048, height=2048), "VAEDecodeTiled"),
        (order(anchor=ANCHOR), "ImageCompositeMasked"),
        (order(Workflow.UPSCALE), "ImageScale"),
    ],
)
def test_what_a_node_lacks_is_named(made: Order, lacks: str) -> None:
    models = frozenset(model for model in STOCK.models if model[2] != lacks)
    node = Abilities(STOCK.classes - {lacks}, models)

    with pytest.raises(Unsupported, match=lacks) as caught:
        graph_build(made, node)

    assert caught.value.lacks == lacks


@pytest.mark.parametrize(
    ("made", "is_lossless", "is_checked"),
    [
        (order(), False, True),
        (order(Workflow.FOLLOW), False, True),
        (order(Workflow.HD), False, True),
        (order(anchor=ANCHOR), True, True),
        (order(Workflow.FOLLOW, anchor=ANCHOR), True, True),
        (order(Workflow.UPSCALE), True, False),
    ],
)
@pytest.mark.parametrize(
    ("node", "lossy"),
    [
        (PACKED, {"format": "jpeg", "quality": 90}),
        (PACKED_OLDER, {"format": "webp", "quality": 92}),
    ],
    ids=["pack", "older-pack"],
)
def test_a_node_with_the_pack_checks_latents_and_saves_with_it(
    made: Order, is_lossless: bool, is_checked: bool, node: Abilities, lossy: dict[str, Any]
) -> None:
    graph = built(made, node)
    stock = built(made, STOCK)

    saved = {"format": "png", "quality": 100} if is_lossless else lossy
    assert graph["save"] == {
        "class_type": "LlamaSketchSaveImage",
        "inputs": stock["save"]["inputs"] | saved,
    }
    if is_checked:
        assert graph["check"]["class_type"] == "LlamaSketchCheckLatent"
        assert graph["check"]["inputs"] == {"samples": ["sampler", 0]}
        assert graph["decode"]["inputs"]["samples"] == ["check", 0]
    assert ("check" in graph) is is_checked
    assert stock["save"]["class_type"] == "SaveImage"


@pytest.mark.parametrize("workflow", [Workflow.PAINT, Workflow.FOLLOW])
def test_white_in_the_mask_keeps_and_black_is_painted(workflow: Workflow) -> None:
    graph = built(order(workflow, anchor=ANCHOR))

    over = graph["save"]["inputs"]["images"][0]
    assert graph[over]["inputs"] == {
        "destination": ["decode", 0],
        "source": ["kept_scaled", 0],
        "mask": ["keep", 0],
        "x": 0,
        "y": 0,
        "resize_source": False,
    }
    # A composite takes the source where its mask is white; a noise mask paints where it is white.
    assert graph["keep"]["inputs"] == {"image": ANCHOR.mask, "channel": "red"}
    assert graph["mask_inverted"]["class_type"] == "ImageInvert"
    held = graph["sampler"]["inputs"]["latent_image"][0]
    assert graph[held]["class_type"] == "SetLatentNoiseMask"


def test_versions_name_the_template_and_every_part_once() -> None:
    versions = {name: graph_build(made, PACKED).version for name, made in ALL_SHAPES.items()}

    assert versions["paint"] == "paint.v1+check.v1+save-jpeg.v1"
    assert versions["paint-base-anchor-varied"] == (
        "paint.v1+base.v1+anchor.v1+anchor-paint.v1+variations.v1+check.v1+save-png.v1"
    )
    assert versions["follow-references"].count("reference.v1") == 1
    older = graph_build(order(), PACKED_OLDER)
    assert older.version == "paint.v1+check.v1+save-webp.v1"
    assert graph_build(order(), STOCK).version == "paint.v1"


def test_every_prompt_writes_into_a_folder_of_its_own() -> None:
    prefix = built(order())["save"]["inputs"]["filename_prefix"]
    subfolder = prefix.rpartition("/")[0]

    assert prefix == f"llamasketch/{PROMPT_ID}/image"
    assert is_output_of(PROMPT_ID, subfolder=subfolder)
    assert is_output_of(PROMPT_ID, subfolder=subfolder.replace("/", "\\"))
    assert not is_output_of(UUID(int=1), subfolder=subfolder)
    # What the recorded server named for a prompt that was cached as a whole.
    assert not is_output_of(PROMPT_ID, subfolder="")


NEW, OLDER, NONE = (PACKED, "jpg"), (PACKED_OLDER, "webp"), (STOCK, "")
PNG, PNG_OLDER = (PACKED, "png"), (PACKED_OLDER, "png")


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize(
    ("made", "node", "suffix"),
    [
        pytest.param(order(), *NEW, id="paint"),
        pytest.param(order(Workflow.FOLLOW), *NEW, id="follow"),
        pytest.param(order(Workflow.HD), *NEW, id="hd"),
        pytest.param(order(denoise=0.0), *NEW, id="unsampled"),
        pytest.param(order(anchor=ANCHOR), *PNG, id="anchor"),
        pytest.param(order(), *OLDER, id="paint-older-pack"),
        pytest.param(order(Workflow.FOLLOW), *OLDER, id="follow-older-pack"),
        pytest.param(order(anchor=ANCHOR), *PNG_OLDER, id="anchor-older-pack"),
        pytest.param(order(), *NONE, id="paint-no-pack"),
        pytest.param(order(anchor=ANCHOR), *NONE, id="anchor-no-pack"),
    ],
)
def test_the_packs_names_are_foretold_and_no_others(
    made: Order, node: Abilities, suffix: str, count: int
) -> None:
    recipe = graph_build(replace(made, count=count), node)

    names = [f"image_{number:05}_.{suffix}" for number in range(1, count + 1)]
    assert recipe.names == (tuple(names) if suffix else ())


@pytest.mark.parametrize(("node", "suffix"), [PNG, PNG_OLDER, NONE], ids=["pack", "older", "none"])
def test_an_upscaled_picture_is_foretold_as_a_png(node: Abilities, suffix: str) -> None:
    recipe = graph_build(order(Workflow.UPSCALE), node)

    assert recipe.names == (("image_00001_.png",) if suffix else ())


def test_names_are_counted_from_one_whichever_variation_is_first() -> None:
    recipe = graph_build(order(first=2, count=2), PACKED)

    assert recipe.names == ("image_00001_.jpg", "image_00002_.jpg")


@pytest.mark.parametrize("node", [PACKED, PACKED_OLDER, STOCK], ids=["pack", "older", "none"])
def test_a_recipe_names_the_folder_that_its_files_go_to(node: Abilities) -> None:
    recipe = graph_build(order(), node)

    prefix = recipe.graph["save"]["inputs"]["filename_prefix"]
    assert recipe.folder == f"llamasketch/{PROMPT_ID}" == prefix.rpartition("/")[0]
    assert is_output_of(PROMPT_ID, subfolder=recipe.folder)


def test_a_lone_surrogate_does_not_reach_the_tokenizer() -> None:
    made = order(model=Model.BASE, prompt="a \ud83d llama", negative="\ud83d")
    graph = built(made)

    assert graph["positive"]["inputs"]["text"] == "a ? llama"
    assert graph["negative"]["inputs"]["text"] == "?"
