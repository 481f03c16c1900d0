"""Two nodes, one of which goes wrong: it is noticed, and its jobs end on the other."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from generation.params import prompt_id_for
from tests.process.api import Api
from tests.process.pictures import hue_distance, hue_of, sketch
from tests.process.stack import Stack

pytestmark = pytest.mark.process

NOTICED_WITHIN_S = 15.0  # promised
JOBS = 4  # as many as two nodes hold, and as one user may have on nodes


@pytest.fixture(scope="module")
def operator(two: Stack) -> Api:
    """Somebody who may see the nodes' health."""
    return two.operator()


@pytest.fixture(autouse=True)
def _both_nodes_well(two: Stack, operator: Api) -> Iterator[None]:
    """Begin once both nodes are admitted, again where one went wrong before."""
    _wait_for(
        lambda: {_health(operator, two, node) for node in two.nodes} == {"healthy"}, within_s=120
    )
    yield
    two.end_faults()


def test_a_frozen_node_is_noticed_and_its_jobs_end_elsewhere(two: Stack, operator: Api) -> None:
    api = two.user("owner")
    used = api.used_today()
    well, frozen = two.nodes
    hues = _draw(api)
    _wait_for(lambda: [len(two.held(node)) for node in two.nodes] == [2, 2], within_s=10)
    stuck = two.held(frozen)

    two.freeze(frozen)
    frozen_at = time.monotonic()
    try:
        _wait_for(lambda: _health(operator, two, frozen) != "healthy", within_s=60)
        noticed_s = time.monotonic() - frozen_at
        ended = [api.wait(job_id, within_s=60) for job_id in hues]
        ended_s = time.monotonic() - frozen_at
    finally:
        two.thaw(frozen)

    print(f"noticed after {noticed_s:.1f} s, all jobs ended after {ended_s:.1f} s")
    assert noticed_s <= NOTICED_WITHIN_S
    went_back = _each_ended_once(api, ended, hues)
    assert api.used_today() == used + JOBS
    moved = {job_id for job_id in hues if str(prompt_id_for(UUID(job_id), 1)) in stuck}
    assert len(moved) == 2
    assert moved == went_back
    executed = two.simulator_state(well)["prompts"]
    for job_id in moved:
        assert executed.get(str(prompt_id_for(UUID(job_id), 2))) == 1, "made on the other node"


def test_a_black_node_is_quarantined_after_two_images_that_are_made_again(
    two: Stack, operator: Api
) -> None:
    api = two.user("owner")
    used = api.used_today()
    well, black = two.nodes
    two.fault("black-image", node=black)

    hues = _draw(api)
    ended = [api.wait(job_id, within_s=60) for job_id in hues]

    assert _health(operator, two, black) == "quarantined"
    assert _health(operator, two, well) == "healthy"
    went_back = _each_ended_once(api, ended, hues)
    assert api.used_today() == used + JOBS
    assert len(went_back) == 2
    made = {node: two.simulator_state(node)["prompts"] for node in two.nodes}
    for job_id in went_back:
        first, second = (str(prompt_id_for(UUID(job_id), attempt)) for attempt in (1, 2))
        assert made[black].get(first) == 1
        assert made[well].get(second) == 1, "made again on the other node"
    sent = {str(prompt_id_for(UUID(job_id), n)) for job_id in hues for n in range(1, 4)}
    assert len(sent & set(made[black])) == 2, "no third was sent to it"


def _draw(api: Api) -> dict[str, float]:
    """Submit jobs for both nodes; the hue of each job's sketch."""
    hues = [number / JOBS for number in range(JOBS)]
    return {api.generate(sketch(hue), seed=1, denoise=1.0)[0]["id"]: hue for hue in hues}


def _each_ended_once(api: Api, ended: list[dict[str, Any]], hues: dict[str, float]) -> set[str]:
    """Every job has an image of its own sketch and one end; return those that went back once."""
    assert [job["state"] for job in ended] == ["succeeded"] * JOBS, ended
    for job in ended:
        assert hue_distance(hue_of(api.image(job)), hues[job["id"]]) < 0.05
        assert job["charged"] is True
    told: dict[str, Counter[str]] = {"job.succeeded": Counter(), "job.requeued": Counter()}
    for event in (message["event"] for message in api.events()):
        if event["type"] in told and event["job"]["id"] in hues:
            told[event["type"]][event["job"]["id"]] += 1
    assert told["job.succeeded"] == Counter(dict.fromkeys(hues, 1))
    assert set(told["job.requeued"].values()) <= {1}
    return set(told["job.requeued"])


def _health(operator: Api, stack: Stack, node: str) -> str:
    """A node's health, as the staff sees it."""
    name = stack.node_url(node).removeprefix("http://")
    nodes = operator.get("/api/health").json()["nodes"]
    return next(str(one["health"]) for one in nodes if one["name"] == name)


def _wait_for(condition: Callable[[], bool], *, within_s: float) -> None:
    ends_at = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends_at, f"not within {within_s} s"
        time.sleep(0.05)
