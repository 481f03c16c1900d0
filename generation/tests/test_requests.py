"""What a request may ask for beyond painting over a sketch, and what it may not."""

from __future__ import annotations

import base64
import json
import os
from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from conftest import sketch_png
from generation.models import BatchPicture, GeneratedImage, Job, Node
from generation.services import job_retry, jobs_cancel
from generation.states import JobState
from generation.storage import blob_path, blob_write
from generation.tasks import sweep
from generation.tests.stages import bring
from generation.transitions import StoredImage, job_succeed
from usage.models import User

pytestmark = pytest.mark.django_db

A_WEEK_S = 7 * 24 * 3600


def picture(color: str = "red", side_px: int = 512) -> str:
    return base64.b64encode(sketch_png(color, (side_px, side_px))).decode()


def asked(api: APIClient, **fields: Any) -> Any:
    body = {"sketch": picture(), "prompt": "a house", **fields}
    return api.post("/api/generate", json.dumps(body), content_type="application/json")


def accepted(api: APIClient, **fields: Any) -> Job:
    response = asked(api, **fields)
    assert response.status_code == 202, response.json()
    return Job.objects.get(id=response.json()["jobs"][0]["id"])


def image_of(user: User, node: Node, submit: Any, *, side_px: int = 512) -> GeneratedImage:
    """A finished image of somebody's."""
    (job,) = submit(user, width=side_px, height=side_px)
    lease = bring(job, node, JobState.SAVING)
    name = f"images/{job.id}.png"
    blob_write(name, sketch_png("navy", (side_px, side_px)))
    stored = StoredImage(name, name, "image/png", side_px, side_px, 1)
    assert job_succeed(lease, [stored], execution_s=None)
    return GeneratedImage.objects.get(job=job)


ANCHOR = {"image": picture(), "mask": picture("white")}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "follow with a strength": ({"mode": "follow", "denoise": 0.5}, "denoise"),
    "hd with a width": ({"mode": "hd", "width": 1024}, "width"),
    "hd with a height": ({"mode": "hd", "height": 1024}, "height"),
    "hd of several": ({"mode": "hd", "count": 2}, "count"),
    "upscale with a strength": ({"mode": "upscale", "denoise": 0.1}, "denoise"),
    "upscale with steps": ({"mode": "upscale", "steps": 4}, "steps"),
    "upscale with a model": ({"mode": "upscale", "model": "base"}, "model"),
    "upscale with a variation": ({"mode": "upscale", "variation": 1}, "variation"),
    "a model that is none": ({"model": "huge"}, "model"),
    "a negative prompt that nobody hears": ({"negative_prompt": "rain"}, "negative_prompt"),
    "a negative prompt too long": (
        {"model": "base", "negative_prompt": "x" * 2001},
        "negative_prompt",
    ),
    "references for paint": ({"references": [picture()]}, "references"),
    "four references": ({"mode": "follow", "references": [picture()] * 4}, "references"),
    "a reference that is none": ({"mode": "follow", "references": ["aGk="]}, "references"),
    "an anchor for hd": ({"mode": "hd", "anchor": ANCHOR}, "anchor"),
    "an anchor without a mask": ({"anchor": {"image": picture()}}, "anchor"),
    "an anchor of another size": (
        {"anchor": {**ANCHOR, "mask": picture("white", 256)}},
        "anchor.mask",
    ),
    "variation 4": ({"variation": 4}, "variation"),
    "variation -1": ({"variation": -1}, "variation"),
    "an image without an id": ({"sketch": "image:"}, "sketch"),
    "an image of nobody": ({"sketch": f"image:{uuid4()}"}, "sketch"),
    "hd of what is too large": ({"mode": "hd", "sketch": picture(side_px=1552)}, "sketch"),
}


