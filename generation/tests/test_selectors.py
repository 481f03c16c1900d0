"""What a caller may see: all of their own, nothing of anybody else's, page by page."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
import redis
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from generation.exceptions import InvalidInput, NotFound
from generation.models import Batch, Event, EventStream, GeneratedImage, Job, Node
from generation.places import queue_shape_forget
from generation.previews import Progress, progress_put
from generation.selectors import (
    PAGE,
    REPLAY_MAX,
    batch_jobs,
    events_after,
    image_get,
    job_describe,
    job_get,
    job_list,
    jobs_active,
    jobs_by_id,
    jobs_queued,
    snapshot,
)
from generation.states import ACTIVE, ON_NODE, TERMINAL, JobState, Lane
from generation.tests.stages import bring
from usage.models import User

Submit = Callable[..., list[Job]]


def ended_jobs(user: User, submit: Submit, count: int) -> list[Job]:
    """Jobs that were cancelled, made without the cost of a submission each."""
    (pattern,) = submit(user)
    batch = Batch.objects.create(user=user)
    now = timezone.now()
    return Job.objects.bulk_create(
        Job(
            batch=batch,
            user=user,
            index=index,
            lane=Lane.BATCH,
            params=pattern.params,
            sketch=pattern.sketch,
            state=JobState.CANCELLED,
            created_at=now - timedelta(seconds=count - index),
            finished_at=now,
        )
        for index in range(count)
    )


def all_pages(user: User, *, state: str = "") -> list[str]:
    """The ids of the jobs of all pages."""
    ids: list[str] = []
    cursor = ""
    for _ in range(20):
        page = job_list(user, state=state, cursor=cursor)
        ids += [job["id"] for job in page.jobs]
        if page.next is None:
            return ids
        assert len(page.jobs) == PAGE
        cursor = page.next
    raise AssertionError("the pages do not end")


# --- Whose ---


def test_a_job_is_found_by_its_owner_alone(owner: User, stranger: User, submit: Submit) -> None:
    (job,) = submit(owner)

    assert job_get(owner, job.id) == job
    with pytest.raises(NotFound):
        job_get(stranger, job.id)


def test_an_image_is_found_by_its_owner_alone(
    owner: User, stranger: User, node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)
    bring(job, node, JobState.SUCCEEDED)
    image = GeneratedImage.objects.get()

    assert image_get(owner, image.id) == image
    with pytest.raises(NotFound):
        image_get(stranger, image.id)


def test_lists_hold_the_callers_own_alone(owner: User, stranger: User, submit: Submit) -> None:
    own, others = submit(owner, count=2), submit(stranger, count=2)
    everybodys = [job.id for job in (*own, *others)]
    own_ids = {job.id for job in own}

    assert {job["id"] for job in job_list(owner).jobs} == {str(i) for i in own_ids}
    assert {job.id for job in jobs_active(owner)} == own_ids
    assert {job.id for job in jobs_queued(owner)} == own_ids
    assert {job.id for job in jobs_by_id(owner, everybodys)} == own_ids
    assert batch_jobs(owner, others[0].batch_id) == []
    assert {job["id"] for job in snapshot(owner, since=0).jobs} == {str(i) for i in own_ids}
    assert len(snapshot(owner, since=0).missed) == 2
    assert len(events_after(owner, 0)) == 2


# --- Pages ---


@pytest.mark.parametrize("count", [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 2 * PAGE + 3])
def test_pages_hold_every_job_once_newest_first(
    owner: User, stranger: User, submit: Submit, count: int
) -> None:
    jobs = ended_jobs(owner, submit, count)
    ended_jobs(stranger, submit, 3)

    assert all_pages(owner, state="finished") == [str(job.id) for job in reversed(jobs)]


def test_pages_have_no_gaps_or_repeats_among_jobs_of_one_instant(
    owner: User, submit: Submit
) -> None:
    jobs = ended_jobs(owner, submit, 3 * PAGE + 1)
    Job.objects.update(created_at=timezone.now())

    ids = all_pages(owner, state="finished")

    assert len(ids) == len(set(ids))
    assert set(ids) == {str(job.id) for job in jobs}


def test_a_new_job_between_two_pages_moves_nothing(owner: User, submit: Submit) -> None:
    jobs = ended_jobs(owner, submit, PAGE + 5)
    first = job_list(owner, state="finished")
    ended_jobs(owner, submit, 3)

    second = job_list(owner, state="finished", cursor=first.next or "")

    assert [job["id"] for job in second.jobs] == [str(job.id) for job in reversed(jobs[:5])]


@pytest.mark.parametrize(
    ("name", "states"),
    [("active", ACTIVE), ("finished", TERMINAL), *((state, {state}) for state in JobState)],
    ids=["active", "finished", *JobState],
)
def test_a_list_is_filtered_by_state(
    owner: User, node: Node, submit: Submit, name: str, states: set[JobState]
) -> None:
    for job, state in zip(submit(owner, count=len(JobState)), JobState, strict=True):
        bring(job, node, state)

    assert {job["state"] for job in job_list(owner, state=name).jobs} == set(states)


@pytest.mark.parametrize("state", ["nonsense", "QUEUED", "queued,failed", "\0"])
def test_an_unknown_state_is_refused(owner: User, state: str) -> None:
    with pytest.raises(InvalidInput, match="state"):
        job_list(owner, state=state)


def cursor_of(text: str) -> str:
    """A cursor that says this."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


