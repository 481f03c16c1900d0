"""Variations: those of one seed are claimed together, and share a prompt and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from pytest_django import Settings

from generation.models import Job, Node, NodeHealth
from generation.nodes import images_fit
from generation.scheduling import Claim, job_claim, prompt_is_wanted, prompt_jobs_expired
from generation.services import jobs_cancel
from generation.states import JobState
from generation.transitions import job_requeue, lease_release
from usage.models import User

pytestmark = pytest.mark.django_db

Submit = Callable[..., list[Job]]


@pytest.fixture
def node(db: None) -> Node:
    """A node that holds two prompts of up to four images."""
    return Node.objects.create(name="one", url="http://127.0.0.1:1", health=NodeHealth.HEALTHY)


def claimed() -> Claim:
    claim = job_claim()
    assert claim is not None
    return claim


def ids(claim: Claim) -> list[object]:
    return [job.id for _, job in claim.members]


def test_the_variations_of_a_seed_are_claimed_together_in_order(
    owner: User, node: Node, submit: Submit
) -> None:
    jobs = submit(owner, count=6)

    first, second = claimed(), claimed()

    assert ids(first) == [job.id for job in jobs[:4]]
    assert ids(second) == [job.id for job in jobs[4:]]
    for claim in (first, second):
        prompts = {job.prompt_id for _, job in claim.members}
        assert prompts == {claim.job.prompt_id}
        assert [job.prompt_index for _, job in claim.members] == list(range(len(claim.members)))
        assert all(job.state == JobState.CLAIMED for _, job in claim.members)
    assert first.job.prompt_id != second.job.prompt_id


def test_a_prompt_of_four_takes_one_place_on_a_node_and_one_of_its_user(
    owner: User, node: Node, submit: Submit, settings: Settings
) -> None:
    settings.PENCIL = replace(settings.PENCIL, in_flight_limit=2)
    Node.objects.filter(pk=node.pk).update(depth=3)
    submit(owner, count=12)

    claims = [claimed(), claimed()]

    assert [len(claim.members) for claim in claims] == [4, 4]
    assert job_claim() is None  # the user's limit: two prompts


def test_every_job_of_a_prompt_counts_in_its_owners_share(
    owner: User, stranger: User, node: Node, submit: Submit
) -> None:
    Node.objects.filter(pk=node.pk).update(depth=4)
    submit(owner, count=4)
    alone = [submit(stranger)[0] for _ in range(4)]
    order = [ids(claimed())]
    order += [ids(claimed()) for _ in range(3)]

    # The one with four images has had as much as the other will have had after four.
    assert len(order[0]) == 4
    assert order[1:] == [[job.id] for job in alone[:3]]


@pytest.mark.parametrize("images", [1, 2, 3])
def test_a_node_makes_no_more_at_once_than_it_may(
    owner: User, node: Node, submit: Submit, images: int
) -> None:
    Node.objects.filter(pk=node.pk).update(images_per_prompt=images)
    jobs = submit(owner, count=4)

    assert ids(claimed()) == [job.id for job in jobs[:images]]


@pytest.mark.parametrize(
    ("memory_mb", "side_px", "images"),
    [(24_000, 512, 4), (24_000, 1024, 1), (80_000, 1024, 4), (None, 1024, 1), (80_000, 1536, 1)],
)
def test_how_many_fit_depends_on_size_and_memory(
    owner: User, node: Node, submit: Submit, memory_mb: int | None, side_px: int, images: int
) -> None:
    (job,) = submit(owner, width=side_px, height=side_px)
    node.memory_mb = memory_mb

    assert images_fit(node, job.parameters) == images


def test_a_gap_ends_a_prompt(owner: User, node: Node, submit: Submit) -> None:
    jobs = submit(owner, count=4)
    jobs_cancel([jobs[1]])

    claims = [claimed(), claimed()]

    assert ids(claims[0]) == [jobs[0].id]
    assert ids(claims[1]) == [jobs[2].id, jobs[3].id]
    assert claims[1].job.parameters.variation == 2


def test_what_ran_out_of_memory_together_goes_alone(
    owner: User, node: Node, submit: Submit
) -> None:
    jobs = submit(owner, count=3)
    for lease, _ in claimed().members:
        assert job_requeue(lease, failure="memory")
    Job.objects.update(not_before=None)

    claims = [claimed(), claimed()]

    assert [ids(claim) for claim in claims] == [[jobs[0].id], [jobs[1].id]]


@pytest.mark.parametrize("failure", ["infrastructure", "blank", "refused"])
def test_what_failed_before_goes_alone(
    owner: User, node: Node, submit: Submit, failure: str
) -> None:
    jobs = submit(owner, count=3)
    for (lease, _), what in zip(claimed().members, ["none", failure, "none"], strict=True):
        assert job_requeue(lease, failure=what)
    Job.objects.update(not_before=None)
    Node.objects.update(depth=3)

    assert [ids(claimed()) for _ in range(3)] == [[job.id] for job in jobs]


def test_requests_with_the_same_seed_stay_apart(owner: User, node: Node, submit: Submit) -> None:
    (first,) = submit(owner, seed=5)
    (second,) = submit(owner, seed=5, variation=1)

    assert [ids(claimed()), ids(claimed())] == [[first.id], [second.id]]


def test_a_prompt_is_wanted_until_its_last_job_is_not(
    owner: User, node: Node, submit: Submit
) -> None:
    jobs = submit(owner, count=2)
    claim = claimed()
    assert claim.job.prompt_id is not None

    assert prompt_is_wanted(claim.job.prompt_id, besides=[jobs[0].id])
    jobs_cancel([Job.objects.get(id=jobs[1].id)])
    assert not prompt_is_wanted(claim.job.prompt_id, besides=[jobs[0].id])


def test_the_jobs_of_a_dead_workers_prompt_are_found_together(
    owner: User, node: Node, submit: Submit
) -> None:
    jobs = submit(owner, count=3)
    claim = claimed()
    assert claim.job.prompt_id is not None
    for lease, _ in claim.members[1:]:
        lease_release(lease)

    assert prompt_jobs_expired(claim.job.prompt_id) == [jobs[1].id, jobs[2].id]
