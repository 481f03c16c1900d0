"""Claims: how long one takes with few jobs waiting and with many. A process with Django.

    python -m scripts.measure.claims 1000 100000 --times 60

Prints one JSON object: samples in milliseconds by how many waited. The database must be empty; it
gets its tables.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from scripts.launcher.places import ROOT
from scripts.launcher.refusal import StepFailed
from scripts.launcher.services import PYTHON

USERS = 200
NODES = 4
WITHIN_S = 600.0


def claims_measure(
    environment: Mapping[str, str], sizes: Sequence[int], *, times: int
) -> dict[int, list[float]]:
    """Measure in a process of its own over an empty database.

    Raises:
        StepFailed: it broke.
    """
    done = subprocess.run(
        [PYTHON, "-m", "scripts.measure.claims", *map(str, sizes), "--times", str(times)],
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    if done.returncode != 0:
        raise StepFailed("The claims could not be measured.", log=ROOT, tail=done.stderr[-3000:])
    answer: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return {int(size): samples for size, samples in answer.items()}


def main(arguments: Sequence[str]) -> int:
    """Fill the queue to each size in turn and claim."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sizes", type=int, nargs="+")
    parser.add_argument("--times", type=int, required=True)
    flags = parser.parse_args(arguments)
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    _people_and_nodes(depth=flags.times)
    found: dict[int, list[float]] = {}
    waiting = 0
    for size in sorted(flags.sizes):
        _queue_fill(waiting, size)
        waiting = size
        found[size] = _claim_times_ms(flags.times)
        waiting -= flags.times
    print(json.dumps(found))
    return 0


def _people_and_nodes(*, depth: int) -> None:
    from generation.models import Node, NodeHealth, Share
    from usage.models import User

    users = User.objects.bulk_create(
        User(email=f"user-{number}@example.com", password="!") for number in range(USERS)
    )
    Share.objects.bulk_create(
        Share(user=user, virtual_s=number * 0.5, waits_batch=True)
        for number, user in enumerate(users)
    )
    for number in range(NODES):
        Node.objects.create(
            name=f"node-{number}",
            url=f"http://node-{number}:1",
            depth=depth,
            health=NodeHealth.HEALTHY,
        )


def _queue_fill(waiting: int, size: int) -> None:
    """Queue jobs until `size` wait, for all users alike, the newest last.

    One job a user is made through the model; the database copies them, every column of the model
    that a copy shares.
    """
    from datetime import timedelta

    from django.db import connection
    from django.utils import timezone

    from generation.models import Batch, Job
    from generation.params import JobParams
    from generation.states import Lane
    from usage.models import User

    params = JobParams(
        prompt="", mode="paint", denoise=0.75, steps=4, seed=1, width=512, height=512
    )
    long_ago = timezone.now() - timedelta(hours=1) + timedelta(milliseconds=waiting)
    users = list(User.objects.order_by("pk"))
    batches = Batch.objects.bulk_create(Batch(user=user) for user in users)
    patterns = Job.objects.bulk_create(
        Job(
            batch=batch,
            user=user,
            index=0,
            lane=Lane.BATCH,
            workflow="paint",
            params=params.as_json(),
            sketch=f"sketches/{user.pk}/x.png",
            created_at=long_ago,
        )
        for batch, user in zip(batches, users, strict=True)
    )
    changed = {
        "id": "gen_random_uuid()",
        "index": "number",
        "created_at": "created_at + number * interval '1 millisecond'",
    }
    names = [str(field.column) for field in Job._meta.concrete_fields]
    columns = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(changed.get(name, f'"{name}"') for name in names)
    copies, rest = divmod(size - waiting - len(patterns), len(patterns))
    ids = [job.id for job in patterns]
    with connection.cursor() as cursor:
        for count, first, of in ((copies, 1, ids), (1, copies + 1, ids[:rest])):
            cursor.execute(
                f"INSERT INTO {Job._meta.db_table} ({columns}) SELECT {values} "
                f"FROM {Job._meta.db_table}, generate_series(%s, %s) AS number WHERE id = ANY(%s)",
                (first, first + count - 1, of),
            )
        cursor.execute("VACUUM ANALYZE")  # as autovacuum does a minute after such a change
    counted = Job.objects.filter(state="queued").count()
    if counted != size:
        raise RuntimeError(f"{counted} jobs wait, not {size}")


def _claim_times_ms(times: int) -> list[float]:
    """Claim for good, again and again; the nodes are empty afterwards."""
    from generation.models import Job
    from generation.scheduling import job_claim
    from generation.states import ON_NODE

    took = []
    for _ in range(times):
        began = time.perf_counter()
        claim: Any = job_claim()
        took.append((time.perf_counter() - began) * 1000)
        if claim is None:
            raise RuntimeError("nothing could be claimed")
    Job.objects.filter(state__in=ON_NODE).delete()
    return took


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
