"""Attempts on a real simulator process: every way in which one can end."""

from __future__ import annotations

import io
import signal
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.db import DatabaseError, connections
from django.db.models.functions import Now
from PIL import Image, ImageStat

import workers.attempt as attempt_module
from conftest import sketch_png
from generation.models import Event, Job, NodeDuty, NodeHealth
from generation.nodes import node_set_duty
from generation.scheduling import job_claim
from generation.services import jobs_cancel
from generation.states import JobState, Lane
from generation.storage import blob_path, blob_read
from generation.transitions import lease_take
from usage.models import LedgerEntry, User
from usage.quota import usage_of
from workers.clients import client_for
from workers.comfy.client import ComfyClient
from workers.comfy.transport import Timeouts
from workers.members import Members
from workers.recall import job_recall
from workers.sending import Sending
from workers.tests.conftest import Simulator, adopt, attempt, node_for
from workers.workflows.abilities import STOCK
from workers.workflows.build import graph_build
from workers.workflows.order import Order, Workflow

pytestmark = pytest.mark.django_db(transaction=True)

Submit = Callable[..., list[Job]]
Faulty = Callable[..., Simulator]


def run_to_the_end(job: Job, *, attempts: int = 10) -> Job:
    """Claim and run, as workers do, until the job has ended."""
    for _ in range(attempts):
        Job.objects.filter(id=job.id).update(not_before=None)
        claim = job_claim()
        if claim is None:
            break
        attempt(claim)
        job.refresh_from_db()
        if job.finished_at:
            break
    job.refresh_from_db()
    return job


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_arguments: object, **_named: object) -> None:
        raise error

    return fail


def events_of(job: Job) -> list[str]:
    return list(Event.objects.filter(job_id=job.id).order_by("seq").values_list("type", flat=True))


def kinds_of(job: Job) -> list[str]:
    return sorted(LedgerEntry.objects.filter(job_id=job.id).values_list("kind", flat=True))


def test_a_job_becomes_an_image_that_follows_its_sketch(
    owner: User, submit: Submit, well: Simulator
) -> None:
    node_for(well)
    (job,) = submit(owner, sketch=sketch_png("#2040d0"), denoise=0.4)

    run_to_the_end(job)

    assert job.state == JobState.SUCCEEDED
    assert kinds_of(job) == ["reserve", "settle"]
    image = job.images.get()
    assert (image.width, image.height, image.content_type) == (512, 512, "image/png")
    with Image.open(io.BytesIO(blob_read(image.file))) as picture:
        assert "prompt" not in picture.info  # the graph that ComfyUI puts into its PNGs
        red, _, blue = ImageStat.Stat(picture.convert("RGB").crop((200, 200, 312, 312))).mean
        assert blue > red + 40
    with Image.open(io.BytesIO(blob_read(image.thumbnail))) as thumbnail:
        assert (thumbnail.format, thumbnail.size) == ("WEBP", (320, 320))
    assert events_of(job)[:3] == ["job.queued", "job.claimed", "job.submitted"]
    assert events_of(job)[-1] == "job.succeeded"


@pytest.mark.parametrize(("encode_s", "is_told"), [("0", False), ("0.6", True)])
def test_saving_is_told_where_files_take_a_moment(
    owner: User, submit: Submit, simulated: Faulty, encode_s: str, is_told: bool
) -> None:
    node_for(simulated("--pack", "--encode-seconds", encode_s))
    (job,) = submit(owner)

    run_to_the_end(job)

    assert job.state == JobState.SUCCEEDED
    assert job.images.get().content_type == "image/jpeg"
    assert ("job.saving" in events_of(job)) is is_told


@pytest.mark.parametrize(
    ("fault", "failures"),
    [
        pytest.param("out-of-memory:once", "memory_failures", id="out of memory once"),
        pytest.param("node-error:once", "infrastructure_failures", id="node error once"),
        pytest.param("black-image:once", "blank_failures", id="black once"),
        pytest.param("nan-image:once", "blank_failures", id="NaN once"),
        pytest.param("lost-prompt:once", "infrastructure_failures", id="lost prompt once"),
        pytest.param("truncated-file:once", None, id="truncated file once"),
        pytest.param("missing-file:once", None, id="missing file once"),
        pytest.param("lost-event", None, id="lost events"),
        pytest.param("dropped-socket", None, id="dropped socket"),
        pytest.param("slow:factor=3", None, id="slow"),
        pytest.param("slow-file:factor=2", None, id="slow file"),
    ],
)
def test_a_fault_that_passes_ends_in_one_image(
    owner: User, submit: Submit, faulty: Faulty, fault: str, failures: str | None
) -> None:
    simulator = faulty(fault)
    node_for(simulator)
    (job,) = submit(owner)

    run_to_the_end(job)

    assert job.state == JobState.SUCCEEDED, job.error_message
    assert job.images.count() == 1
    assert kinds_of(job) == ["reserve", "settle"]
    assert job.attempt == (2 if failures else 1)
    if failures:
        assert getattr(job, failures) == 1


