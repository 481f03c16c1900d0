"""Messages and frames, as they are on the wire."""

import json
import struct

import pytest

from workers.comfy.errors import BadReply
from workers.comfy.protocol import (
    FEATURE_FLAGS,
    Finished,
    Message,
    NodeText,
    OutputFile,
    OutputReady,
    Preview,
    Progress,
    PromptEvent,
    PromptPreview,
    Started,
    Succeeded,
    UnattributedPreview,
    message_of,
    parse_frame,
    parse_message,
)


def message(kind: str, **data: object) -> Message | None:
    return parse_message(json.dumps({"type": kind, "data": {"prompt_id": "p", **data}}))


@pytest.mark.parametrize(
    ("kind", "data", "event"),
    [
        ("execution_start", {"timestamp": 1}, Started()),
        ("execution_cached", {"nodes": []}, None),
        ("executing", {"node": "12", "display_node": "12"}, None),
        ("executing", {"node": None}, Finished()),
        ("progress", {"value": 2, "max": 3, "node": "12"}, Progress(2, 3, "12")),
        ("progress", {"value": 2.0, "max": 3.0, "node": "12"}, Progress(2, 3, "12")),
        (
            "executed",
            {"node": "14", "output": {"images": [{"filename": "a", "type": "output"}]}},
            OutputReady((OutputFile("a", "", "output", "14"),)),
        ),
        ("executed", {"node": "15", "output": {"text": ["hello"]}}, None),
        ("executed", {"node": "15", "output": None}, None),
        ("execution_success", {"timestamp": 2}, Succeeded()),
        ("execution_error", {"exception_message": "no"}, None),
        ("execution_interrupted", {}, None),
    ],
)
def test_messages_about_a_prompt(
    kind: str, data: dict[str, object], event: PromptEvent | None
) -> None:
    assert message(kind, **data) == Message("p", event)


@pytest.mark.parametrize(("said", "at_ms"), [(1795474344713, 1795474344713), ("noon", None)])
def test_the_moments_of_a_start_and_an_end(said: object, at_ms: float | None) -> None:
    for kind, event in (("execution_start", Started), ("execution_success", Succeeded)):
        told = message(kind, timestamp=said)
        assert told is not None
        assert isinstance(told.event, event)
        assert told.event.at_ms == at_ms


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 1}}}}',
        '{"type": "feature_flags", "data": {}}',
        '{"type": "executing", "data": {"node": "12"}}',
        '{"type": "progress_state", "data": {"prompt_id": "p", "nodes": {}}}',
        '{"type": "invented_later", "data": 3}',
    ],
)
def test_messages_about_no_prompt(text: str) -> None:
    assert parse_message(text) is None


def test_a_preview_with_its_prompt() -> None:
    metadata = {"prompt_id": "p", "node_id": "12", "image_type": "image/jpeg", "new": None}
    header = json.dumps(metadata).encode()

    frame = parse_frame(struct.pack(">II", 4, len(header)) + header + b"picture")

    assert frame == PromptPreview("p", "12", "image/jpeg", b"picture")
    assert message_of(frame) == Message("p", Preview("image/jpeg", b"picture"))


@pytest.mark.parametrize(("image_format", "image_type"), [(1, "image/jpeg"), (2, "image/png")])
def test_a_preview_without_a_prompt(image_format: int, image_type: str) -> None:
    frame = parse_frame(struct.pack(">II", 1, image_format) + b"picture")

    assert frame == UnattributedPreview(image_type, b"picture")
    assert message_of(frame) is None


def test_text_of_a_node() -> None:
    frame = parse_frame(struct.pack(">II", 3, 2) + b"12" + b"half done")

    assert frame == NodeText("12", "half done")
    assert message_of(frame) is None


def test_an_unknown_frame() -> None:
    assert parse_frame(struct.pack(">I", 9) + b"?") is None


def test_a_frame_that_is_shorter_than_it_says() -> None:
    with pytest.raises(BadReply):
        parse_frame(struct.pack(">II", 4, 99) + b"{}")


def test_the_first_message_asks_for_previews_with_their_prompt() -> None:
    assert json.loads(FEATURE_FLAGS) == {
        "type": "feature_flags",
        "data": {"supports_preview_metadata": True},
    }