BAD_CURSORS = {
    "nonsense": "nonsense",
    "not base64": "!!!!",
    "not ASCII": "zürück",
    "a lone surrogate": "\ud800",
    "bytes": base64.urlsafe_b64encode(b"\xff\xfe\xfd").decode(),
    "no id": cursor_of("2026-01-01T00:00:00+00:00"),
    "no time": cursor_of(f" {uuid4()}"),
    "no zone": cursor_of(f"2026-01-01T00:00:00 {uuid4()}"),
    "no such day": cursor_of(f"2026-02-31T00:00:00+00:00 {uuid4()}"),
    "a day alone": cursor_of(f"2026-02-28 {uuid4()}"),
    "not a UUID": cursor_of("2026-01-01T00:00:00+00:00 7"),
    "before the first year": cursor_of(f"0001-01-01T00:00:00+14:00 {uuid4()}"),
    "after the last year": cursor_of(f"9999-12-31T23:59:59-14:00 {uuid4()}"),
    "a digit too few": cursor_of(f"2026-01-01T00:00:00+00:00 {uuid4()}")[:-1],
}


@pytest.mark.parametrize("cursor", BAD_CURSORS.values(), ids=BAD_CURSORS)
def test_a_bad_cursor_is_refused_by_name(owner: User, cursor: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        job_list(owner, cursor=cursor)


# --- How jobs are described ---


def test_a_waiting_job_has_its_place(owner: User, stranger: User, submit: Submit) -> None:
    submit(stranger, count=2)
    (job,) = submit(owner)

    described = job_describe(job)

    assert described["position"] == 1  # they take turns
    assert described["eta_s"] is not None


@pytest.mark.parametrize("state", [*sorted(ON_NODE), *sorted(TERMINAL)], ids=str)
def test_progress_is_shown_while_the_node_works(
    valkey: redis.Redis, owner: User, node: Node, submit: Submit, state: JobState
) -> None:
    (job,) = submit(owner)
    bring(job, node, state)
    progress_put(job.id, Progress(2, 4, 1), preview=b"jpeg")

    described = job_describe(job)

    shown = {"step": 2, "steps": 4} if state in ON_NODE else None
    assert described["progress"] == shown
    assert (described["preview_url"] is not None) is (state in ON_NODE)
    assert described["position"] is None


def test_a_list_costs_the_same_for_many_finished_jobs(
    owner: User, node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)
    bring(job, node, JobState.SUCCEEDED)
    with CaptureQueriesContext(connection) as few:
        job_list(owner)
    for job in submit(owner, count=10):
        bring(job, node, JobState.SUCCEEDED)
    with CaptureQueriesContext(connection) as many:
        page = job_list(owner)

    assert len(page.jobs) == 11
    assert len(many) == len(few)


def test_a_list_costs_the_same_for_many_waiting_jobs(owner: User, submit: Submit) -> None:
    submit(owner)
    with CaptureQueriesContext(connection) as few:
        job_list(owner)
    submit(owner, count=30)
    queue_shape_forget()
    with CaptureQueriesContext(connection) as many:
        job_list(owner)

    assert len(many) == len(few)


# --- The snapshot ---


def test_the_first_snapshot_of_a_new_user_is_empty(owner: User) -> None:
    state = snapshot(owner, since=None)

    assert (state.seq, state.jobs, state.missed) == (0, [], [])


def test_a_snapshot_holds_every_active_job_and_the_latest(owner: User, submit: Submit) -> None:
    old = submit(owner, count=3)
    Job.objects.filter(user=owner).update(created_at=timezone.now() - timedelta(days=1))
    latest = ended_jobs(owner, submit, PAGE + 10)

    ids = [job["id"] for job in snapshot(owner, since=None).jobs]

    assert {str(job.id) for job in old} <= set(ids)
    assert {str(job.id) for job in latest[-(PAGE - 1) :]} <= set(ids)
    assert len(ids) == len(set(ids))
    assert str(latest[0].id) not in ids


def test_a_snapshot_replays_what_came_after(owner: User, submit: Submit) -> None:
    submit(owner, count=5)

    state = snapshot(owner, since=2)

    assert state.seq == 5
    assert [seq for seq, _ in state.missed] == [3, 4, 5]


@pytest.mark.parametrize("since", [5, 6, 10**17])
def test_whoever_has_seen_everything_missed_nothing(
    owner: User, submit: Submit, since: int
) -> None:
    submit(owner, count=5)

    assert snapshot(owner, since=since).missed == []


def numbered_events(user: User, first: int, last: int) -> None:
    """Rows of events from one number to another, made without their jobs."""
    Event.objects.bulk_create(
        Event(user=user, seq=seq, type="job.queued", job_id=uuid4(), payload={})
        for seq in range(first, last + 1)
    )


def test_a_replay_that_would_be_too_long_leaves_no_gap(owner: User, submit: Submit) -> None:
    submit(owner)
    numbered_events(owner, 2, REPLAY_MAX + 20)
    EventStream.objects.filter(user=owner).update(last_seq=REPLAY_MAX + 20)

    state = snapshot(owner, since=0)

    # The snapshot stands for what is not replayed; half a replay would be a gap.
    assert state.missed == [] or state.missed[-1][0] == state.seq


def test_a_replay_of_events_that_were_swept_leaves_no_gap(owner: User, submit: Submit) -> None:
    submit(owner, count=10)
    Event.objects.filter(user=owner, seq__lte=6).delete()

    state = snapshot(owner, since=3)

    assert state.missed == [] or state.missed[0][0] == 4


def test_events_are_found_in_order_up_to_a_limit(owner: User, submit: Submit) -> None:
    submit(owner)
    numbered_events(owner, 2, REPLAY_MAX + 20)

    found = [seq for seq, _ in events_after(owner, 0)]

    assert found == list(range(1, REPLAY_MAX + 1))
