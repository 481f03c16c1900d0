"""The caller: a user of the platform, as the studio is one, with a socket and a session."""

from __future__ import annotations

import base64
import json
import queue
import threading
import time
from collections import defaultdict
from contextlib import ExitStack
from datetime import datetime
from typing import Any
from uuid import UUID

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from generation.params import prompt_id_for
from scripts.measure.orders import DONE_WITHIN_S, Made, NotMade, Order
from scripts.measure.session import ANSWER_WITHIN_S, Session

TERMINAL = frozenset({"job.succeeded", "job.failed", "job.cancelled"})
ANSWERED = "answered"


class Caller:
    """One user's program; a thread reads the socket, so that moments are those of arrival."""

    def __init__(self, address: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._session = Session(address, headers=headers)
        self._sent: dict[str, tuple[Order, float]] = {}
        self._moments: dict[str, dict[str, float]] = defaultdict(dict)
        self._ended: queue.Queue[dict[str, Any]] = queue.Queue()
        self._open = ExitStack()
        self._socket = self._open.enter_context(
            connect(
                f"{address.replace('http', 'ws', 1)}/ws/events/",
                additional_headers=headers,
                max_size=2**24,
                open_timeout=ANSWER_WITHIN_S,
                proxy=None,
            )
        )
        self._socket.recv(timeout=ANSWER_WITHIN_S)  # the snapshot: from here on nothing is missed
        self._thread = threading.Thread(target=self._listen, name="caller", daemon=True)
        self._thread.start()

    def send(self, order: Order) -> None:
        """Submit one job."""
        self.send_all(order, count=1)

    def send_all(self, order: Order, *, count: int) -> None:
        """Submit variations: the same sketch, `count` seeds."""
        asked_at = time.time()
        body = {
            "sketch": base64.b64encode(order.sketch).decode(),
            "prompt": "",
            "mode": "paint",
            "denoise": order.denoise,
            "steps": order.steps,
            "seed": order.seed,
            "width": order.side_px,
            "height": order.side_px,
            "count": count,
        }
        answer = self._session.post_json("/api/generate", body)
        if answer.status != 202:
            raise NotMade(f"The platform answers {answer.status}: {answer.data[:300]!r}")
        answered_at = time.time()
        for job in answer.json()["jobs"]:
            self._sent[job["id"]] = (order, asked_at)
            self._moments[job["id"]][ANSWERED] = answered_at

    def take(self) -> Made:
        """Wait for the event of a job's end and fetch its image."""
        try:
            event = self._ended.get(timeout=DONE_WITHIN_S)
        except queue.Empty:
            raise NotMade("A job took too long.") from None
        job = event["job"]
        if event["type"] != "job.succeeded":
            raise NotMade(f"A job ended as {job['state']}: {job['error']}")
        order, asked_at = self._sent.pop(job["id"])
        answer = self._session.get(job["images"][0]["url"])
        done_at = time.time()
        if answer.status != 200:
            raise NotMade(f"The platform answers {answer.status} for an image.")
        moments = self._moments.pop(job["id"])
        # Nothing was tried again, or the job would have no first attempt that succeeded.
        prompt_id = prompt_id_for(UUID(job["id"]), 1)
        ended_at = datetime.fromisoformat(job["finished_at"]).timestamp()
        return Made(order, prompt_id, asked_at, done_at, answer.data, moments, ended_at)

    def close(self) -> None:
        """Hang up."""
        self._open.close()
        self._thread.join(5)
        self._session.close()

    def _listen(self) -> None:
        try:
            for text in self._socket:
                heard_at = time.time()
                message = json.loads(text)
                if message["type"] == "event":
                    event = message["event"]
                    self._moments[event["job"]["id"]][event["type"]] = heard_at
                    if event["type"] in TERMINAL:
                        self._ended.put(event)
                elif message["type"] == "ping":
                    self._socket.send(json.dumps({"type": "ack", "seq": message["seq"]}))
        except ConnectionClosed:
            return
