"""Events: what happened to a user's jobs, numbered without gaps; and progress, not kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from django.db import transaction

from generation.models import Event, EventStream, Job, Node
from generation.payloads import EventPayload, job_payload, preview_url
from generation.previews import Progress
from generation.publisher import STAFF_GROUP, publish, publish_to
from generation.states import JobState
from usage.upserts import counter_add


def events_record(user_id: int, type_: str, jobs: Sequence[Job]) -> None:
    """Number and keep one event a job, and publish them on commit.

    Call inside the transaction that makes it so. The stream's row is locked from here to the
    commit, so a user's events are committed in the order of their numbers.
    """
    last_seq = counter_add(EventStream, "last_seq", len(jobs), user_id=user_id)
    events = [
        Event(user_id=user_id, seq=seq, type=type_, job_id=job.id, payload=_payload(type_, job))
        for seq, job in enumerate(jobs, start=last_seq - len(jobs) + 1)
    ]
    Event.objects.bulk_create(events)
    for event in events:
        message = {"type": "job.event", "seq": event.seq, "event": event.payload}
        transaction.on_commit(partial(publish, user_id, message))


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


def _payload(type_: str, job: Job) -> EventPayload:
    images = job.images.order_by("index") if job.state == JobState.SUCCEEDED else ()
    return {"type": type_, "job": job_payload(job, images)}
