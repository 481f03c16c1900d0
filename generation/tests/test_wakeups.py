"""Wake-ups: they reach the queue, and a broker that is away costs nobody anything."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import redis
from django.db import connection
from pytest_django import DjangoCaptureOnCommitCallbacks

from generation import wakeups
from generation.models import Job
from generation.tests.processes import REDIS_AWAY, python_run
from generation.wakeups import JOBS_WAIT, TASK_ADOPT, TASK_RUN, wake
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


def test_a_wake_up_for_what_workers_have_heard_of_goes_later(
    valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "has_notices", lambda: True)
    monkeypatch.setattr(wakeups, "NOTICED_S", 0.3)
    job_id, began_at = uuid4(), time.monotonic()

    wake(job_id, are_noticed=True)
    took_s = time.monotonic() - began_at

    assert next_message(valkey)["arguments"] == [str(job_id)]
    assert took_s < 0.3 <= time.monotonic() - began_at


def test_where_nobody_can_hear_a_wake_up_goes_at_once(
    valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "has_notices", lambda: False)
    monkeypatch.setattr(wakeups, "NOTICED_S", 60.0)
    job_id = uuid4()

    wake(job_id, are_noticed=True)

    assert next_message(valkey)["arguments"] == [str(job_id)]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("count", [1, 3])
def test_workers_hear_of_an_accepted_job(
    owner: User, submit: Callable[..., list[Job]], count: int
) -> None:
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as listener:
        listener.execute(f"LISTEN {JOBS_WAIT}")

        submit(owner, count=count)

        assert len(list(listener.notifies(timeout=30, stop_after=1))) == 1


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
