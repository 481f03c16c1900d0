"""Refusals that no recording shows: other versions, other inputs."""

import json
from typing import Any

import pytest

from workers.comfy.errors import Refused
from workers.comfy.refusals import refusal_from_body


def refusal(error: Any = None, **node_errors: Any) -> Refused:
    body = {"error": error or {"type": "x", "message": "X"}, "node_errors": node_errors}
    return refusal_from_body(json.dumps(body).encode(), status=400)


def node(class_type: str, type_: str, input_name: str, received: Any = "a.bin") -> dict[str, Any]:
    extra = {"input_name": input_name, "received_value": received}
    error = {"type": type_, "message": "no", "details": "", "extra_info": extra}
    return {"class_type": class_type, "errors": [error], "dependent_outputs": []}


def test_an_older_servers_unknown_node_class() -> None:
    refused = refusal(
        {
            "type": "invalid_prompt",
            "message": "Cannot execute because node Flux 2 Scheduler does not exist.",
            "details": "Node ID '#10'",
            "extra_info": {},
        }
    )

    assert refused.reason == "missing_node_class"
    assert refused.missing_node_class == "Flux 2 Scheduler"


def test_another_invalid_prompt_is_no_missing_class() -> None:
    refused = refusal({"type": "invalid_prompt", "message": "Cannot execute, it is wrong."})

    assert (refused.reason, refused.missing_node_class) == ("refused", None)


@pytest.mark.parametrize(
    ("class_type", "type_", "input_name", "reason"),
    [
        ("UNETLoader", "value_not_in_list", "unet_name", "missing_model"),
        ("CLIPLoader", "value_not_in_list", "clip_name", "missing_model"),
        ("VAELoader", "value_not_in_list", "vae_name", "missing_model"),
        ("UpscaleModelLoader", "value_not_in_list", "model_name", "missing_model"),
        ("KSamplerSelect", "value_not_in_list", "sampler_name", "bad_value"),
        ("CLIPLoader", "value_not_in_list", "type", "bad_value"),
        ("LoadImage", "value_not_in_list", "image", "missing_input"),
        ("LoadImage", "custom_validation_failed", "image", "missing_input"),
        ("ImageScale", "custom_validation_failed", "image", "bad_value"),
        ("Flux2Scheduler", "value_bigger_than_max", "steps", "bad_value"),
    ],
)
def test_what_is_missing_and_what_is_wrong(
    class_type: str, type_: str, input_name: str, reason: str
) -> None:
    refused = refusal(**{"4": node(class_type, type_, input_name)})

    assert refused.reason == reason
    assert refused.lacks_something is (reason == "missing_model")
    assert refused.missing_model == ("a.bin" if reason == "missing_model" else None)
    assert refused.missing_input == ("a.bin" if reason == "missing_input" else None)


def test_a_missing_model_comes_before_a_missing_sketch() -> None:
    # Another node has to be found in any case; the sketch is uploaded there.
    refused = refusal(
        **{
            "1": node("LoadImage", "custom_validation_failed", "image"),
            "4": node("UNETLoader", "value_not_in_list", "unet_name"),
        }
    )

    assert (refused.reason, refused.missing_input) == ("missing_model", None)
    assert len(refused.node_errors) == 2


@pytest.mark.parametrize("body", [b"", b"no", b"[]", b'{"error": "no"}', b'{"node_errors": []}'])
def test_a_refusal_of_another_shape_is_a_plain_one(body: bytes) -> None:
    refused = refusal_from_body(body, status=413)

    assert (refused.reason, refused.status) == ("refused", 413)
    assert str(refused)


def test_values_that_users_sent_are_not_repeated() -> None:
    refused = refusal(**{"6": node("CLIPTextEncode", "invalid_input_type", "text", "a secret")})

    assert "secret" not in str(refused)
    assert "secret" not in str(refused.node_errors)
