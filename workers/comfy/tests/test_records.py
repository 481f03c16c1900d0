"""Verdicts, from records of several ages."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.comfy.errors import BadReply
from workers.comfy.json_object import JsonObject
from workers.comfy.node_info import node_class_from_reply, stats_from_reply
from workers.comfy.protocol import OutputFile, message_of, parse_frame, parse_message
from workers.comfy.records import (
    PromptErrorKind,
    PromptStatus,
    SaveState,
    SaveStatus,
    Verdict,
    queue_from_reply,
    saves_from_reply,
    verdict_from_history,
    verdict_from_job,
)
from workers.comfy.refusals import refusal_from_body

CHECKED = {"node_type": "LlamaSketchCheckLatent"}
NOT_A_NUMBER = "LlamaSketch: the latent is not a number"
INTERRUPTED = {
    "status_str": "error",
    "messages": [
        ["execution_start", {"timestamp": 1000}],
        ["execution_interrupted", {"node_id": "12", "node_type": "Sampler", "timestamp": 3500}],
    ],
}


def job(**fields: Any) -> Verdict:
    return verdict_from_job(JsonObject(fields, where="job"))


@pytest.mark.parametrize(
    ("word", "status", "is_terminal"),
    [
        ("pending", PromptStatus.PENDING, False),
        ("in_progress", PromptStatus.RUNNING, False),
        ("completed", PromptStatus.COMPLETED, True),
        ("failed", PromptStatus.FAILED, True),
        ("cancelled", PromptStatus.CANCELLED, True),
    ],
)
def test_every_status_has_its_word(word: str, status: PromptStatus, is_terminal: bool) -> None:
    assert job(status=word).status is status
    assert status.is_terminal is is_terminal


def test_unknown_is_not_terminal() -> None:
    assert not PromptStatus.UNKNOWN.is_terminal


def test_a_failed_job_that_was_interrupted_is_cancelled() -> None:
    # 0.8 has no word for cancelled.
    verdict = job(status="failed", outputs={}, execution_status=INTERRUPTED)

    assert verdict.status is PromptStatus.CANCELLED
    assert verdict.execution_s == 2.5
    assert verdict.error is not None
    assert verdict.error.kind is PromptErrorKind.INTERRUPTED
    assert verdict.error.node_id == "12"


def test_only_files_of_type_output_are_results() -> None:
    images = [
        {"filename": "a.png", "subfolder": "s", "type": "output"},
        {"filename": "b.png", "subfolder": "", "type": "temp"},
    ]

    verdict = job(status="completed", outputs={"14": {"images": images}, "15": {"text": ["x"]}})

    assert verdict.files == (OutputFile("a.png", "s", "output", "14"),)


def test_a_failed_prompt_has_no_files() -> None:
    images = [{"filename": "a.png", "subfolder": "s", "type": "output"}]

    assert job(status="failed", outputs={"14": {"images": images}}).files == ()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"exception_type": "torch.OutOfMemoryError"}, PromptErrorKind.OUT_OF_MEMORY),
        ({"exception_type": "torch.cuda.OutOfMemoryError"}, PromptErrorKind.OUT_OF_MEMORY),
        ({"exception_message": "CUDA out of memory. Tried"}, PromptErrorKind.OUT_OF_MEMORY),
        ({"exception_message": "Allocation on device"}, PromptErrorKind.OUT_OF_MEMORY),
        ({"node_type": "LoadImage", "exception_type": "OSError"}, PromptErrorKind.UNREADABLE_INPUT),
        (CHECKED | {"exception_message": f"{NOT_A_NUMBER}\n"}, PromptErrorKind.BLANK),
        (
            CHECKED | {"exception_message": "LlamaSketch: the latent is blank"},
            PromptErrorKind.BLANK,
        ),
        (CHECKED | {"exception_message": "CUDA out of memory."}, PromptErrorKind.OUT_OF_MEMORY),
        (CHECKED | {"exception_message": "'samples'"}, PromptErrorKind.NODE_ERROR),
        ({"node_type": "X", "exception_message": NOT_A_NUMBER}, PromptErrorKind.NODE_ERROR),
        ({"node_type": "VAEDecode", "exception_type": "ValueError"}, PromptErrorKind.NODE_ERROR),
        ({}, PromptErrorKind.NODE_ERROR),
    ],
)
def test_the_kinds_of_failure(error: dict[str, str], kind: PromptErrorKind) -> None:
    verdict = job(status="failed", execution_error=error)

    assert verdict.error is not None
    assert verdict.error.kind is kind
    assert verdict.error.message


def test_an_error_message_is_one_short_line_without_a_traceback() -> None:
    error = {"exception_message": "first " * 100 + "\nsecond", "traceback": ["File secret.py"]}

    verdict = job(status="failed", execution_error=error)

    assert verdict.error is not None
    assert len(verdict.error.message) == 200
    assert "second" not in str(verdict)
    assert "secret" not in str(verdict)


def test_history_without_a_status_is_a_success() -> None:
    entry = {"outputs": {"14": {"images": [{"filename": "a.png"}]}}, "status": None}

    verdict = verdict_from_history(JsonObject(entry, where="history"))

    assert verdict == Verdict(
        PromptStatus.COMPLETED, files=(OutputFile("a.png", "", "output", "14"),)
    )


def test_a_queue_of_something_else_is_a_bad_reply() -> None:
    for items in ([3], [[1]], [[1, 2]], "text", {"a": 1}):
        with pytest.raises(BadReply):
            queue_from_reply(JsonObject({"queue_running": items}, where="queue"))


def test_saves_are_read_by_file_name() -> None:
    files = {
        "a.webp": {"state": "waiting", "error": ""},
        "b.webp": {"state": "written"},
        "c.webp": {"state": "failed", "error": "No space left on device"},
    }

    assert saves_from_reply(JsonObject({"files": files}, where="saves")) == {
        "a.webp": SaveState(SaveStatus.WAITING),
        "b.webp": SaveState(SaveStatus.WRITTEN),
        "c.webp": SaveState(SaveStatus.FAILED, "No space left on device"),
    }


def test_a_save_in_an_unknown_state_is_a_bad_reply() -> None:
    with pytest.raises(BadReply, match="'lost'"):
        saves_from_reply(JsonObject({"files": {"a": {"state": "lost"}}}, where="saves"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "a", "1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("status", "outputs", "execution_status", "messages", "images", "filename"),
                    *("execution_error", "exception_message", "error", "node_errors", "errors"),
                    *("extra_info", "type", "data", "prompt_id", "input", "required", "devices"),
                    *("queue_running", "system", "value", "max", "node", "output", "14"),
                    *("files", "state"),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)
READERS: list[Callable[[JsonObject], object]] = [
    verdict_from_job,
    verdict_from_history,
    queue_from_reply,
    stats_from_reply,
    saves_from_reply,
    lambda reply: node_class_from_reply("14", reply),
]


@given(
    st.dictionaries(st.sampled_from(["status", "outputs", "14", "devices", "files"]), json_values)
)
def test_whatever_a_server_answers_is_understood_or_a_bad_reply(reply: dict[str, Any]) -> None:
    for status in ("completed", "failed", "cancelled"):
        for read in READERS:
            try:
                read(JsonObject({**reply, "status": status}, where="reply"))
                read(JsonObject(reply, where="reply"))
            except BadReply:
                pass


@given(json_values)
def test_whatever_a_socket_says_is_understood_or_a_bad_reply(data: object) -> None:
    for kind in ("progress", "executing", "executed", "execution_start", "status"):
        with contextlib.suppress(BadReply):
            parse_message(json.dumps({"type": kind, "data": data}))
    refusal_from_body(json.dumps(data).encode(), status=400)


@given(st.sampled_from([1, 3, 4, 5]), st.binary(max_size=40))
def test_whatever_frame_comes_is_understood_or_a_bad_reply(kind: int, body: bytes) -> None:
    for frame in (body, kind.to_bytes(4) + body):
        with contextlib.suppress(BadReply):
            message_of(parse_frame(frame))
