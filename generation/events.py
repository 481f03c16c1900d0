"""Events: what happened to a user's jobs, numbered without gaps; and progress, not kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from django.db import transaction

from generation.models import Event, EventStream, GeneratedImage, Job, Node
from generation.payloads import EventPayload, job_payload, preview_url
from generation.previews import Progress
from generation.publisher import STAFF_GROUP, publish, publish_to
from generation.states import TERMINAL
from usage.upserts import counter_add, insert_next, inserted
from usage.writes import Write, write_together


def events_record(
    user_id: int,
    type_: str,
    jobs: Sequence[Job],
    images: Iterable[GeneratedImage] = (),
    *,
    writes: Sequence[Write] = (),
    provided: int | None = None,
) -> list[int]:
    """Number and keep one event a job, and publish them on commit; `images` are the job's, if any.

    The end of a job is told at once; whatever else there is may wait for it. `writes` are what
    makes it so: they are run before, and go with a single event in one message. Returns how many
    rows each changed. If the one whose place is `provided` changed none, the single event is no
    event.

    Call inside the transaction that makes it so. The stream's row is locked from here to the
    commit, so a user's events are committed in the order of their numbers.
    """

    def payload(job: Job) -> EventPayload:
        return {"type": type_, "job": job_payload(job, images)}

    events = [
        Event(user_id=user_id, type=type_, job_id=job.id, payload=payload(job)) for job in jobs
    ]
    counts = _number(user_id, events, writes, provided)
    if provided is not None and not counts[provided]:
        return counts
    for event, job in zip(events, jobs, strict=True):
        message = {"type": "job.event", "seq": event.seq, "event": event.payload}
        is_urgent = job.state in TERMINAL
        transaction.on_commit(partial(publish, user_id, message, is_urgent=is_urgent))
    return counts


def _number(
    user_id: int, events: Sequence[Event], writes: Sequence[Write], provided: int | None
) -> list[int]:
    """Give the events the next numbers of the user's stream, and insert them after `writes`."""
    if len(events) == 1:  # as nearly always
        (event,) = events
        return insert_next(
            event, "seq", EventStream, "last_seq", *writes, provided=provided, user_id=user_id
        )
    assert provided is None
    counts = write_together(*writes) if writes else []
    if not events:
        return counts
    last_seq = counter_add(EventStream, "last_seq", len(events), user_id=user_id)
    for seq, event in enumerate(events, start=last_seq - len(events) + 1):
        event.seq = seq
    inserted(events).run()
    return counts


def progress_publish(job: Job, progress: Progress) -> None:
    """Tell the owner's sockets how far a job is; nothing is stored."""
    message: dict[str, Any] = {
        "type": "job.progress",
        "job_id": str(job.id),
        "step": progress.step,
        "steps": progress.steps,
        "preview_url": preview_url(job, progress),
    }
    publish(job.user_id, message)


def node_publish(node: Node) -> None:
    """Tell staff's sockets what became of a node; nothing is stored."""
    message = {
        "type": "node.changed",
        "node": {
            "id": node.pk,
            "name": node.name,
            "duty": node.duty,
            "health": node.health,
            "problem": node.problem,
        },
    }
    publish_to(STAFF_GROUP, message)
