"""The player: does to the processes what the plan says, and undoes it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import psycopg
import requests

from scripts.havoc.cluster import Cluster
from scripts.havoc.disk import Disk
from scripts.havoc.messages import Thief, adoptions_send
from scripts.havoc.plan import NODES, WORKERS, Fault, Kind
from scripts.havoc.stack import Stack
from scripts.launcher.stop_signal import StopSignal

WATCH_EVERY_S = 0.1
REVIVE_AFTER_S = 2.0  # as systemd would, with RestartSec=2
# The simulator's own faults, by our names.
_SIMULATED = {
    Kind.BLACK_IMAGES: "black-image",
    Kind.NODE_CRASH: "crash",
    Kind.NODE_HANG: "hang",
    Kind.TRUNCATED_FILE: "truncated-file",
    Kind.LOST_PROMPT: "lost-prompt",
    Kind.LOST_EVENT: "lost-event",
    Kind.DROPPED_SOCKET: "dropped-socket",
    Kind.NO_ANSWER: "no-answer",
}
_KILLS = frozenset(
    {Kind.WORKER_KILL, Kind.WEB_KILL, Kind.BEAT_KILL, Kind.VALKEY_KILL, Kind.NODE_KILL}
)
# Ended by a new process: a crashed one is gone, and a thread that hangs stays so.
_ENDED_BY_RESTART = _KILLS | {Kind.NODE_CRASH, Kind.NODE_HANG}


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that was done, or happened by itself; seconds since the load began."""

    at_s: float
    text: str


class Player:
    """Plays faults; keeps processes alive that die by themselves, and says so."""

    def __init__(
        self, stack: Stack, cluster: Cluster, disk: Disk, *, say: Callable[[str], None]
    ) -> None:
        self._stack = stack
        self._cluster = cluster
        self._disk = disk
        self._say = say
        self._began_at = time.monotonic()
        self._thief: Thief | None = None
        self._found_dead: dict[str, float] = {}
        self._crashes: set[str] = set()
        self.happenings: list[Happening] = []
        self.deaths = 0
        self.played: list[Fault] = []

    def play(self, plan: tuple[Fault, ...], *, span_s: float, stop: StopSignal) -> None:
        """Play the plan in real time; returns when the span is over and every fault has ended.

        Raises:
            Interrupted: somebody asked for the end.
        """
        self._began_at = time.monotonic()
        coming = list(plan)
        going: list[Fault] = []
        while coming or going or self._now() < span_s:
            now = self._now()
            for fault in [one for one in going if one.ends_s <= now]:
                going.remove(fault)
                self._note(fault, self._end(fault))
            if coming and coming[0].begins_s <= now:
                fault = coming.pop(0)
                self.played.append(fault)
                self._note(fault, self._begin(fault))
                going.append(fault)
            self._revive()
            stop.pause(WATCH_EVERY_S)

    def heal(self, stop: StopSignal) -> None:
        """Make sure that everything runs, whole, and answers."""
        self._disk.free()
        self._cluster.start()
        for name in ("valkey", *NODES, "web", "beat", *WORKERS):
            if name in self._stack.dead():
                self._stack.kill(name)
            self._stack.start_again(name)
        for name in ("valkey", *NODES, "web"):
            while not self._stack.answers(name):
                stop.pause(0.2)
        for node in NODES:
            self._stack.end_faults(node)

    def watch(self) -> None:
        """Start again whatever has died by itself; call now and then while nothing is played."""
        self._revive()

    def _begin(self, fault: Fault) -> str:
        stack, target = self._stack, fault.target
        if fault.kind in _KILLS:
            stack.kill(target)
            return "killed"
        if fault.kind in _SIMULATED:
            with suppress(requests.RequestException):
                stack.fault(target, _SIMULATED[fault.kind])
            if fault.kind is Kind.NODE_CRASH:
                self._crashes.add(target)
            return "begins"
        match fault.kind:
            case Kind.POSTGRES_KILL:
                self._cluster.kill()
                return "killed"
            case Kind.NODE_FREEZE:
                stack.freeze(target)
                return "frozen"
            case Kind.NODE_CUT | Kind.VALKEY_CUT:
                stack.proxy.cut(target)
                return "cut half open"
            case Kind.DISK_FULL:
                self._disk.fill()
                return "full"
            case Kind.MESSAGES_DOUBLED | Kind.MESSAGES_DROPPED:
                doubles = fault.kind is Kind.MESSAGES_DOUBLED
                self._thief = Thief(stack.valkey_port, doubles=doubles)
                return "begins"
            case _:
                return self._adopt()

    def _end(self, fault: Fault) -> str:
        stack, target = self._stack, fault.target
        if fault.kind in _ENDED_BY_RESTART:
            stack.kill(target)
            stack.start_again(target)
            self._crashes.discard(target)
            self._found_dead.pop(target, None)
            return "started again"
        if fault.kind in _SIMULATED:
            with suppress(requests.RequestException):
                stack.end_faults(target)
            return "ends"
        match fault.kind:
            case Kind.POSTGRES_KILL:
                self._cluster.start()
                return "started again"
            case Kind.NODE_FREEZE:
                stack.thaw(target)
                return "goes on"
            case Kind.NODE_CUT | Kind.VALKEY_CUT:
                stack.proxy.mend(target, forgets=fault.forgets)
                return "mended" + (", its connections gone" if fault.forgets else "")
            case Kind.DISK_FULL:
                self._disk.free()
                return "has room"
            case Kind.MESSAGES_DOUBLED | Kind.MESSAGES_DROPPED if self._thief:
                count = self._thief.stop()
                self._thief = None
                return f"ends: {count} messages"
            case _:
                return self._adopt()

    def _adopt(self) -> str:
        """Call for the adoption of every job that has a living worker."""
        try:
            with psycopg.connect(self._cluster.url, connect_timeout=2) as connection:
                rows = connection.execute(
                    "SELECT id FROM generation_job WHERE lease_token IS NOT NULL"
                ).fetchall()
            job_ids: list[UUID] = [row[0] for row in rows]
            count = adoptions_send(self._stack.valkey_port, job_ids)
        except Exception as error:  # noqa: BLE001 - another fault is in force: Valkey or the database
            return f"not sent: {type(error).__name__}"
        return f"{count} jobs, twice each"

    def _revive(self) -> None:
        for name in self._stack.dead():
            if name in self._crashes:
                continue
            first_at = self._found_dead.setdefault(name, self._now())
            if self._now() - first_at < REVIVE_AFTER_S:
                continue
            del self._found_dead[name]
            self._stack.kill(name)
            self._stack.start_again(name)
            self.deaths += 1
            self._tell(f"{name} had died by itself: started again")

    def _note(self, fault: Fault, outcome: str) -> None:
        self._tell(f"{fault.kind:<17} {fault.target}: {outcome}")

    def _tell(self, text: str) -> None:
        happening = Happening(round(self._now(), 1), text)
        self.happenings.append(happening)
        self._say(f"{happening.at_s:7.1f} s  {text}")

    def _now(self) -> float:
        return time.monotonic() - self._began_at
