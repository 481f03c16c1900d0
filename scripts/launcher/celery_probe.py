"""Ask whether Celery's processes answer: `python celery_probe.py REDIS_URL WORKER TASK SECONDS`.

Prints `worker` once the worker has answered over Redis, and `beat` once the worker has been given
TASK, which beat alone sends. So both have been seen to do their work, not merely to run.

Runs in the virtual environment, without Django: what it asks is whether messages get through.
"""

import sys
import time
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

EVERY_S = 0.2


def main(redis_url: str, worker: str, task: str, seconds: float) -> int:
    """Return 0 once both have answered, 1 when they have not in time."""
    ends_at = time.monotonic() + seconds
    is_worker_known = False
    with Celery(broker=redis_url) as app:
        while time.monotonic() < ends_at:
            counts = _tasks_of(app, worker)
            if counts is not None and not is_worker_known:
                is_worker_known = True
                print("worker", flush=True)
            if counts and counts.get(task):
                print("beat", flush=True)
                return 0
            time.sleep(EVERY_S)
    return 1


def _tasks_of(app: Celery, worker: str) -> dict[str, int] | None:
    """How often the worker was given each task; None while it does not answer."""
    try:
        answer: dict[str, Any] | None = app.control.inspect([worker], timeout=0.5, limit=1).stats()
    except (OperationalError, OSError):
        return None
    return dict(answer[worker]["total"]) if answer and worker in answer else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])))
