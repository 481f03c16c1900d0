"""Celery's messages in Valkey, taken on their way: doubled, dropped, invented."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, cast
from uuid import UUID

import redis
from celery import Celery

QUEUES = ("generation", "maintenance")
# Not every message: a system whose every wake-up is lost for seconds only waits for the beat.
EVERY = 2


class Thief:
    """Waits at the queues like a worker does, takes its share, and drops or doubles it."""

    def __init__(self, port: int, *, doubles: bool) -> None:
        self._port = port
        self._doubles = doubles
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="thief", daemon=True)
        self.taken = 0
        self._met = 0
        self._thread.start()

    def stop(self) -> int:
        """End; return how many messages were taken."""
        self._stopped.set()
        self._thread.join(5)
        return self.taken

    def _run(self) -> None:
        seen: set[str] = set()
        client = redis.Redis(port=self._port, socket_timeout=3, decode_responses=True)
        while not self._stopped.is_set():
            try:
                self._take(client, seen)
            except redis.RedisError:
                self._stopped.wait(0.2)
        client.close()

    def _take(self, client: redis.Redis, seen: set[str]) -> None:
        found = cast("tuple[str, str] | None", client.brpop(list(QUEUES), timeout=1))
        if found is None:
            return
        queue, message = found
        if message in seen:
            # One that we let pass, or doubled, came back to us: it is for the others.
            client.rpush(queue, message)
            self._stopped.wait(0.05)
            return
        self._met += 1
        if self._doubles:
            seen.add(message)
            client.lpush(queue, message, message)
            self.taken += 1
        elif self._met % EVERY:
            self.taken += 1
        else:
            seen.add(message)
            client.rpush(queue, message)


def adoptions_send(port: int, job_ids: Iterable[UUID]) -> int:
    """Tell the workers, twice each, that these jobs' workers have died; return how many jobs."""
    count = 0
    with Celery(broker=f"redis://127.0.0.1:{port}/0") as app:
        options: dict[str, Any] = {"queue": "generation", "retry": False}
        for job_id in job_ids:
            count += 1
            for _ in range(2):
                app.send_task("workers.adopt", args=[str(job_id)], **options)
    return count