@pytest.mark.parametrize(
    ("fault", "code", "attempts"),
    [
        pytest.param("out-of-memory", "out_of_memory", 2, id="out of memory"),
        pytest.param("node-error", "node_failed", 3, id="node error"),
        pytest.param("black-image", "blank_image", 2, id="black image"),
        pytest.param("nan-image", "blank_image", 2, id="NaN image"),
        pytest.param("refuse", "graph_refused", 1, id="refused"),
        pytest.param("lost-prompt", "node_failed", 3, id="lost prompt"),
    ],
)
def test_a_fault_that_stays_fails_clearly_and_charges_nothing(
    owner: User, submit: Submit, faulty: Faulty, fault: str, code: str, attempts: int
) -> None:
    node_for(faulty(fault))
    (job,) = submit(owner)

    run_to_the_end(job)

    assert (job.state, job.error_code, job.attempt) == (JobState.FAILED, code, attempts)
    assert "Nothing was charged" in job.error_message
    assert kinds_of(job) == ["refund", "reserve"]
    assert usage_of(owner).used_today == 0
    assert job.images.count() == 0


@pytest.mark.parametrize("fault", ["truncated-file", "missing-file"])
def test_a_file_that_never_comes_whole_fails_without_an_image(
    owner: User, submit: Submit, faulty: Faulty, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.download.PAUSES_S", (0.01, 0.01, 0.01))
    node_for(faulty(fault))
    (job,) = submit(owner)

    run_to_the_end(job)

    assert (job.state, job.error_code) == (JobState.FAILED, "node_failed")
    assert not list(blob_path("images").rglob(f"{job.id}/*"))


@pytest.mark.usefixtures("impatient")
def test_a_node_whose_thread_hangs_is_left_and_gets_nothing_more(
    owner: User, submit: Submit, faulty: Faulty, well: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.prompts.STOP_S", 1.0)
    hanging = node_for(faulty("hang"), "hanging")
    (job,) = submit(owner)
    claim = job_claim()
    assert claim is not None

    attempt(claim)

    hanging.refresh_from_db()
    assert hanging.health == NodeHealth.STUCK
    assert job_claim() is None
    node_for(well, "well")
    assert run_to_the_end(job).state == JobState.SUCCEEDED
    assert job.infrastructure_failures == 1


@pytest.mark.usefixtures("impatient")
def test_a_prompt_that_moves_but_runs_too_long_is_taken_off_its_node(
    owner: User, submit: Submit, faulty: Faulty
) -> None:
    simulator = faulty(step_s=0.3)
    node = node_for(simulator)
    (job,) = submit(owner, steps=50, denoise=1.0)  # fifteen seconds, and a word at every step
    claim = job_claim()
    assert claim is not None
    began_at = time.monotonic()

    attempt(claim)

    ran_s = time.monotonic() - began_at
    assert ran_s >= settings.PENCIL.run_timeout_s
    job.refresh_from_db()
    node.refresh_from_db()
    assert (job.state, job.infrastructure_failures) == (JobState.QUEUED, 1)
    assert node.health == NodeHealth.HEALTHY
    state = simulator.state()
    assert (state["running"], state["pending"]) == ([], [])


@pytest.mark.usefixtures("impatient")
def test_a_prompt_that_waits_too_long_behind_another_goes_back_and_is_dropped(
    owner: User, submit: Submit, faulty: Faulty
) -> None:
    simulator = faulty(step_s=0.3)
    node_for(simulator)
    ahead = _send_long_prompt(client_for(simulator.url))
    (job,) = submit(owner)
    claim = job_claim()
    assert claim is not None

    attempt(claim)

    job.refresh_from_db()
    assert (job.state, job.infrastructure_failures) == (JobState.QUEUED, 1)
    state = simulator.state()
    assert (state["running"], state["pending"]) == ([str(ahead)], [])


def test_a_node_that_dies_is_left_and_the_job_ends_elsewhere(
    owner: User, submit: Submit, faulty: Faulty, well: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt_module, "UNREACHABLE_S", 1.0)
    dying = node_for(faulty("crash"), "dying")
    (job,) = submit(owner)
    claim = job_claim()
    assert claim is not None

    attempt(claim)

    dying.refresh_from_db()
    assert dying.health == NodeHealth.UNREACHABLE
    node_for(well, "well")
    assert run_to_the_end(job).state == JobState.SUCCEEDED


def test_a_cancelled_running_job_leaves_the_node_and_its_neighbour_alone(
    owner: User, stranger: User, submit: Submit, faulty: Faulty
) -> None:
    simulator = faulty(step_s=0.5)
    node_for(simulator)
    (job,) = submit(owner, steps=40, denoise=1.0)
    claim = job_claim()
    assert claim is not None
    thread = threading.Thread(target=_run_in_thread, args=(claim,))
    thread.start()
    _wait_for(lambda: Job.objects.get(id=job.id).state == JobState.RUNNING)
    (neighbour,) = submit(stranger, steps=1, denoise=1.0)

    jobs_cancel([Job.objects.get(id=job.id)])
    thread.join(5)

    job.refresh_from_db()
    assert not thread.is_alive()
    assert job.state == JobState.CANCELLED
    assert kinds_of(job) == ["refund", "reserve"]
    assert run_to_the_end(neighbour).state == JobState.SUCCEEDED


def test_an_orphaned_attempt_is_adopted_and_runs_once(
    owner: User, submit: Submit, faulty: Faulty
) -> None:
    simulator = faulty(step_s=0.3)
    node_for(simulator)
    (job,) = submit(owner)
    claim = job_claim()
    assert claim is not None
    thread = threading.Thread(target=_run_in_thread, args=(claim,))
    thread.start()
    _wait_for(lambda: Job.objects.get(id=job.id).state == JobState.RUNNING)
    attempt_module.draining.set()
    try:
        thread.join(5)
    finally:
        attempt_module.draining.clear()
    assert Job.objects.get(id=job.id).state == JobState.RUNNING

    assert adopt(job.id)

    job.refresh_from_db()
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)
    assert job.images.count() == 1
    assert list(simulator.state()["prompts"].values()) == [1]


def test_adopting_what_was_claimed_and_never_sent_counts_and_queues_it_again(
    owner: User, submit: Submit, well: Simulator
) -> None:
    node_for(well)
    (job,) = submit(owner)
    job_claim()
    Job.objects.filter(id=job.id).update(lease_expires_at=Now())

    assert adopt(job.id)

    job.refresh_from_db()
    assert (job.state, job.infrastructure_failures) == (JobState.QUEUED, 1)


def test_adopting_what_was_sent_and_not_noted_goes_on_with_it(
    owner: User, submit: Submit, faulty: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = faulty()
    node_for(simulator)
    (job,) = submit(owner)
    claim = job_claim()
    assert claim is not None
    dies = DatabaseError("the worker dies here")
    with monkeypatch.context() as patched:
        patched.setattr(Members, "advance", raising(dies))
        attempt(claim)
    assert Job.objects.get(id=job.id).state == JobState.CLAIMED
    Job.objects.filter(id=job.id).update(lease_expires_at=Now())

    assert adopt(job.id)

    job.refresh_from_db()
    assert (job.state, job.attempt, job.infrastructure_failures) == (JobState.SUCCEEDED, 1, 0)
    assert list(simulator.state()["prompts"].values()) == [1]


@pytest.mark.parametrize(
    ("meanwhile", "ends_as"),
    [
        pytest.param(lambda job: job_recall(job.id), JobState.QUEUED, id="recalled"),
        pytest.param(lambda job: jobs_cancel([job]), JobState.CANCELLED, id="cancelled"),
    ],
)
def test_what_is_taken_away_while_its_prompt_is_sent_leaves_the_node(
    owner: User,
    submit: Submit,
    faulty: Faulty,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Callable[[Job], object],
    ends_as: JobState,
) -> None:
    simulator = faulty(step_s=0.2)
    node_for(simulator)
    (job,) = submit(owner, steps=40, denoise=1.0)
    claim = job_claim()
    assert claim is not None
    send = Sending.send

    def send_and_lose(self: Sending, check: Callable[[], None]) -> None:
        send(self, check)
        meanwhile(Job.objects.get(id=job.id))

    monkeypatch.setattr(Sending, "send", send_and_lose)
    attempt(claim)

    job.refresh_from_db()
    assert (job.state, job.infrastructure_failures) == (ends_as, 0)
    _wait_for(lambda: not simulator.state()["running"])
    assert job.images.count() == 0


def test_nobody_adopts_a_job_whose_worker_lives(
    owner: User, submit: Submit, well: Simulator
) -> None:
    node_for(well)
    (job,) = submit(owner)
    job_claim()

    assert not adopt(job.id)

    job.refresh_from_db()
    assert job.state == JobState.CLAIMED


def test_a_worker_that_has_lost_its_lease_ends_without_effects(
    owner: User, submit: Submit, well: Simulator
) -> None:
    node_for(well)
    (job,) = submit(owner)
    claim = job_claim()
    assert claim is not None
    Job.objects.filter(id=job.id).update(lease_expires_at=Now())
    assert lease_take(job.id) is not None
    before = events_of(job)

    attempt(claim)

    job.refresh_from_db()
    assert job.state == JobState.CLAIMED
    assert events_of(job) == before
    assert job.images.count() == 0


def test_a_node_that_is_frozen_is_noticed(
    owner: User, submit: Submit, faulty: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = faulty(step_s=0.5)
    node = node_for(simulator)
    (job,) = submit(owner)
    claim = job_claim()
    assert claim is not None
    simulator.process.send_signal(signal.SIGSTOP)
    monkeypatch.setattr("workers.clients.TIMEOUTS", Timeouts(read_s=0.5, upload_read_s=0.5))

    attempt(claim)

    node.refresh_from_db()
    job.refresh_from_db()
    assert node.health == NodeHealth.UNREACHABLE
    assert (job.state, job.infrastructure_failures) == (JobState.QUEUED, 1)


def test_a_black_node_is_quarantined_and_its_jobs_are_made_again_elsewhere(
    owner: User, submit: Submit, faulty: Faulty, well: Simulator
) -> None:
    black = node_for(faulty("black-image"), "black")
    jobs = [*submit(owner), *submit(owner)]
    claims = [job_claim(), job_claim()]
    node_for(well, "well")
    for claim in claims:
        assert claim is not None
        attempt(claim)

    black.refresh_from_db()
    assert black.health == NodeHealth.QUARANTINED
    for job in jobs:
        assert run_to_the_end(job, attempts=1).state in {JobState.SUCCEEDED, JobState.QUEUED}
    for job in jobs:
        job.refresh_from_db()
        assert (job.state, job.blank_failures) == (JobState.SUCCEEDED, 1)
        assert kinds_of(job) == ["reserve", "settle"]


def test_a_job_that_no_attempt_can_begin_ends(owner: User, submit: Submit, well: Simulator) -> None:
    node_for(well)
    (job,) = submit(owner)
    impossible = {**job.params, "mode": "upscale", "variation": 1}  # nothing varies there
    Job.objects.filter(id=job.id).update(params=impossible, workflow="upscale")

    run_to_the_end(job)

    assert (job.state, job.infrastructure_failures) == (JobState.FAILED, 2)
    assert kinds_of(job) == ["refund", "reserve"]


def test_a_disabled_node_gives_its_job_back_uncounted(
    owner: User, submit: Submit, faulty: Faulty, well: Simulator
) -> None:
    simulator = faulty(step_s=0.5)
    node = node_for(simulator)
    (job,) = submit(owner, steps=40, denoise=1.0)
    claim = job_claim()
    assert claim is not None
    thread = threading.Thread(target=_run_in_thread, args=(claim,))
    thread.start()
    _wait_for(lambda: Job.objects.get(id=job.id).state == JobState.RUNNING)

    node_set_duty(node.pk, NodeDuty.DISABLED)
    thread.join(5)

    job.refresh_from_db()
    assert (job.state, job.infrastructure_failures) == (JobState.QUEUED, 0)
    assert not simulator.state()["pending"]


def test_live_frames_carry_their_lane(owner: User, submit: Submit, well: Simulator) -> None:
    node_for(well)
    batch, *_ = submit(owner, count=2)
    (live,) = submit(owner, lane=Lane.LIVE)

    claim = job_claim()

    assert claim is not None
    assert claim.job.id == live.id
    assert batch.lane == Lane.BATCH


def _send_long_prompt(client: ComfyClient) -> UUID:
    """Have a node work for fifteen seconds on something that is no job of ours."""
    prompt_id = uuid4()
    sketch = client.upload_image(sketch_png())
    order = Order(
        prompt_id=prompt_id,
        workflow=Workflow.PAINT,
        sketch=sketch.reference,
        prompt="",
        denoise=1.0,
        steps=50,
        seed=1,
        width=512,
        height=512,
    )
    client.submit(graph_build(order, STOCK).graph, prompt_id=prompt_id)
    return prompt_id


def _run_in_thread(claim: Any) -> None:
    try:
        attempt(claim)
    finally:
        connections.close_all()


def _wait_for(condition: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.02)
