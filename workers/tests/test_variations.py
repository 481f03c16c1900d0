"""Variations on a real simulator: one prompt, and as many jobs that end each for itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from django.db import connections

from conftest import sketch_png
from generation.models import Job
from generation.previews import preview_get, watch_note
from generation.scheduling import Claim, job_claim
from generation.services import jobs_cancel
from generation.states import JobState
from generation.storage import blob_read
from generation.transitions import lease_release
from usage.models import LedgerEntry, User
from workers.tests.conftest import Simulator, adopt, attempt, node_for
from workers.tests.test_attempt import run_to_the_end

pytestmark = pytest.mark.django_db(transaction=True)

Submit = Callable[..., list[Job]]
Faulty = Callable[..., Simulator]


def claimed() -> Claim:
    claim = job_claim()
    assert claim is not None
    return claim


def image_of(job: Job) -> bytes:
    return blob_read(job.images.get().file)


def kinds_of(job: Job) -> list[str]:
    return sorted(LedgerEntry.objects.filter(job_id=job.id).values_list("kind", flat=True))


def states(jobs: list[Job]) -> list[str]:
    return [Job.objects.get(id=job.id).state for job in jobs]


def in_thread(claim: Claim) -> threading.Thread:
    def work() -> None:
        attempt(claim)
        connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def wait_until(happens: Callable[[], bool], within_s: float = 20.0) -> None:
    ends_at = time.monotonic() + within_s
    while not happens():
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def test_four_variations_are_one_prompt_and_four_images(
    owner: User, submit: Submit, faulty: Faulty
) -> None:
    simulator = faulty()
    node_for(simulator)
    jobs = submit(owner, count=4, sketch=sketch_png("green"))

    attempt(claimed())

    assert states(jobs) == [JobState.SUCCEEDED] * 4
    assert len(simulator.state()["prompts"]) == 1
    images = [image_of(job) for job in jobs]
    assert len(set(images)) == 4
    assert all(kinds_of(job) == ["reserve", "settle"] for job in jobs)


def test_a_variation_made_again_alone_is_the_same_image(
    owner: User, submit: Submit, faulty: Faulty
) -> None:
    node_for(faulty())
    together = submit(owner, count=4, seed=11)
    attempt(claimed())
    (alone,) = submit(owner, seed=11, variation=2)

    run_to_the_end(alone)

    assert image_of(alone) == image_of(together[2])


def test_one_of_a_running_prompt_is_cancelled_and_the_others_go_on(
    owner: User, submit: Submit, faulty: Faulty
) -> None:
    simulator = faulty(step_s=0.4)
    node_for(simulator)
    jobs = submit(owner, count=3)
    thread = in_thread(claimed())
    wait_until(lambda: states(jobs)[0] == JobState.RUNNING)

    jobs_cancel([Job.objects.get(id=jobs[0].id)])
    thread.join(30)

    assert states(jobs) == [JobState.CANCELLED, JobState.SUCCEEDED, JobState.SUCCEEDED]
    assert kinds_of(jobs[0]) == ["refund", "reserve"]
    # Each got the image of its own place in the prompt, the first's being nobody's.
    (again,) = submit(owner, seed=7, variation=1)
    run_to_the_end(again)
    assert image_of(jobs[1]) == image_of(again)


def test_a_prompt_that_nobody_wants_any_more_leaves_the_node(
    owner: User, submit: Submit, faulty: Faulty
) -> None:
    simulator = faulty(step_s=5.0)
    node_for(simulator)
    jobs = submit(owner, count=3)
    claim = claimed()
    thread = in_thread(claim)
    wait_until(lambda: states(jobs)[0] == JobState.RUNNING)

    jobs_cancel([Job.objects.get(id=job.id) for job in jobs])
    thread.join(30)

    assert states(jobs) == [JobState.CANCELLED] * 3
    assert str(claim.job.prompt_id) not in simulator.state()["running"]


def test_a_prompt_that_needs_too_much_memory_is_made_image_by_image(
    owner: User, submit: Submit, faulty: Faulty
) -> None:
    simulator = faulty("out-of-memory:once")
    node_for(simulator)
    jobs = submit(owner, count=2)

    for job in jobs:
        run_to_the_end(job)

    assert states(jobs) == [JobState.SUCCEEDED] * 2
    assert [Job.objects.get(id=job.id).memory_failures for job in jobs] == [1, 1]
    assert len(simulator.state()["prompts"]) == 3


def test_the_jobs_of_a_dead_worker_are_adopted_together(
    owner: User, submit: Submit, faulty: Faulty
) -> None:
    simulator = faulty(step_s=0.3)
    node_for(simulator)
    jobs = submit(owner, count=3)
    claim = claimed()
    thread = in_thread(claim)
    wait_until(lambda: states(jobs) == [JobState.RUNNING] * 3)
    for lease, _ in claim.members:
        lease_release(lease)

    assert adopt(jobs[1].id)
    thread.join(30)

    assert states(jobs) == [JobState.SUCCEEDED] * 3
    assert list(simulator.state()["prompts"].values()) == [1]
    assert all(kinds_of(job) == ["reserve", "settle"] for job in jobs)


def test_previews_are_made_only_while_somebody_watches(
    owner: User, submit: Submit, faulty: Faulty
) -> None:
    node_for(faulty(step_s=0.3))
    (unseen,) = submit(owner)
    run_to_the_end(unseen)
    watch_note(owner.pk)
    (seen,) = submit(owner, seed=8)  # else the node gives back what it made before
    run_to_the_end(seen)

    assert [states([job])[0] for job in (unseen, seen)] == [JobState.SUCCEEDED] * 2
    assert preview_get(unseen.id) is None
    assert preview_get(seen.id) is not None


def test_a_sketch_that_a_node_has_is_not_sent_again(
    owner: User, submit: Submit, faulty: Faulty
) -> None:
    simulator = faulty()
    node_for(simulator)
    for seed in (1, 2, 3):
        run_to_the_end(submit(owner, seed=seed, sketch=sketch_png("navy"))[0])

    assert simulator.state()["uploads"] == 1
