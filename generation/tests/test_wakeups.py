"""Wake-ups: they reach the queue, and a broker that is away costs nobody anything."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from pytest_django import DjangoCaptureOnCommitCallbacks

from generation.models import Job
from generation.tests.processes import REDIS_AWAY, python_run
from generation.wakeups import TASK_ADOPT, TASK_RUN, wake
from usage.models import User


def next_message(valkey: redis.Redis) -> dict[str, Any]:
    """The next message of the workers' queue, with its task's name and arguments."""
    found: Any = valkey.brpop(["generation"], timeout=10)
    assert found is not None, "no message came"
    envelope = json.loads(found[1])
    arguments, *_ = json.loads(base64.b64decode(envelope["body"]))
    return {"task": envelope["headers"]["task"], "arguments": arguments}


@pytest.mark.parametrize("task", [TASK_RUN, TASK_ADOPT])
def test_a_wake_up_names_its_job(valkey: redis.Redis, task: str) -> None:
    job_id = uuid4()

    wake(job_id, task=task)

    assert next_message(valkey) == {"task": task, "arguments": [str(job_id)]}


def test_wake_ups_keep_their_order(valkey: redis.Redis) -> None:
    job_ids = [uuid4() for _ in range(20)]

    for job_id in job_ids:
        wake(job_id)

    assert [UUID(next_message(valkey)["arguments"][0]) for _ in job_ids] == job_ids


def test_an_accepted_job_wakes_a_worker_once_it_is_committed(
    valkey: redis.Redis,
    owner: User,
    submit: Callable[..., list[Job]],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        jobs = submit(owner, count=2)
        assert valkey.llen("generation") == 0

    assert [next_message(valkey)["arguments"] for _ in jobs] == [[str(job.id)] for job in jobs]


WITHOUT_BROKER = """
import time, uuid, django
django.setup()
from generation.wakeups import BACKLOG_MAX, wake
began = time.monotonic()
for _ in range(BACKLOG_MAX + 100):
    wake(uuid.uuid4())
print(time.monotonic() - began)
"""


def test_without_a_broker_waking_neither_raises_nor_waits(tmp_path: object) -> None:
    process = python_run("-c", WITHOUT_BROKER, DATA_DIR=str(tmp_path), REDIS_URL=REDIS_AWAY)

    assert process.returncode == 0, process.stderr
    assert float(process.stdout) < 3
    assert "Traceback" not in process.stderr


def test_several_jobs_are_woken_in_their_order(valkey: redis.Redis) -> None:
    job_ids = [uuid4() for _ in range(128)]

    wake(*job_ids)

    assert [UUID(next_message(valkey)["arguments"][0]) for _ in job_ids] == job_ids
