"""Every graph that is built, checked and run by the simulator."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from generation.params import SIZES
from workers.comfy.simulator.tests.bare import BareSimulator
from workers.comfy.simulator.tests.graphs import klein_graph, outline
from workers.comfy.simulator.values import Pixels
from workers.workflows.abilities import Abilities
from workers.workflows.build import graph_build
from workers.workflows.order import Anchor, Model, Order, Workflow
from workers.workflows.tests.orders import (
    ALL_SHAPES,
    ANCHOR,
    FULL,
    PACK,
    PACKED,
    REFERENCES,
    STOCK,
    UPSCALE_LOADER,
    abilities,
    order,
    recorded,
)

NODES: dict[str, tuple[Abilities, dict[str, Any]]] = {
    "stock": (STOCK, {}),
    "pack": (PACKED, PACK),
    "full": (FULL, PACK | UPSCALE_LOADER),
}
SKETCH = order().sketch


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("wanted", ALL_SHAPES.values(), ids=ALL_SHAPES)
def test_every_graph_passes_a_servers_checks(wanted: Order, node: str, tmp_path: Path) -> None:
    able, additions = NODES[node]
    simulator = BareSimulator(tmp_path, additions)
    for name in (SKETCH, ANCHOR.image, ANCHOR.mask, *REFERENCES):
        simulator.upload(outline(side=16), name)
    graph = graph_build(wanted, able).graph

    validated = simulator.validate(graph)

    assert validated.error is None, validated
    assert validated.outputs == ("save",)
    for node_id, each in graph.items():
        known = simulator.catalogue.classes[each["class_type"]]
        assert set(each["inputs"]) <= {item.name for item in known.inputs}, node_id


def test_paint_is_the_graph_that_was_recorded() -> None:
    wanted = order(width=512, height=512, seed=1, prompt="a lighthouse")
    graph = graph_build(wanted, STOCK).graph
    klein = klein_graph(image=wanted.sketch, prefix=graph["save"]["inputs"]["filename_prefix"])

    assert unfolded(graph, "save") == unfolded(klein, "14")
    assert len(graph) == len(klein)


SIDE = 192


def small(workflow: Workflow = Workflow.PAINT, **changes: Any) -> Order:
    return order(workflow, **{"width": SIDE, "height": SIDE} | changes)


def noisy(seed: int, width: int = SIDE, height: int = SIDE) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture
def simulator(tmp_path: Path) -> BareSimulator:
    simulator = BareSimulator(tmp_path, UPSCALE_LOADER)
    simulator.upload(outline("red", side=SIDE), SKETCH)
    for seed, name in enumerate(REFERENCES):
        simulator.upload(noisy(seed, 64, 96), name)
    simulator.upload(noisy(9), ANCHOR.image)
    simulator.upload(disc(), ANCHOR.mask)
    return simulator


def disc() -> Image.Image:
    """A mask that keeps a disc, its edge off the grid of the latent."""
    mask = Image.new("L", (SIDE, SIDE), 0)
    ImageDraw.Draw(mask).ellipse((41, 37, 140, 151), fill=255)
    return mask


def kept_where() -> NDArray[np.bool_]:
    return np.asarray(np.asarray(disc()) == 255)


def made(simulator: BareSimulator, wanted: Order, able: Abilities = STOCK) -> list[Pixels]:
    return simulator.run(graph_build(wanted, able).graph)


def only(simulator: BareSimulator, wanted: Order, able: Abilities = STOCK) -> Pixels:
    (picture,) = made(simulator, wanted, able)
    return picture


def is_same(first: Pixels, second: Pixels) -> bool:
    return np.array_equal(first, second)


def differing(first: Pixels, second: Pixels) -> NDArray[np.bool_]:
    pixels: NDArray[np.bool_] = (first != second).any(axis=2)
    return pixels


@pytest.mark.parametrize(("width", "height"), [(w, h) for _, w, h in SIZES])
@pytest.mark.parametrize("workflow", [Workflow.PAINT, Workflow.FOLLOW])
def test_a_picture_has_the_size_that_was_ordered(
    workflow: Workflow, width: int, height: int, simulator: BareSimulator
) -> None:
    picture = only(simulator, order(workflow, width=width, height=height))

    assert picture.shape == (height, width, 3)


@pytest.mark.parametrize("name", ["paint", "follow-references", "hd-base", "hd-tiled"])
def test_the_sampler_counts_the_steps_that_the_recipe_says(
    name: str, simulator: BareSimulator
) -> None:
    recipe = graph_build(ALL_SHAPES[name], STOCK)

    simulator.run(recipe.graph)

    steps = recipe.sampler_steps
    assert simulator.steps_counted() == [(step, steps) for step in range(1, steps + 1)]


@pytest.mark.parametrize("name", ["paint-unsampled", "paint-anchor-unsampled", "upscale"])
def test_where_the_recipe_has_no_steps_nothing_is_sampled(
    name: str, simulator: BareSimulator
) -> None:
    recipe = graph_build(ALL_SHAPES[name], STOCK)

    simulator.run(recipe.graph)

    assert recipe.sampler_steps == 0
    assert simulator.steps_counted() == []


@pytest.mark.parametrize(
    "wanted",
    [
        small(),
        small(model=Model.BASE, negative="blurry"),
        small(Workflow.FOLLOW, references=REFERENCES),
        small(Workflow.HD, denoise=0.3),
        small(anchor=ANCHOR),
    ],
    ids=["paint", "paint-base", "follow", "hd", "anchor"],
)
def test_a_variation_is_the_same_alone_and_with_others(
    wanted: Order, simulator: BareSimulator
) -> None:
    together = made(simulator, replace(wanted, count=4))

    for index, picture in enumerate(together):
        assert is_same(only(simulator, replace(wanted, first=index)), picture)
    middle = made(simulator, replace(wanted, first=1, count=2))
    assert [picture.tobytes() for picture in middle] == [p.tobytes() for p in together[1:3]]
    assert len({picture.tobytes() for picture in together}) == 4


@pytest.mark.parametrize("model", Model)
@pytest.mark.parametrize("workflow", [Workflow.PAINT, Workflow.FOLLOW])
def test_what_is_anchored_stays_to_the_pixel_and_the_rest_is_painted(
    workflow: Workflow, model: Model, simulator: BareSimulator
) -> None:
    kept = np.asarray(noisy(9))

    first, second = made(simulator, small(workflow, model=model, anchor=ANCHOR, count=2))

    for picture in (first, second):
        assert is_same(picture[kept_where()], kept[kept_where()])
        assert differing(picture, kept)[~kept_where()].mean() > 0.95
    assert differing(first, second)[~kept_where()].mean() > 0.5


def test_an_anchor_of_another_size_is_scaled_and_one_of_the_size_is_not(
    simulator: BareSimulator,
) -> None:
    large = noisy(9, 2 * SIDE, 2 * SIDE)
    simulator.upload(large, "large.png")

    picture = only(simulator, small(anchor=Anchor("large.png", ANCHOR.mask)))

    scaled = np.asarray(large.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    assert is_same(picture[kept_where()], scaled[kept_where()])


@pytest.mark.parametrize("workflow", [Workflow.PAINT, Workflow.FOLLOW])
def test_the_painter_has_the_kept_part_in_view_and_room_at_its_edge(
    workflow: Workflow, simulator: BareSimulator
) -> None:
    graph = graph_build(small(workflow, anchor=ANCHOR), STOCK).graph
    graph["save"]["inputs"]["images"] = ["decode", 0]  # as it comes from the decoder
    (decoded,) = simulator.run(graph)
    graph["sampler"]["inputs"]["latent_image"] = ["latent", 0]  # as if nothing were held
    (free,) = simulator.run(graph)

    inside = np.asarray(disc().filter(ImageFilter.MinFilter(63))) == 255
    edge = kept_where() & (np.asarray(disc().filter(ImageFilter.MinFilter(3))) == 0)
    assert inside.any()
    assert is_same(decoded[inside], np.asarray(noisy(9))[inside])
    assert is_same(decoded[edge], free[edge])


def test_a_mask_is_its_red_channel_whatever_its_alpha_says(simulator: BareSimulator) -> None:
    red = disc()
    other = ImageOps.invert(red)
    simulator.upload(Image.merge("RGBA", (red, other, other, other)), "other.png")
    wanted = small(anchor=ANCHOR)

    picture = only(simulator, replace(wanted, anchor=Anchor(ANCHOR.image, "other.png")))

    assert is_same(picture, only(simulator, wanted))


@pytest.mark.parametrize(("grey", "keeps"), [(255, True), (0, False)])
def test_a_mask_of_one_colour_keeps_all_or_nothing(
    grey: int, keeps: bool, simulator: BareSimulator
) -> None:
    simulator.upload(Image.new("L", (SIDE, SIDE), grey), "plain.png")

    picture = only(simulator, small(anchor=Anchor(ANCHOR.image, "plain.png")))

    changed = differing(picture, np.asarray(noisy(9)))
    assert not changed.any() if keeps else changed.mean() > 0.95


def test_alpha_is_dropped_so_that_a_sketch_has_to_be_opaque(simulator: BareSimulator) -> None:
    sketch = outline("red", side=SIDE)
    hidden = sketch.copy()
    hidden.putalpha(0)
    simulator.upload(hidden, "hidden.png")

    assert is_same(only(simulator, small(sketch="hidden.png")), only(simulator, small()))


@pytest.mark.parametrize("workflow", [Workflow.PAINT, Workflow.FOLLOW, Workflow.HD])
def test_only_the_base_model_hears_the_negative_prompt(
    workflow: Workflow, simulator: BareSimulator
) -> None:
    for model in Model:
        plain = only(simulator, small(workflow, model=model))
        negative = only(simulator, small(workflow, model=model, negative="blurry"))

        assert is_same(plain, negative) is (model is Model.DISTILLED)


def test_every_reference_counts(simulator: BareSimulator) -> None:
    pictures = [
        only(simulator, small(Workflow.FOLLOW, references=references))
        for references in ((), REFERENCES[:1], REFERENCES[:2], REFERENCES, REFERENCES[::-1])
    ]

    assert len({picture.tobytes() for picture in pictures}) == len(pictures)


def test_follow_looks_at_the_sketch(simulator: BareSimulator) -> None:
    simulator.upload(outline("blue", side=SIDE, width=30), "other.png")
    wanted = small(Workflow.FOLLOW)

    assert not is_same(
        only(simulator, wanted), only(simulator, replace(wanted, sketch="other.png"))
    )


def test_upscaled_with_lanczos_or_a_model_the_size_is_exact(simulator: BareSimulator) -> None:
    source = noisy(3, 64, 48)
    simulator.upload(source, "finished.png")
    wanted = small(Workflow.UPSCALE, sketch="finished.png", width=160, height=112)

    lanczos = only(simulator, wanted)
    modelled = only(simulator, wanted, abilities(recorded() | UPSCALE_LOADER))

    assert is_same(lanczos, np.asarray(source.resize((160, 112), Image.Resampling.LANCZOS)))
    assert modelled.shape == lanczos.shape
    assert not is_same(modelled, lanczos)


def test_hd_keeps_to_the_picture_it_is_given(simulator: BareSimulator) -> None:
    finished = outline("navy", side=SIDE)
    simulator.upload(finished, "finished.png")
    wanted = small(Workflow.HD, sketch="finished.png", width=2 * SIDE, height=2 * SIDE)
    large = np.asarray(finished.resize((2 * SIDE, 2 * SIDE), Image.Resampling.LANCZOS))

    def away(denoise: float) -> float:
        picture = only(simulator, replace(wanted, denoise=denoise)).astype(float)
        return float(np.abs(picture - large).mean())

    assert away(0.0) == 0.0
    assert 0.0 < away(0.2) < away(0.9)


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
