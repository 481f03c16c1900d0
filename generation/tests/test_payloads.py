"""A job as JSON: the same shape in every state, with nothing of the inside in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

import pytest

from generation.models import GeneratedImage, Job, Node
from generation.payloads import JobPayload, job_payload
from generation.previews import Progress
from generation.states import JobState, Lane
from generation.tests.stages import bring
from generation.transitions import job_cancel_request
from usage.models import User

Submit = Callable[..., list[Job]]


@pytest.mark.parametrize("state", JobState, ids=str)
def test_a_job_has_the_same_fields_in_every_state(
    owner: User, node: Node, submit: Submit, state: JobState
) -> None:
    (job,) = submit(owner)
    lease = bring(job, node, state)

    payload = job_payload(job, GeneratedImage.objects.filter(job=job))

    assert set(payload) == set(JobPayload.__annotations__)
    assert payload["state"] == state
    assert payload["charged"] is (state == JobState.SUCCEEDED)
    assert (payload["error"] is not None) is (state == JobState.FAILED)
    assert len(payload["images"]) == (state == JobState.SUCCEEDED)
    assert (payload["finished_at"] is not None) is (
        state in {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}
    )
    text = json.dumps(payload)
    assert str(lease.token) not in text
    assert node.url not in text


def test_times_name_their_zone(owner: User, node: Node, submit: Submit) -> None:
    (job,) = submit(owner)
    bring(job, node, JobState.SUCCEEDED)

    payload = job_payload(job)

    for time in (payload["created_at"], payload["started_at"], payload["finished_at"]):
        assert time is not None
        assert datetime.fromisoformat(time).utcoffset() is not None


@pytest.mark.parametrize(("lane", "name"), [(Lane.LIVE, "live"), (Lane.BATCH, "batch")])
def test_a_lane_goes_by_its_name(owner: User, submit: Submit, lane: Lane, name: str) -> None:
    (job,) = submit(owner, lane=lane)

    assert job_payload(job)["lane"] == name


def test_the_parameters_are_what_was_asked_for(owner: User, submit: Submit) -> None:
    (job,) = submit(owner, prompt="an owl", seed=11, denoise=0.5, steps=9, width=688, height=384)

    payload = job_payload(job)

    assert payload["seed"] == 11
    assert payload["params"] == {
        "prompt": "an owl",
        "negative_prompt": "",
        "mode": "paint",
        "model": "distilled",
        "variation": 0,
        "references": 0,
        "anchored": False,
        "denoise": 0.5,
        "steps": 9,
        "width": 688,
        "height": 384,
    }


def test_a_preview_has_an_address_once_there_is_one(owner: User, submit: Submit) -> None:
    (job,) = submit(owner)

    without = job_payload(job, progress=Progress(1, 4, 0))
    first = job_payload(job, progress=Progress(2, 4, 1))
    second = job_payload(job, progress=Progress(3, 4, 2))

    assert without["progress"] == {"step": 1, "steps": 4}
    assert without["preview_url"] is None
    assert first["preview_url"] == f"/api/jobs/{job.id}/preview?n=1"
    assert first["preview_url"] != second["preview_url"]


def test_a_requested_cancellation_is_visible(owner: User, node: Node, submit: Submit) -> None:
    (job,) = submit(owner)
    bring(job, node, JobState.RUNNING)

    job_cancel_request(job.id)

    assert job_payload(Job.objects.get(id=job.id))["cancel_requested"] is True
