"""Everything that can go wrong at ComfyUI: a clear end, and nothing charged; or an image."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.process.pictures import hue_distance, hue_of, sketch
from tests.process.stack import Stack

pytestmark = pytest.mark.process

# What no user should read: stacks, representations of exceptions, paths, addresses.
_INNARDS = re.compile(
    r"Traceback|\w+(Error|Exception)\b|File \"|(/[\w.-]+){2,}|https?:|0x[0-9a-f]{4}"
)

RECOVERED = [
    pytest.param("out-of-memory", {"once": True}, id="out-of-memory-once"),
    pytest.param("black-image", {"once": True}, id="black-image-once"),
    pytest.param("nan-image", {"once": True}, id="nan-image-once"),
    pytest.param("slow", {"factor": 6}, id="slow"),
    pytest.param("lost-event", {}, id="lost-event"),
    pytest.param("lost-prompt", {"once": True}, id="lost-prompt-once"),
    pytest.param("no-answer", {"once": True}, id="no-answer-once"),
    pytest.param("dropped-socket", {}, id="dropped-socket"),
    pytest.param("truncated-file", {"once": True}, id="truncated-file-once"),
    pytest.param("missing-file", {"once": True}, id="missing-file-once"),
    pytest.param("slow-file", {}, id="slow-file"),
]
FINAL = [
    pytest.param("out-of-memory", "out_of_memory", id="out-of-memory"),
    pytest.param("black-image", "blank_image", id="black-image"),
    pytest.param("nan-image", "blank_image", id="nan-image"),
    pytest.param("node-error", None, id="node-error"),
    pytest.param("refuse", None, id="refuse"),
    pytest.param("lost-prompt", "node_failed", id="lost-prompt"),
    pytest.param("truncated-file", "node_failed", id="truncated-file"),
    pytest.param("missing-file", "node_failed", id="missing-file"),
]


@pytest.fixture(autouse=True)
def _without_faults_afterwards(stack: Stack) -> Iterator[None]:
    yield
    stack.end_faults()


@pytest.fixture
def _node_readmitted_afterwards(stack: Stack) -> Iterator[None]:
    """A node that spoiled what it was given is in quarantine; the next test needs it."""
    yield
    stack.end_faults()
    stack.readmit_nodes()


@pytest.mark.parametrize(("kind", "fields"), RECOVERED)
def test_a_fault_that_passes_ends_in_an_image(
    stack: Stack, kind: str, fields: dict[str, Any]
) -> None:
    api = stack.user("patient")
    before = api.used_today()
    stack.fault(kind, **fields)

    (job,) = api.generate(sketch(0.4))
    job = api.wait(job["id"], within_s=90)

    assert job["state"] == "succeeded", job
    assert job["error"] is None
    assert hue_distance(hue_of(api.image(job)), 0.4) < 0.05
    assert api.used_today() == before + 1, "charged once, however many attempts it took"


@pytest.mark.usefixtures("_node_readmitted_afterwards")
@pytest.mark.parametrize(("kind", "code"), FINAL)
def test_a_fault_that_stays_ends_in_a_clear_failure(
    stack: Stack, kind: str, code: str | None
) -> None:
    api = stack.user("unlucky")
    before = api.used_today()
    stack.fault(kind)

    (job,) = api.generate(sketch(0.7))
    job = api.wait(job["id"], within_s=120)

    _assert_clear_failure(job, code)
    assert api.used_today() == before, "a failure costs nothing"


def test_a_node_that_dies_in_the_middle_and_comes_back_finishes_the_job(stack: Stack) -> None:
    api = stack.user("patient")
    before = api.used_today()
    stack.fault("crash", once=True)

    (job,) = api.generate(sketch(0.9))
    stack.wait_for_death("simulator")
    stack.kill("simulator")
    stack.start_again("simulator")
    job = api.wait(job["id"], within_s=120)

    assert job["state"] == "succeeded", job
    assert hue_distance(hue_of(api.image(job)), 0.9) < 0.05
    assert api.used_today() == before + 1


def test_a_node_that_hangs_ends_in_a_clear_failure(stack: Stack) -> None:
    api = stack.user("unlucky")
    before = api.used_today()
    stack.fault("hang")

    try:
        (job,) = api.generate(sketch(0.2))
        job = api.wait(job["id"], within_s=120)
    finally:
        stack.kill("simulator")
        stack.start_again("simulator")

    _assert_clear_failure(job, None)
    assert api.used_today() == before
    (after,) = api.generate(sketch(0.2))
    assert api.wait(after["id"], within_s=90)["state"] == "succeeded", "well after a restart"


def _assert_clear_failure(job: dict[str, Any], code: str | None) -> None:
    assert job["state"] == "failed", job
    assert job["images"] == []
    assert job["charged"] is False
    error = job["error"]
    assert re.fullmatch(r"[a-z_]+", error["code"]), error
    assert code is None or error["code"] == code
    assert len(error["message"]) > 20
    assert _INNARDS.search(error["message"]) is None, error
