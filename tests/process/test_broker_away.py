"""Valkey away: whoever submits is answered, and nothing is forgotten; PostgreSQL does without."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.process.conftest import postgres_database
from tests.process.pictures import hue_distance, hue_of, sketch
from tests.process.stack import Stack

pytestmark = pytest.mark.process

AWAY_S = 30.0
SUBMISSIONS = 6
ANSWERED_WITHIN_S = 5.0  # chosen: Valkey's own timeouts are longer, so a wait for it would show
RUN_WITHIN_S = 60.0  # chosen: a worker may take some seconds to notice that Valkey is back


def test_what_is_accepted_while_the_broker_is_away_runs_when_it_is_back(two: Stack) -> None:
    api = two.user("cut-off")
    used = api.used_today()
    hues: dict[str, float] = {}

    two.kill("valkey")
    gone_at = time.monotonic()
    longest_s = 0.0
    try:
        for number in range(SUBMISSIONS):
            # The first at once, the last just before it comes back.
            at_s = number * (AWAY_S - 1) / (SUBMISSIONS - 1)
            time.sleep(max(0.0, gone_at + at_s - time.monotonic()))
            hue = number / SUBMISSIONS
            asked_at = time.monotonic()
            (job,) = api.generate(sketch(hue), seed=number)
            longest_s = max(longest_s, time.monotonic() - asked_at)
            hues[job["id"]] = hue
        time.sleep(max(0.0, gone_at + AWAY_S - time.monotonic()))
    finally:
        away_s = time.monotonic() - gone_at
        two.start_again("valkey")
    back_at = time.monotonic()
    ended = [api.wait(job_id, within_s=RUN_WITHIN_S) for job_id in hues]

    print(
        f"away {away_s:.1f} s, each answered within {longest_s:.2f} s, "
        f"all had run {time.monotonic() - back_at:.1f} s after it was back"
    )
    assert away_s >= AWAY_S
    assert longest_s < ANSWERED_WITHIN_S
    assert [job["state"] for job in ended] == ["succeeded"] * SUBMISSIONS, ended
    for job in ended:
        assert hue_distance(hue_of(api.image(job)), hues[job["id"]]) < 0.05
    assert api.used_today() == used + SUBMISSIONS


def test_on_postgresql_workers_hear_of_jobs_without_the_broker(folder: Path) -> None:
    with postgres_database() as url, Stack(folder, database_url=url) as stack:
        api = stack.user("cut-off")
        stack.kill("valkey")

        # More than the node takes at once.
        jobs = [job for seed in range(3) for job in api.generate(sketch(0.4), seed=seed, count=5)]
        ended = [api.wait(job["id"], within_s=RUN_WITHIN_S) for job in jobs]

        assert [job["state"] for job in ended] == ["succeeded"] * len(jobs), ended
        for job in ended:
            assert hue_distance(hue_of(api.image(job)), 0.4) < 0.05