@pytest.mark.parametrize(("fields", "name"), REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_is_refused_by_name_and_makes_no_job(
    api: APIClient, fields: dict[str, Any], name: str
) -> None:
    response = asked(api, **fields)

    assert response.status_code == 400
    assert response.json()["code"] == "invalid"
    assert name in response.json()["extra"]["fields"], response.json()
    assert not Job.objects.exists()


def test_a_follow_with_references_keeps_their_pictures(api: APIClient) -> None:
    job = accepted(api, mode="follow", references=[picture("green"), picture("blue")])

    assert job.workflow == "follow"
    assert len(set(job.parameters.references)) == 2
    assert all(blob_path(name).exists() for name in job.parameters.references)
    kept = BatchPicture.objects.filter(batch=job.batch).values_list("name", flat=True)
    assert set(kept) == set(job.parameters.references)


def test_the_base_model_takes_its_own_steps_and_a_negative_prompt(api: APIClient) -> None:
    job = accepted(api, model="base", negative_prompt="rain")

    assert (job.workflow, job.parameters.steps) == ("paint-base", 20)
    assert job.parameters.negative_prompt == "rain"


def test_an_anchor_is_kept_with_its_mask(api: APIClient) -> None:
    job = accepted(api, anchor=ANCHOR)

    assert job.workflow == "paint-anchor"
    assert blob_path(job.parameters.anchor_image).exists()
    assert blob_path(job.parameters.anchor_mask).exists()


@pytest.mark.parametrize("mode", ["hd", "upscale"])
def test_a_finished_image_is_made_twice_as_large(
    api: APIClient, owner: User, node: Node, submit: Any, mode: str
) -> None:
    image = image_of(owner, node, submit)

    job = accepted(api, mode=mode, sketch=f"image:{image.id}")

    assert (job.workflow, job.parameters.width, job.parameters.height) == (mode, 1024, 1024)


def test_somebody_elses_image_is_no_image(
    api: APIClient, stranger: User, node: Node, submit: Any
) -> None:
    image = image_of(stranger, node, submit)

    response = asked(api, sketch=f"image:{image.id}")

    assert response.status_code == 400
    assert response.json()["extra"]["fields"] == {"sketch": ["You have no such image."]}


@pytest.mark.parametrize(
    ("fields", "name"), [({"model": "base"}, "model"), ({"mode": "follow"}, "mode")]
)
def test_what_no_machine_can_make_is_refused_while_one_works(
    api: APIClient, node: Node, fields: dict[str, str], name: str
) -> None:
    Node.objects.update(workflows=["paint"])

    assert asked(api, **fields).json()["extra"]["fields"].keys() == {name}
    Node.objects.update(health="unreachable")
    assert asked(api, **fields).status_code == 202  # it may wait for one


def test_what_was_accepted_under_a_key_stays_so_when_the_machine_is_gone(
    api: APIClient, node: Node
) -> None:
    Node.objects.update(workflows=["paint", "follow"])
    body = json.dumps({"sketch": picture(), "prompt": "a house", "mode": "follow"})

    def post() -> Any:
        return api.post(
            "/api/generate",
            body,
            content_type="application/json",
            headers={"Idempotency-Key": "once"},
        )

    first = post()
    Node.objects.update(workflows=["paint"])

    assert (first.status_code, post().json()) == (202, first.json())


def test_a_retry_names_the_same_pictures(api: APIClient, owner: User) -> None:
    job = accepted(api, mode="follow", references=[picture("green")], anchor=ANCHOR)
    jobs_cancel([job])
    job.refresh_from_db()

    again = Job.objects.get(id=job_retry(owner, job)["jobs"][0]["id"])

    assert again.parameters == job.parameters
    names = BatchPicture.objects.filter(batch=again.batch).values_list("name", flat=True)
    assert set(names) == set(job.parameters.blobs)


def test_pictures_that_a_job_needs_outlive_the_sweep(api: APIClient) -> None:
    job = accepted(api, mode="follow", references=[picture("green")], anchor=ANCHOR)
    stray = "sketches/1/aa/stray.png"
    blob_write(stray, b"x")
    for name in (job.sketch, *job.parameters.blobs, stray):
        old = blob_path(name).stat().st_mtime - A_WEEK_S
        os.utime(blob_path(name), (old, old))

    sweep()

    assert all(blob_path(name).exists() for name in (job.sketch, *job.parameters.blobs))
    assert not blob_path(stray).exists()


def test_files_of_attempts_that_ended_otherwise_are_swept_in_time(
    owner: User, node: Node, submit: Any
) -> None:
    kept = image_of(owner, node, submit)
    name = f"images/ab/{kept.job_id}/1-0.webp"
    GeneratedImage.objects.filter(pk=kept.pk).update(file=name, thumbnail=f"{name}.thumbnail.webp")
    stray, young = f"images/ab/{kept.job_id}/2-0.webp", f"images/ab/{uuid4()}/1-0.webp"
    for each in (name, f"{name}.thumbnail.webp", stray, young):
        blob_write(each, b"x")
    for each in (name, f"{name}.thumbnail.webp", stray):
        old = blob_path(each).stat().st_mtime - A_WEEK_S
        os.utime(blob_path(each), (old, old))

    sweep()

    there = (name, f"{name}.thumbnail.webp", stray, young)
    assert [blob_path(each).exists() for each in there] == [True, True, False, True]
