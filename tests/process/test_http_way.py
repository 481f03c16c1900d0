"""A program's way: a token, a sketch, a job, an image."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.process.api import Api
from tests.process.pictures import contrast, hue_distance, hue_of, size_of, sketch
from tests.process.stack import Stack

pytestmark = pytest.mark.process

JOBS, USERS = 30, 8
# Thirty hues lie a thirtieth apart: the image's must be nearer to its own sketch's than to others'.
NEAR = 1 / 60


def test_a_sketch_becomes_an_image_that_follows_it(stack: Stack) -> None:
    api = stack.user("follower")

    (job,) = api.generate(sketch(0.6), width=640, height=512, seed=7)
    job = api.wait(job["id"])

    assert job["state"] == "succeeded", job
    image = api.image(job)
    assert size_of(image) == (640, 512)
    assert (job["images"][0]["width"], job["images"][0]["height"]) == (640, 512)
    assert hue_distance(hue_of(image), 0.6) < 0.05
    assert contrast(image) > 20, "the block that was drawn is not in the image"
    assert job["charged"] is True
    assert api.used_today() == 1


def test_thumbnail_and_sketch_of_a_job_can_be_fetched(stack: Stack) -> None:
    api = stack.user("follower")
    (job,) = api.generate(sketch(0.3))
    job = api.wait(job["id"])

    thumbnail = api.get(job["images"][0]["thumbnail_url"])
    drawn = api.get(job["sketch_url"])

    assert thumbnail.headers["Content-Type"] == "image/webp"
    assert max(size_of(thumbnail.content)) <= 320
    assert hue_distance(hue_of(drawn.content), 0.3) < 0.01


def test_a_retry_is_the_same_job_again(stack: Stack) -> None:
    api = stack.user("retrier")
    (job,) = api.generate(sketch(0.1), seed=11)
    api.post(f"/api/jobs/{job['id']}/cancel")
    ended = api.wait(job["id"])
    if ended["state"] == "succeeded":
        pytest.fail("the job was done before it could be cancelled; slow the simulator down")

    answer = api.post(f"/api/jobs/{job['id']}/retry")

    assert answer.status_code == 202, answer.text
    again = answer.json()
    assert again["id"] != job["id"]
    assert again["seed"] == 11
    assert api.wait(again["id"])["state"] == "succeeded"


def test_thirty_jobs_of_eight_users_at_once_each_get_their_own_sketch(stack: Stack) -> None:
    users = stack.users(*(f"crowd-{number}" for number in range(USERS)))
    work = [(users[number % USERS], number / JOBS) for number in range(JOBS)]

    with ThreadPoolExecutor(JOBS) as pool:
        ended = list(pool.map(_draw, work))

    problems = [job["error"] for job, _ in ended if job["state"] != "succeeded"]
    assert problems == []
    strays = {
        number: round(hue_of(image), 3)
        for number, (_, image) in enumerate(ended)
        if hue_distance(hue_of(image), number / JOBS) > NEAR
    }
    assert strays == {}, "images with the colour of another's sketch"
    assert sum(user.used_today() for user in users) == JOBS


def _draw(work: tuple[Api, float]) -> tuple[dict[str, Any], bytes]:
    api, hue = work
    (job,) = api.generate(sketch(hue), prompt="a block of colour", seed=1)
    job = api.wait(job["id"], within_s=180)
    return job, api.image(job) if job["state"] == "succeeded" else b""
