"""Somebody draws while another has a pile of variations queued: the drawing goes first."""

from __future__ import annotations

import time
from uuid import UUID

import pytest

from generation.params import prompt_id_for
from tests.process.pictures import sketch
from tests.process.stack import Stack

pytestmark = pytest.mark.process

VARIATIONS = 128
FRAMES = 2
ON_NODES = 4  # what two nodes hold: two prompts each


def test_a_live_frame_starts_after_no_more_than_what_lay_on_the_nodes(two: Stack) -> None:
    piler, drawer = two.users("piler", "drawer")
    pile = piler.generate(sketch(0.3), count=VARIATIONS, width=256, height=256)
    piler.wait(pile[0]["id"], {"succeeded"})

    try:
        for number in range(FRAMES):
            started = {prompt for node in two.nodes for prompt in _started(two, node)}
            asked_at = time.monotonic()
            (frame,) = drawer.generate(sketch(0.7), lane="live", seed=number)
            drawer.wait(frame["id"], {"running", "saving", "succeeded"})
            waited_s = time.monotonic() - asked_at

            prompt = str(prompt_id_for(UUID(frame["id"]), 1))
            (order,) = (row for node in two.nodes if prompt in (row := _started(two, node)))
            before = set(order[: order.index(prompt)]) - started
            print(f"it began after {waited_s:.1f} s, behind {len(before)} prompts of {VARIATIONS}")
            assert len(before) <= ON_NODES
        assert sum(job["state"] == "queued" for job in piler.jobs()) > 0, "the pile ran out"
    finally:
        piler.post("/api/jobs/cancel", {"all": True})
        while any(two.held(node) for node in two.nodes):
            time.sleep(0.1)


def _started(stack: Stack, node: str) -> list[str]:
    """The prompts that a node has started, in order."""
    return list(stack.simulator_state(node)["prompts"])
