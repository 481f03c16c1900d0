"""How graphs are put together."""

import re
from pathlib import Path

import pytest

from workers.workflows import templates
from workers.workflows.abilities import CLASSES
from workers.workflows.templates import graph_bypass, graph_compose, graph_fill

FOLDER = Path(templates.__file__).with_name("templates")


def test_every_class_in_a_template_is_one_that_nodes_are_asked_about() -> None:
    used = {
        name
        for path in FOLDER.glob("*.json")
        for name in re.findall(r'"class_type": "(\w+)"', path.read_text(encoding="utf-8"))
    }

    assert used == CLASSES


def test_a_part_goes_between_two_nodes() -> None:
    graph = graph_compose(["paint.v1", "variations.v1"])

    assert graph["sampler"]["inputs"]["latent_image"] == ["picked", 0]
    assert graph["picked"]["inputs"]["samples"] == ["repeated", 0]
    assert graph["repeated"]["inputs"]["samples"] == ["latent", 0]


def test_two_parts_in_the_same_place_form_a_chain() -> None:
    graph = graph_compose(["follow.v1", "reference.v1", "reference.v1"])

    for side in ("positive", "negative"):
        assert graph["guider"]["inputs"][side] == [f"reference2_{side}", 0]
        assert graph[f"reference2_{side}"]["inputs"]["conditioning"] == [f"reference1_{side}", 0]
        assert graph[f"reference1_{side}"]["inputs"]["conditioning"] == [f"{side}_sketch", 0]
        assert graph[f"{side}_sketch"]["inputs"]["conditioning"] == [side, 0]


def test_null_takes_an_input_away_and_the_rest_stays() -> None:
    graph = graph_compose(["paint.v1", "base.v1"])

    assert graph["negative"] == {
        "class_type": "CLIPTextEncode",
        "inputs": {"text": "$negative", "clip": ["clip", 0]},
    }
    assert graph["model"]["inputs"]["weight_dtype"] == "default"


def test_graphs_do_not_share_parts() -> None:
    graph_compose(["paint.v1"])["positive"]["inputs"]["text"] = "changed"

    assert graph_compose(["paint.v1"])["positive"]["inputs"]["text"] == "$prompt"


def test_what_is_filled_in_is_not_looked_at_again() -> None:
    graph = {
        "1": {"class_type": "A", "inputs": {"text": "$prompt", "size": "$width"}},
        "2": {"class_type": "A", "inputs": {"text": "Follow. $prompt", "from": ["1", 0]}},
    }

    filled = graph_fill(graph, {"prompt": "$width ${width} $$", "width": 512})

    assert filled["1"]["inputs"] == {"text": "$width ${width} $$", "size": 512}
    assert filled["2"]["inputs"] == {"text": "Follow. $width ${width} $$", "from": ["1", 0]}


@pytest.mark.parametrize("text", ["$prompt", "Follow. $prompt"])
def test_a_value_that_is_not_there_is_an_error(text: str) -> None:
    with pytest.raises(KeyError):
        graph_fill({"1": {"class_type": "A", "inputs": {"text": text}}}, {})


def test_a_bypassed_node_is_gone_with_all_that_only_it_needed() -> None:
    graph = graph_bypass(graph_compose(["paint.v1"]), "sampler", takes="latent_image")

    assert set(graph) == {"sketch", "scaled", "vae", "latent", "decode", "save"}
    assert graph["decode"]["inputs"]["samples"] == ["latent", 0]
