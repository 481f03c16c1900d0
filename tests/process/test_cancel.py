"""Cancelling reaches the GPU, and only the one prompt that it is about."""

from __future__ import annotations

import time
from collections.abc import Iterator
from uuid import UUID

import pytest

from generation.params import prompt_id_for
from tests.process.pictures import hue_distance, hue_of, sketch
from tests.process.stack import NODE, Stack

pytestmark = pytest.mark.process

GONE_WITHIN_S = 2.0  # promised


@pytest.fixture(autouse=True)
def _without_faults_afterwards(stack: Stack) -> Iterator[None]:
    yield
    stack.end_faults()


@pytest.mark.parametrize("cancelled", ["running", "pending"])
def test_a_cancelled_job_is_off_its_node_at_once_and_its_neighbour_stays(
    stack: Stack, cancelled: str
) -> None:
    first, second = stack.users("first", "second")
    # Two prompts on the node: the first runs for seconds, the second waits behind it.
    stack.fault("slow", factor=4, once=True)
    (running,) = first.generate(sketch(0.1), steps=30, denoise=1.0)
    first.wait(running["id"], {"running"})
    (pending,) = second.generate(sketch(0.6))
    second.wait(pending["id"], {"submitted"})
    prompts = {job["id"]: str(prompt_id_for(UUID(job["id"]), 1)) for job in (running, pending)}
    assert stack.held(NODE) == set(prompts.values())
    ways = [(first, running, 0.1), (second, pending, 0.6)]
    (owner, gone, _), (other, left, hue) = ways if cancelled == "running" else ways[::-1]

    asked_at = time.monotonic()
    assert owner.post(f"/api/jobs/{gone['id']}/cancel").status_code == 200
    while prompts[gone["id"]] in stack.held(NODE):
        assert time.monotonic() - asked_at < 30
        time.sleep(0.02)
    gone_s = time.monotonic() - asked_at

    print(f"the {cancelled} prompt was gone after {gone_s:.2f} s")
    assert gone_s <= GONE_WITHIN_S
    assert owner.wait(gone["id"])["state"] == "cancelled"
    ended = other.wait(left["id"])
    assert ended["state"] == "succeeded", ended
    assert hue_distance(hue_of(other.image(ended)), hue) < 0.05
    executions = stack.simulator_state()["prompts"]
    assert executions[prompts[left["id"]]] == 1, "it was not disturbed"
    assert str(prompt_id_for(UUID(left["id"]), 2)) not in executions
