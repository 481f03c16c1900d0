"""How long a live frame waits behind somebody else's pile: a simulation of claims and nodes."""

from __future__ import annotations

import dataclasses
import random
from collections import deque
from collections.abc import Callable
from uuid import UUID

import pytest
from pytest_django import Settings

from generation.models import Job, Node, NodeHealth
from generation.scheduling import Claim, job_claim
from generation.states import JobState, Lane
from generation.transitions import job_advance, job_succeed
from usage.models import LedgerEntry, User

Submit = Callable[..., list[Job]]

VARIATIONS = 128
FRAMES = 8
DEPTH = 2


@pytest.fixture(autouse=True)
def _one_may_hold_all(settings: Settings) -> None:
    """The worst case: nothing but the lanes keeps one user from every slot."""
    settings.PENCIL = dataclasses.replace(
        settings.PENCIL, daily_limit=None, in_flight_limit=100, queue_limit=256
    )


class Machines:
    """Nodes that make one prompt at a time, in the order in which they got them."""

    def __init__(self, count: int, *, seed: int) -> None:
        self.random = random.Random(seed)
        self.prompts: dict[int, deque[Claim]] = {}
        for index in range(count):
            name = f"node-{index}"
            node = Node.objects.create(
                name=name,
                url=f"http://{name}:1",
                depth=DEPTH,
                health=NodeHealth.HEALTHY,
                images_per_prompt=1,
            )
            self.prompts[node.pk] = deque()
        self.claimed: list[UUID] = []  # in order, all there ever were
        self.started: list[UUID] = []  # likewise: a prompt starts when it is its node's first

    @property
    def held(self) -> list[UUID]:
        """The jobs on the nodes."""
        return [claim.job.id for prompts in self.prompts.values() for claim in prompts]

    def fill(self) -> None:
        """Workers claim whatever there is room for."""
        while (claim := job_claim()) is not None:
            prompts = self.prompts[claim.node.pk]
            prompts.append(claim)
            assert len(prompts) <= DEPTH
            self.claimed.append(claim.job.id)
            if len(prompts) == 1:
                self.started.append(claim.job.id)

    def finish_one(self) -> None:
        """Some node finishes its prompt and starts the next one that it holds."""
        prompts = self.prompts[self.random.choice([pk for pk, row in self.prompts.items() if row])]
        claim = prompts.popleft()
        assert job_advance(claim.lease, {JobState.CLAIMED}, JobState.SUBMITTED)
        assert job_advance(claim.lease, {JobState.SUBMITTED}, JobState.SAVING)
        # A live frame costs its owner more than a variation: that must not make the next one wait.
        seconds = 10.0 if claim.job.lane == Lane.LIVE else self.random.uniform(0.5, 2.0)
        assert job_succeed(claim.lease, [], execution_s=seconds)
        if prompts:
            self.started.append(prompts[0].job.id)


@pytest.mark.django_db
@pytest.mark.parametrize("nodes", [1, 3])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_live_frame_gets_the_next_free_slot_whatever_another_has_queued(
    owner: User, stranger: User, submit: Submit, nodes: int, seed: int
) -> None:
    pile = {job.id for job in submit(owner, count=VARIATIONS)}
    machines = Machines(nodes, seed=seed)
    machines.fill()

    for _ in range(FRAMES):
        for _ in range(machines.random.randrange(2 * DEPTH * nodes)):
            machines.finish_one()
            machines.fill()
        on_nodes = machines.held
        claims, starts = len(machines.claimed), len(machines.started)
        assert len(on_nodes) == nodes * DEPTH

        (frame,) = submit(stranger, lane=Lane.LIVE)

        machines.finish_one()
        machines.fill()
        # The first slot that came free is the frame's: none of the pile got past it.
        assert machines.claimed[claims] == frame.id
        # Before it starts, nothing starts but what lay on the nodes already.
        while frame.id not in machines.started:
            machines.finish_one()
        before_it = machines.started[starts : machines.started.index(frame.id)]
        assert set(before_it) <= set(on_nodes)
        assert len(pile.intersection(before_it)) <= nodes * DEPTH
        machines.fill()

    assert Job.objects.filter(id__in=pile, state=JobState.QUEUED).exists()  # it never ran out


@pytest.mark.django_db
@pytest.mark.parametrize("nodes", [1, 3])
def test_of_frames_drawn_faster_than_nodes_work_the_newest_gets_the_next_slot(
    owner: User, stranger: User, submit: Submit, nodes: int
) -> None:
    pile = {job.id for job in submit(owner, count=VARIATIONS)}
    machines = Machines(nodes, seed=1)
    machines.fill()

    for _ in range(FRAMES):
        frames = [submit(stranger, lane=Lane.LIVE)[0] for _ in range(4)]
        claims = len(machines.claimed)
        machines.finish_one()
        machines.fill()

        assert machines.claimed[claims] == frames[-1].id
        states = [Job.objects.get(id=frame.id).state for frame in frames]
        assert states == [JobState.CANCELLED] * 3 + [JobState.CLAIMED]
        refunds = LedgerEntry.objects.filter(job_id__in=[f.id for f in frames], kind="refund")
        assert refunds.count() == 3

    # One slot came free at a time, and a frame waited for each: the pile stood still.
    assert len(pile.intersection(machines.claimed)) == nodes * DEPTH


@pytest.mark.django_db
def test_three_who_draw_get_the_next_three_slots(
    owner: User, stranger: User, submit: Submit
) -> None:
    third = User.objects.create_user("third@example.com")
    submit(owner, count=VARIATIONS)
    machines = Machines(2, seed=1)
    machines.fill()

    for _ in range(FRAMES):
        # The one with the pile draws too.
        frames = {submit(user, lane=Lane.LIVE)[0].id for user in (owner, stranger, third)}
        claims = len(machines.claimed)
        for _ in range(3):
            machines.finish_one()
            machines.fill()

        assert set(machines.claimed[claims : claims + 3]) == frames
