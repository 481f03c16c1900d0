"""What a claim costs does not grow with the queue: PostgreSQL's own account of its statements."""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import Settings

from conftest import params
from generation.models import Batch, Job, Node, NodeHealth, Share
from generation.scheduling import job_claim
from generation.states import ON_NODE, Lane
from usage.models import User

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

USERS = 200
FEW, MANY = 1_000, 100_000
CHUNK = 5_000
JOBS = "generation_job"
TIMED = 40


@dataclass
class Cost:
    """What one claim's statements touched; `plans` are PostgreSQL's, a statement each."""

    plans: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def buffers(self) -> int:
        """Pages read, from memory or disk."""
        return sum(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for _, plan in self.plans)

    @property
    def job_rows(self) -> int:
        """Rows of jobs that were looked at, those that a filter then dropped too."""
        return sum(
            int(
                (step["Actual Rows"] + step.get("Rows Removed by Filter", 0)) * step["Actual Loops"]
            )
            for _, plan in self.plans
            for step in steps_of(plan)
            if step.get("Relation Name") == JOBS and step["Node Type"] != "ModifyTable"
        )

    @property
    def sequential(self) -> list[str]:
        """The statements that read all jobs."""
        return [
            f"{sql}\n{json.dumps(plan, indent=1)}"
            for sql, plan in self.plans
            for step in steps_of(plan)
            if step.get("Relation Name") == JOBS and step["Node Type"] == "Seq Scan"
        ]


def steps_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All steps of a plan."""
    yield plan
    for part in plan.get("Plans", []):
        yield from steps_of(part)


def statements_of_a_claim() -> list[tuple[str, Sequence[Any]]]:
    """What a claim that takes a job says to the database; nothing stays of it."""
    said: list[tuple[str, Sequence[Any]]] = []

    def listen(execute: Any, sql: str, values: Any, many: bool, context: Any) -> Any:
        if sql.startswith(("SELECT", "UPDATE", "INSERT")):
            said.append((sql, values or ()))
        return execute(sql, values, many, context)

    with transaction.atomic():
        with connection.execute_wrapper(listen):
            assert job_claim() is not None
        transaction.set_rollback(True)
    return said


def cost_of_a_claim(plan_cache_mode: str) -> Cost:
    """Make the same claim again, statement by statement, each with its account.

    Each is prepared, as it is after the first claim of its connection.
    """
    cost = Cost()
    statements = statements_of_a_claim()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL plan_cache_mode = {plan_cache_mode}")
        for number, (sql, values) in enumerate(statements):
            places = [f"${place}" for place in range(1, len(values) + 1)]
            cursor.execute(f"PREPARE claim_{number} AS {sql % tuple(places)}")
            operations: Any = connection.ops  # PostgreSQL's, which the stubs do not know here
            given = operations.compose_sql(", ".join(["%s"] * len(values)), list(values))
            execute = f"EXECUTE claim_{number}" + (f" ({given})" if values else "")
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {execute}")
            ((answer,),) = cursor.fetchall()
            cursor.execute(f"DEALLOCATE claim_{number}")
            parsed = json.loads(answer) if isinstance(answer, str) else answer
            cost.plans.append((sql, parsed[0]["Plan"]))
        transaction.set_rollback(True)
    return cost


def queue_fill(users: list[User], start: int, stop: int) -> None:
    """Queue jobs number `start` to `stop`, by all users in turn, one a millisecond."""
    batches = Batch.objects.bulk_create(Batch(user=user) for user in users)
    long_ago = timezone.now() - timedelta(hours=1)
    as_json = params().as_json()
    jobs = (
        Job(
            batch=batches[number % USERS],
            user=users[number % USERS],
            index=number // USERS,
            lane=Lane.BATCH,
            workflow="paint",
            params=as_json,
            sketch=f"sketches/{number % USERS}/x.png",
            created_at=long_ago + timedelta(milliseconds=number),
        )
        for number in range(start, stop)
    )
    while chunk := list(islice(jobs, CHUNK)):
        Job.objects.bulk_create(chunk)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")  # as autovacuum does a minute after such a change


def median_ms() -> float:
    """Claim for good, again and again; how long one took. The nodes are empty afterwards."""
    took = []
    for _ in range(TIMED):
        began = time.perf_counter()
        assert job_claim() is not None
        took.append((time.perf_counter() - began) * 1000)
    Job.objects.filter(state__in=ON_NODE).delete()
    return statistics.median(took)


@pytest.fixture
def users(settings: Settings) -> list[User]:
    """Those who wait, each with another share."""
    settings.PENCIL = dataclasses.replace(settings.PENCIL, in_flight_limit=4)
    users = User.objects.bulk_create(
        User(email=f"user-{number}@example.com", password="!") for number in range(USERS)
    )
    Share.objects.bulk_create(
        Share(user=user, virtual_s=number * 0.5, waits_batch=True)
        for number, user in enumerate(users)
    )
    for number in range(4):
        Node.objects.create(
            name=f"node-{number}",
            url=f"http://node-{number}:1",
            depth=TIMED,
            health=NodeHealth.HEALTHY,
            images_per_prompt=1,
        )
    return users


@pytest.mark.parametrize("plan_cache_mode", ["force_custom_plan", "force_generic_plan"])
def test_a_claim_touches_as_much_with_100000_waiting_as_with_1000(
    users: list[User], plan_cache_mode: str
) -> None:
    costs, times = {}, {}
    done = 0
    for size in (FEW, MANY):
        queue_fill(users, done, size)
        done = size
        costs[size] = cost_of_a_claim(plan_cache_mode)
        times[size] = median_ms()
    few, many = costs[FEW], costs[MANY]
    for size, cost in costs.items():
        print(
            f"{size} waiting: {len(cost.plans)} statements, {cost.buffers} buffers,"
            f" {cost.job_rows} job rows, median {times[size]:.1f} ms a claim"
        )

    assert many.sequential == []
    assert many.buffers <= 2 * few.buffers
    assert many.job_rows <= 2 * max(few.job_rows, 1)
