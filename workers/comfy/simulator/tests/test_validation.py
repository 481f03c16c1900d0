"""Graphs that ComfyUI would refuse are refused, with its error types."""

from collections.abc import Callable
from typing import Any

import pytest

from workers.comfy.simulator.catalogue import Catalogue
from workers.comfy.simulator.options import ServerVersion
from workers.comfy.simulator.tests.graphs import klein_graph
from workers.comfy.simulator.validation import Validator

Graph = dict[str, Any]


def validator(version: ServerVersion = ServerVersion.V0_29) -> Validator:
    return Validator(
        Catalogue(), file_exists=lambda name: name == "llamasketch/sketch.png", version=version
    )


def put(node_id: str, name: str, value: object) -> Callable[[Graph], None]:
    def change(graph: Graph) -> None:
        graph[node_id]["inputs"][name] = value

    return change


def drop(node_id: str, name: str) -> Callable[[Graph], None]:
    def change(graph: Graph) -> None:
        del graph[node_id]["inputs"][name]

    return change


def test_the_recorded_graph_is_valid() -> None:
    validated = validator().validate(klein_graph())

    assert validated.error is None
    assert validated.outputs == ("14",)


@pytest.mark.parametrize(
    ("change", "node_id", "kind", "details"),
    [
        (drop("11", "cfg"), "11", "required_input_missing", "cfg"),
        (put("13", "samples", ["1", 0]), "13", "return_type_mismatch", "received_type(IMAGE)"),
        (put("13", "samples", ["12"]), "13", "bad_linked_input", "samples"),
        (put("13", "samples", ["77", 0]), "13", "exception_during_inner_validation", "77"),
        (put("13", "samples", ["12", 5]), "13", "exception_during_inner_validation", "index"),
        (put("15", "denoise", 1.5), "15", "value_bigger_than_max", "denoise"),
        (put("10", "width", 3), "10", "value_smaller_than_min", "width"),
        (put("10", "steps", "four"), "10", "invalid_input_type", "four"),
        (put("9", "sampler_name", "best"), "9", "value_not_in_list", "(list of length 44)"),
        (put("1", "image", "gone.png"), "1", "custom_validation_failed", "gone.png"),
        (put("6", "clip", ["6", 0]), "6", "dependency_cycle", "6 -> 6"),
    ],
    ids=lambda value: value if isinstance(value, str) and "_" in value else None,
)
def test_a_wrong_input_is_named(
    change: Callable[[Graph], None], node_id: str, kind: str, details: str
) -> None:
    graph = klein_graph()
    change(graph)

    validated = validator().validate(graph)

    assert validated.error is not None
    assert validated.error["type"] == "prompt_outputs_failed_validation"
    (error,) = validated.node_errors[node_id]["errors"]
    assert error["type"] == kind
    assert details in error["details"]
    assert validated.node_errors[node_id]["dependent_outputs"] == ["14"]


def test_one_good_output_is_enough_and_the_other_is_reported() -> None:
    graph = klein_graph()
    graph["20"] = {"class_type": "PreviewImage", "inputs": {}}

    validated = validator().validate(graph)

    assert validated.error is None
    assert validated.outputs == ("14",)
    assert list(validated.node_errors) == ["20"]


def test_numbers_in_text_are_converted_as_comfyui_does() -> None:
    graph = klein_graph()
    graph["10"]["inputs"]["steps"] = "8"

    assert validator().validate(graph).error is None
    assert graph["10"]["inputs"]["steps"] == 8


def test_an_unknown_class_has_another_error_in_0_8() -> None:
    graph = klein_graph()
    graph["9"]["class_type"] = "NoSuchNode"

    types = [(validator(version).validate(graph).error or {})["type"] for version in ServerVersion]

    assert types == ["missing_node_type", "invalid_prompt"]


def test_a_node_without_a_class_is_refused() -> None:
    error = validator().validate({"1": {"inputs": {}}}).error

    assert error is not None
    assert error["type"] == "missing_node_type"
