"""Previews and progress: in Redis for a while, and lost without harm."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import redis

from generation.previews import LIFE_S, Progress, preview_get, progress_get, progress_put
from generation.tests.processes import REDIS_AWAY, python_run


def test_progress_is_found_by_its_job(valkey: redis.Redis) -> None:
    first, second, none = uuid4(), uuid4(), uuid4()

    assert progress_put(first, Progress(1, 4, 0))
    assert progress_put(second, Progress(3, 4, 2))

    assert progress_get([first, none, second]) == {
        first: Progress(1, 4, 0),
        second: Progress(3, 4, 2),
    }


def test_the_newest_progress_counts(valkey: redis.Redis) -> None:
    job_id = uuid4()
    progress_put(job_id, Progress(1, 4, 0))

    progress_put(job_id, Progress(2, 4, 1), preview=b"jpeg")

    assert progress_get([job_id]) == {job_id: Progress(2, 4, 1)}
    assert preview_get(job_id) == b"jpeg"


def test_progress_without_a_picture_keeps_the_last_one(valkey: redis.Redis) -> None:
    job_id = uuid4()
    progress_put(job_id, Progress(1, 4, 1), preview=b"jpeg")

    progress_put(job_id, Progress(2, 4, 1))

    assert preview_get(job_id) == b"jpeg"


def test_nothing_is_kept_for_ever(valkey: redis.Redis) -> None:
    progress_put(uuid4(), Progress(1, 4, 1), preview=b"jpeg")

    lives: list[Any] = [valkey.ttl(key) for key in valkey.scan_iter()]

    assert len(lives) == 2
    assert all(0 < life <= LIFE_S for life in lives)


def test_a_job_without_a_preview_has_none(valkey: redis.Redis) -> None:
    assert preview_get(uuid4()) is None


def test_asking_for_nothing_asks_nobody() -> None:
    assert progress_get([]) == {}


WITHOUT_REDIS = """
import json, time, uuid, django
django.setup()
from generation.previews import Progress, preview_get, progress_get, progress_put
began, job_id = time.monotonic(), uuid.uuid4()
answers = [
    progress_put(job_id, Progress(1, 4, 1), preview=b"x"),
    progress_get([job_id]),
    preview_get(job_id),
]
print(json.dumps({"answers": answers, "took_s": time.monotonic() - began}))
"""


def test_without_redis_there_is_no_preview_and_no_waiting(tmp_path: object) -> None:
    process = python_run("-c", WITHOUT_REDIS, DATA_DIR=str(tmp_path), REDIS_URL=REDIS_AWAY)

    assert process.returncode == 0, process.stderr
    said = json.loads(process.stdout)
    assert said["answers"] == [False, {}, None]
    assert said["took_s"] < 3
