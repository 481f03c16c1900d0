"""The paint graph against what a server says about its nodes, and every parameter's way into it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.workflows.paint import (
    PaintParams,
    is_output_of,
    paint_graph,
    required_classes,
    required_models,
    sampler_steps,
)

PROMPT_ID = UUID("5346c49c-63e3-4d9f-a474-bb83f936ac18")
PARAMS = PaintParams(
    prompt_id=PROMPT_ID,
    sketch="llamasketch/abc.png",
    prompt="a llama",
    denoise=0.75,
    steps=4,
    seed=7,
    width=512,
    height=768,
)
RECORDINGS = Path(__file__).parents[2] / "comfy" / "recordings"
# The two loaders were not asked about; this is their interface, from the graph that was recorded.
UNRECORDED = {
    "CLIPLoader": {
        "input": {"required": {"clip_name": [["qwen_3_4b.safetensors"]], "type": [["flux2"]]}},
        "output": ["CLIP"],
    },
    "VAELoader": {
        "input": {"required": {"vae_name": [["flux2-vae.safetensors"]]}},
        "output": ["VAE"],
    },
}


def recorded(name: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = json.loads((RECORDINGS / f"{name}.json").read_text())["events"]
    return events


def node_definitions() -> dict[str, Any]:
    definitions: dict[str, Any] = dict(UNRECORDED)
    for event in recorded("stats_and_info"):
        if event["path"].startswith("/object_info/"):
            definitions |= event["response"]
    return definitions


DEFINITIONS = node_definitions()


def assert_valid(graph: dict[str, dict[str, Any]]) -> None:
    """Check a graph as a server does: inputs there, links of the right type, values in range."""
    for node in graph.values():
        definition = DEFINITIONS[node["class_type"]]
        required = definition["input"]["required"]
        optional = definition["input"].get("optional", {})
        assert set(required) <= set(node["inputs"])
        assert set(node["inputs"]) <= set(required) | set(optional)
        for name, value in node["inputs"].items():
            spec = required.get(name) or optional[name]
            kind, limits = spec[0], (spec[1] if len(spec) > 1 else {})
            if isinstance(value, list):
                source, output = value
                assert DEFINITIONS[graph[source]["class_type"]]["output"][output] == kind
            elif isinstance(kind, list) or kind == "COMBO":
                options = kind if isinstance(kind, list) else limits["options"]
                # An upload's name is in no list; servers look for the file.
                assert value in options or limits.get("image_upload")
            elif kind == "INT":
                assert type(value) is int
                assert limits["min"] <= value <= limits["max"]
            elif kind == "FLOAT":
                assert type(value) in (int, float)
                assert limits["min"] <= value <= limits["max"]
            else:
                assert kind == "STRING"
                assert isinstance(value, str)


def ancestors(graph: dict[str, dict[str, Any]], node_id: str) -> set[str]:
    found = {node_id}
    for value in graph[node_id]["inputs"].values():
        if isinstance(value, list):
            found |= ancestors(graph, value[0])
    return found


def test_the_graph_is_valid_to_a_recorded_server() -> None:
    graph = paint_graph(PARAMS)

    assert_valid(graph)
    assert ancestors(graph, "14") == set(graph)


def test_the_graph_has_the_nodes_that_were_recorded() -> None:
    executed = {
        event["message"]["data"]["node"]
        for event in recorded("success")
        if event["dir"] == "ws" and event["kind"] == "text"
        if event["message"]["type"] == "executing" and event["message"]["data"]["node"]
    }
    failed = next(
        event["message"]["data"]
        for event in recorded("out_of_memory")
        if event["dir"] == "ws" and event["message"]["type"] == "execution_error"
    )
    graph = paint_graph(PARAMS)

    assert set(graph) == executed
    assert graph[failed["node_id"]]["class_type"] == failed["node_type"]


@given(
    denoise=st.floats(0, 1),
    steps=st.integers(1, 50),
    seed=st.integers(0, 2**64 - 1),
    width=st.integers(16, 96).map(lambda n: n * 16),
    height=st.integers(16, 96).map(lambda n: n * 16),
    prompt=st.text(),
)
def test_whatever_a_user_asks_for_is_a_valid_graph(
    denoise: float, steps: int, seed: int, width: int, height: int, prompt: str
) -> None:
    params = replace(
        PARAMS, denoise=denoise, steps=steps, seed=seed, width=width, height=height, prompt=prompt
    )

    graph = paint_graph(params)

    assert_valid(graph)
    ran = sampler_steps(steps=steps, denoise=denoise)
    assert ran == round(graph["10"]["inputs"]["steps"] * graph["15"]["inputs"]["denoise"])
    assert (ran == 0) is (denoise == 0)
    json.dumps(graph).encode()


@pytest.mark.parametrize(
    ("field", "value", "places"),
    [
        ("sketch", "llamasketch/other.png", {("1", "image")}),
        ("prompt", "a cat", {("6", "text")}),
        ("denoise", 0.5, {("15", "denoise")}),
        ("steps", 8, {("10", "steps")}),
        ("seed", 8, {("8", "noise_seed")}),
        ("width", 1024, {("16", "width"), ("10", "width")}),
        ("height", 1024, {("16", "height"), ("10", "height")}),
        ("prompt_id", UUID(int=1), {("14", "filename_prefix")}),
    ],
)
def test_every_parameter_reaches_its_nodes_and_no_other(
    field: str, value: Any, places: set[tuple[str, str]]
) -> None:
    before, after = paint_graph(PARAMS), paint_graph(replace(PARAMS, **{field: value}))

    changed = {
        (node_id, name)
        for node_id, node in after.items()
        for name, now in node["inputs"].items()
        if now != before[node_id]["inputs"][name]
    }

    assert changed == places
    if field != "prompt_id":
        assert all(after[node_id]["inputs"][name] == value for node_id, name in places)


def test_graphs_do_not_share_parts() -> None:
    first = paint_graph(PARAMS)
    first["6"]["inputs"]["text"] = "changed"

    assert paint_graph(PARAMS)["6"]["inputs"]["text"] == "a llama"


def test_the_distilled_model_runs_without_guidance() -> None:
    graph = paint_graph(PARAMS)

    assert graph["11"]["inputs"]["cfg"] == 1.0
    assert graph["11"]["inputs"]["negative"] == ["7", 0]
    assert graph["7"]["class_type"] == "ConditioningZeroOut"
    assert graph["12"]["inputs"]["sigmas"] == ["15", 1]


def test_denoise_0_keeps_the_sketch() -> None:
    graph = paint_graph(replace(PARAMS, denoise=0.0))

    assert_valid(graph)
    assert graph["13"]["inputs"]["samples"] == ["3", 0]
    assert "12" not in ancestors(graph, "14")


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
def test_a_tiny_denoise_gets_a_finer_schedule(
    steps: int, denoise: float, schedule_steps: int, ran: int
) -> None:
    graph = paint_graph(replace(PARAMS, steps=steps, denoise=denoise))

    assert_valid(graph)
    assert graph["10"]["inputs"]["steps"] == schedule_steps
    assert sampler_steps(steps=steps, denoise=denoise) == ran


def test_the_recorded_run_counted_the_same_steps() -> None:
    counts = {
        event["message"]["data"]["max"]
        for event in recorded("success")
        if event["dir"] == "ws" and event["kind"] == "text"
        if event["message"]["type"] == "progress"
    }

    assert counts == {sampler_steps(steps=4, denoise=0.75)}


def test_every_prompt_writes_into_a_folder_of_its_own() -> None:
    prefix = paint_graph(PARAMS)["14"]["inputs"]["filename_prefix"]
    subfolder = prefix.rpartition("/")[0]

    assert is_output_of(PROMPT_ID, subfolder=subfolder)
    assert is_output_of(PROMPT_ID, subfolder=subfolder.replace("/", "\\"))
    assert not is_output_of(UUID(int=1), subfolder=subfolder)
    # What the recorded server named for a prompt that was cached as a whole.
    assert not is_output_of(PROMPT_ID, subfolder="")


def test_a_lone_surrogate_does_not_reach_the_tokenizer() -> None:
    text = paint_graph(replace(PARAMS, prompt="a \ud83d llama"))["6"]["inputs"]["text"]

    assert text == "a ? llama"


def test_what_a_server_must_have() -> None:
    assert required_classes() >= {"Flux2Scheduler", "SamplerCustomAdvanced", "SaveImage"}
    assert required_models() == {
        ("UNETLoader", "unet_name", "flux-2-klein-4b.safetensors"),
        ("CLIPLoader", "clip_name", "qwen_3_4b.safetensors"),
        ("VAELoader", "vae_name", "flux2-vae.safetensors"),
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"denoise": -0.1},
        {"denoise": 1.1},
        {"denoise": float("nan")},
        {"steps": 0},
        {"steps": 5000},
        {"seed": -1},
        {"seed": 2**64},
        {"width": 500},
        {"width": 0},
        {"height": 16400},
        {"sketch": ""},
    ],
    ids=str,
)
def test_values_out_of_range_are_no_parameters(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(PARAMS, **wrong)
