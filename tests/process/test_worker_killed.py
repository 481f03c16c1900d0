"""A worker that dies in the middle: its jobs end all the same, each exactly once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest

from tests.process.pictures import hue_distance, hue_of, sketch
from tests.process.stack import Stack

pytestmark = pytest.mark.process

STEP_S = 0.6  # four of them: time to die in
JOBS = 6


def test_a_job_outlives_its_worker_and_ends_once(folder: Path, database_url: str | None) -> None:
    with Stack(folder, database_url=database_url, step_s=STEP_S) as stack:
        api = stack.user("owner")
        (job,) = api.generate(sketch(0.55))
        api.wait(job["id"], {"running"})

        stack.kill("worker")
        assert api.job(job["id"])["state"] not in {"succeeded", "failed", "cancelled"}
        stack.start_again("worker")
        ended = api.wait(job["id"], within_s=90)

        assert ended["state"] == "succeeded", ended
        assert hue_distance(hue_of(api.image(ended)), 0.55) < 0.05
        assert api.used_today() == 1
        ends = [event for event in api.events() if event["event"]["type"] == "job.succeeded"]
        assert len(ends) == 1
        executed = stack.simulator_state()["prompts"]
        assert set(executed.values()) == {1}, "no prompt ran twice"
        # A job's prompts are named after it (version 5); a node's canary has a random name.
        of_jobs = [prompt_id for prompt_id in executed if UUID(prompt_id).version == 5]
        assert len(of_jobs) == 1, "the running prompt was adopted, not sent again"


def test_a_queue_outlives_two_deaths_and_every_job_ends_once(
    folder: Path, database_url: str | None
) -> None:
    with Stack(folder, database_url=database_url, step_s=STEP_S / 4) as stack:
        api = stack.user("owner")
        hues = {api.generate(sketch(n / JOBS), seed=n)[0]["id"]: n / JOBS for n in range(JOBS)}
        for job_id in list(hues)[:2]:
            api.wait(job_id, {"running", "saving", "succeeded"})
            stack.kill("worker")
            stack.start_again("worker")
        ended = [api.wait(job_id, within_s=120) for job_id in hues]

        assert [job["state"] for job in ended] == ["succeeded"] * JOBS
        for job in ended:
            assert hue_distance(hue_of(api.image(job)), hues[job["id"]]) < 0.05
        assert api.used_today() == JOBS
        ends = Counter(
            event["event"]["job"]["id"]
            for event in api.events()
            if event["event"]["type"] == "job.succeeded"
        )
        assert ends == Counter(dict.fromkeys(hues, 1))
