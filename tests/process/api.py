"""The HTTP API as a program uses it, with a token."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import requests
from websockets.sync.client import connect

TERMINAL = {"succeeded", "failed", "cancelled"}
DONE_WITHIN_S = 60.0


class Api:
    """One user's requests."""

    def __init__(self, address: str, token: str | None) -> None:
        self.address = address
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request, on a connection of its own."""
        headers = {**self.headers, **options.pop("headers", {})}
        return requests.request(method, self.address + path, headers=headers, timeout=30, **options)

    def get(self, path: str) -> requests.Response:
        """Get a path."""
        return self.request("GET", path)

    def post(self, path: str, body: object = None) -> requests.Response:
        """Send JSON."""
        return self.request("POST", path, json=body if body is not None else {})

    def generate(self, sketch: bytes, **fields: Any) -> list[dict[str, Any]]:
        """Submit a sketch; return its jobs."""
        body = {"sketch": base64.b64encode(sketch).decode(), "prompt": "", "mode": "paint"}
        body |= {"width": 512, "height": 512, "denoise": 0.75, "steps": 4} | fields
        answer = self.post("/api/generate", body)
        assert answer.status_code == 202, answer.text
        jobs: list[dict[str, Any]] = answer.json()["jobs"]
        return jobs

    def job(self, job_id: str) -> dict[str, Any]:
        """Get a job."""
        answer = self.get(f"/api/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def jobs(self) -> list[dict[str, Any]]:
        """The newest jobs."""
        jobs: list[dict[str, Any]] = self.get("/api/jobs").json()["jobs"]
        return jobs

    def wait(
        self, job_id: str, states: set[str] = TERMINAL, *, within_s: float = DONE_WITHIN_S
    ) -> dict[str, Any]:
        """Ask for a job until it is in one of the states."""
        ends_at = time.monotonic() + within_s
        while time.monotonic() < ends_at:
            job = self.job(job_id)
            if job["state"] in states:
                return job
            assert job["state"] not in TERMINAL, f"ended before {states}: {job}"
            time.sleep(0.1)
        raise AssertionError(f"not {states} within {within_s} s: {self.job(job_id)}")

    def image(self, job: dict[str, Any]) -> bytes:
        """The bytes of a job's only image."""
        assert len(job["images"]) == 1, job
        answer = self.get(job["images"][0]["url"])
        assert answer.status_code == 200, answer.text
        return answer.content

    def used_today(self) -> int:
        """How many images were charged or are reserved today."""
        used: int = self.get("/api/usage").json()["used_today"]
        return used

    def events(self, *, quiet_s: float = 1.0) -> list[dict[str, Any]]:
        """All of the user's events so far, as a socket replays them."""
        return [message for message in self.listen(quiet_s=quiet_s) if message["type"] == "event"]

    def listen(self, *, quiet_s: float, since: int = 0) -> Iterator[dict[str, Any]]:
        """Everything that the socket says until it is quiet for a while."""
        url = self.address.replace("http", "ws") + f"/ws/events/?since={since}"
        with connect(url, additional_headers=self.headers, max_size=2**24, proxy=None) as socket:
            while True:
                try:
                    message: dict[str, Any] = json.loads(socket.recv(timeout=quiet_s))
                except TimeoutError:
                    return
                yield message
