"""The clients: users who submit, cancel and retry over HTTP and remember every answer."""

from __future__ import annotations

import base64
import heapq
import itertools
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import requests

from scripts.havoc.hues import hue_of_user, sketch
from scripts.havoc.load import Kind, Request, Then

ANSWER_WITHIN_S = 10.0
IMPATIENT_S = 0.02
AGAIN_AFTER_S = 0.5
TERMINAL = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(slots=True)
class Sent:
    """A submission or retry under its idempotency key, and what was said to it.

    `jobs` is None while no answer has come: then it may have been accepted or not.
    """

    user: int
    key: str
    path: str
    body: dict[str, Any]
    jobs: tuple[str, ...] | None = None
    batch_id: str = ""
    refusal: int | None = None
    tries: int = 0


@dataclass(slots=True)
class Told:
    """What the clients were told, for the audit.

    Attributes:
        sent: every submission and retry.
        conflicts: keys whose answers were not all the same.
        ended: terminal states that were seen, by job.
        lost_answers: tries that got no answer, or a 5xx.
    """

    sent: list[Sent] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    ended: dict[str, str] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    lost_answers: int = 0
    replays: int = 0


class Client:
    """One user's program; runs in a thread of its own until its plan is done."""

    def __init__(
        self,
        address: str,
        token: str,
        *,
        user: int,
        users: int,
        plan: Sequence[Request],
        seed: int,
    ) -> None:
        self.told = Told()
        self._address = address
        self._headers = {"Authorization": f"Bearer {token}"}
        self._user = user
        self._users = users
        self._plan = plan
        self._seed = seed
        self._rng = random.Random(f"client {seed} {user}")
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._began_at = 0.0
        self._thread = threading.Thread(target=self._run, name=f"user-{user}", daemon=True)

    def start(self, began_at: float) -> None:
        """Begin, at the load's own zero of time."""
        self._began_at = began_at
        self._thread.start()

    def stop(self, *, within_s: float) -> None:
        """End: what has no answer yet stays without one."""
        self._stopped.set()
        self._thread.join(within_s)

    def is_busy(self) -> bool:
        """Whether something of its plan is left to do."""
        return self._thread.is_alive()

    def reconcile(self) -> None:
        """Send every key again: those without an answer get one, the others the same one."""
        self._stopped.clear()
        for sent in list(self.told.sent):
            if sent.refusal is None:
                self.told.replays += 1
                self._send(sent)

    def _run(self) -> None:
        order = itertools.count()
        todo: list[tuple[float, int, Request, Sent | None]] = [
            (request.at_s, next(order), request, None) for request in self._plan
        ]
        heapq.heapify(todo)
        while todo and not self._stopped.is_set():
            at_s, _, request, sent = heapq.heappop(todo)
            if self._stopped.wait(max(0.0, self._began_at + at_s - time.monotonic())):
                return
            if sent is not None:
                self._follow_up(request.then, sent)
                continue
            sent = self._submit(request)
            if request.then is not Then.NOTHING:
                heapq.heappush(todo, (request.then_at_s, next(order), request, sent))

    def _submit(self, request: Request) -> Sent:
        sent = self._note("/api/generate", self._body(request))
        if request.is_impatient:
            self._try(sent, within_s=IMPATIENT_S)
        if request.is_twice:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(self._send, (sent, sent)))
        else:
            self._send(sent)
        return sent

    def _body(self, request: Request) -> dict[str, Any]:
        drawing = sketch(hue_of_user(self._user, self._users), shift_px=request.shift_px)
        body: dict[str, Any] = {
            "sketch": base64.b64encode(drawing).decode(),
            "prompt": "",
            "seed": request.seed,
            "lane": request.lane,
        }
        if request.kind in {Kind.HD, Kind.UPSCALE}:  # they set the rest themselves
            return {**body, "mode": request.kind}
        body |= {
            "denoise": request.denoise,
            "steps": request.steps,
            "width": request.width,
            "height": request.height,
            "count": request.count,
        }
        if request.kind is Kind.BASE:
            body |= {"model": "base", "negative_prompt": "nothing of this"}
        return body

    def _follow_up(self, then: Then, sent: Sent) -> None:
        jobs = sent.jobs or ()
        match then:
            case Then.CANCEL_JOB if jobs:
                self._ask("POST", f"/api/jobs/{self._rng.choice(jobs)}/cancel")
            case Then.CANCEL_BATCH if sent.batch_id:
                self._ask("POST", "/api/jobs/cancel", {"batch_id": sent.batch_id})
            case Then.CANCEL_ALL:
                self._ask("POST", "/api/jobs/cancel", {"all": True})
            case Then.RETRY:
                self._retry()
            case _:
                pass

    def _retry(self) -> None:
        states = ("failed", "cancelled")
        found = [job["id"] for state in states for job in self._list(state)]
        if found:
            self._send(self._note(f"/api/jobs/{self._rng.choice(sorted(found))}/retry", {}))

    def _list(self, state: str) -> list[dict[str, Any]]:
        answer = self._ask("GET", f"/api/jobs?state={state}")
        return list(answer["jobs"]) if isinstance(answer, dict) else []

    def _note(self, path: str, body: dict[str, Any]) -> Sent:
        key = f"chaos-{self._seed}-{self._user}-{len(self.told.sent)}"
        sent = Sent(self._user, key, path, body)
        self.told.sent.append(sent)
        return sent

    def _send(self, sent: Sent) -> None:
        """Send until there is an answer, as a program does that knows idempotency keys."""
        while not self._try(sent, within_s=ANSWER_WITHIN_S):
            if self._stopped.wait(AGAIN_AFTER_S):
                return

    def _try(self, sent: Sent, *, within_s: float) -> bool:
        headers = {**self._headers, "Idempotency-Key": sent.key}
        sent.tries += 1
        try:
            answer = requests.post(
                self._address + sent.path, json=sent.body, headers=headers, timeout=within_s
            )
            said = answer.json()
        except (requests.RequestException, ValueError):
            said, answer = None, None
        with self._lock:
            if answer is None or answer.status_code >= 500:
                self.told.lost_answers += 1
                return False
            if answer.status_code == 202:
                self._accepted(sent, said)
            elif sent.jobs is not None:
                self.told.conflicts.append(f"{sent.key}: 202, later {answer.status_code}")
            else:
                sent.refusal = answer.status_code
            return True

    def _accepted(self, sent: Sent, said: dict[str, Any]) -> None:
        jobs = tuple(str(job["id"]) for job in said.get("jobs", [said]))
        if sent.jobs is not None and sent.jobs != jobs:
            self.told.conflicts.append(f"{sent.key}: {sent.jobs}, later {jobs}")
        sent.jobs = jobs
        sent.batch_id = str(said["batch_id"])

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        for _ in range(4):
            try:
                answer = requests.request(
                    method,
                    self._address + path,
                    json=body,
                    headers=self._headers,
                    timeout=ANSWER_WITHIN_S,
                )
                if answer.status_code < 500:
                    said = answer.json()
                    self._see(said)
                    return said
            except (requests.RequestException, ValueError):
                pass
            if self._stopped.wait(AGAIN_AFTER_S):
                break
        return None

    def _see(self, said: Any) -> None:
        """Note terminal states: what was once said to have ended must stay so."""
        if not isinstance(said, dict):
            return
        for job in said.get("jobs", [said]):
            if job.get("state") in TERMINAL:
                before = self.told.ended.setdefault(job["id"], job["state"])
                if before != job["state"]:
                    self.told.changed.append(f"{job['id']}: {before}, later {job['state']}")
