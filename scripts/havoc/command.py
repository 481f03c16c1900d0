"""The command scripts/chaos."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg

from scripts.havoc.audit import STALL_MAX_S, Findings, audit
from scripts.havoc.client import Client, Told
from scripts.havoc.cluster import Cluster
from scripts.havoc.disk import SIZE_MB, Disk
from scripts.havoc.evidence import Sources, gather, stray_files, unfinished
from scripts.havoc.listener import Listener
from scripts.havoc.load import requests_plan
from scripts.havoc.plan import NODES, Kind, faults_plan
from scripts.havoc.player import Player
from scripts.havoc.stack import Stack
from scripts.havoc.table import as_json, table
from scripts.launcher.progress import Progress
from scripts.launcher.refusal import Interrupted, Refusal, StepFailed
from scripts.launcher.stop_signal import StopSignal
from scripts.suite.debian import find_postgres

FULL_MINUTES = 3.0  # the length for which --jobs is meant; a shorter run has fewer
ANSWERS_WITHIN_S = 30.0  # for what was sent just before the end
HEARD_WITHIN_S = 30.0  # a socket looks for what it has missed every 20 s


@dataclass(frozen=True, slots=True)
class Flags:
    """What was asked for, with the seed chosen and the jobs scaled to the run's length."""

    minutes: float
    seed: int
    users: int
    jobs: int
    without: tuple[Kind, ...]
    json: Path | None
    keep: bool
    keep_always: bool

    @property
    def span_s(self) -> float:
        """How long the load and the faults go on, in seconds."""
        return self.minutes * 60

    @property
    def again(self) -> str:
        """The command line that plans the same load and the same faults."""
        without = "".join(f" --without {kind}" for kind in self.without)
        return (
            f"./scripts/chaos --minutes {self.minutes:g} --seed {self.seed} "
            f"--users {self.users} --jobs {self.jobs}{without}"
        )


def chaos(arguments: Sequence[str]) -> int:
    """Break everything while people work, count, and return the exit status."""
    stop = StopSignal().listen()
    flags = flags_from(arguments)
    try:
        return _Run(flags, stop).run()
    except StepFailed as failure:
        print(f"{failure.tail}\n\n✗ {failure}", file=sys.stderr)
        return 2
    except Refusal as refusal:
        print(f"✗ {refusal}", file=sys.stderr)
        return 2
    except Interrupted:
        print("Stopped; nothing was audited.")
        return 130


def flags_from(arguments: Sequence[str]) -> Flags:
    """Read the flags; ends the process where one makes no sense."""
    parser = argparse.ArgumentParser(
        prog="./scripts/chaos",
        description="Run everything, break everything, and count what became of the jobs. "
        "Exits 1 when the promise was broken, 2 when nothing could be started.",
    )
    parser.add_argument("--minutes", type=float, default=FULL_MINUTES, metavar="N")
    parser.add_argument("--seed", type=int, help="of faults and load; default: drawn and printed")
    parser.add_argument("--users", type=int, default=8, metavar="N")
    parser.add_argument(
        "--jobs", type=int, metavar="N",
        help=f"a user; default 40, fewer under {FULL_MINUTES:g} minutes",
    )  # fmt: skip
    parser.add_argument(
        "--without", action="append", default=[], choices=[*Kind], metavar="KIND",
        help="leave out a fault, or several: " + ", ".join(Kind),
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the findings there too")
    parser.add_argument(
        "--keep", action="store_true", help="keep data and logs when the promise was broken"
    )
    parser.add_argument("--keep-always", action="store_true", help="keep them whatever came of it")
    read = parser.parse_args(arguments)
    if not 0.1 <= read.minutes <= 600:
        parser.error("--minutes: give 0.1 to 600")
    if not 2 <= read.users <= 30:
        parser.error("--users: give 2 to 30, so that their colours can be told apart")
    jobs = read.jobs
    if jobs is None:
        jobs = max(1, round(40 * min(1.0, read.minutes / FULL_MINUTES)))
    if jobs < 1:
        parser.error("--jobs: give 1 or more")
    return Flags(
        minutes=read.minutes,
        seed=random.SystemRandom().randrange(10**6) if read.seed is None else read.seed,
        users=read.users,
        jobs=jobs,
        without=tuple(Kind(kind) for kind in read.without),
        json=read.json,
        keep=read.keep,
        keep_always=read.keep_always,
    )


class _Run:
    """One run, from the empty folder to the table."""

    def __init__(self, flags: Flags, stop: StopSignal) -> None:
        self._flags = flags
        self._stop = stop
        self._progress = Progress()
        self._not_played: dict[Kind, str] = {}

    def run(self) -> int:
        flags = self._flags
        programs = find_postgres()
        if programs is None:
            raise Refusal("There is no PostgreSQL server here; install the package postgresql.")
        self._say(
            f"seed {flags.seed}: {flags.minutes:g} minutes, {flags.users} users × {flags.jobs} jobs"
        )
        folder = Path(tempfile.mkdtemp(prefix="llamasketch-chaos-"))
        keeps = False
        cluster: Cluster | None = None
        disk: Disk | None = None
        try:
            cluster = Cluster(programs)
            disk = Disk(folder / "media")
            findings, report = self._with(cluster, disk, folder)
            keeps = flags.keep_always or (flags.keep and not findings.is_kept)
        finally:
            if disk is not None:
                disk.take_down(keep=keeps)
            if cluster is not None:
                cluster.stop()
                if not keeps:
                    cluster.remove()
            if not keeps:
                shutil.rmtree(folder, ignore_errors=True)
        if flags.json is not None:
            flags.json.write_text(json.dumps(report, indent=1) + "\n")
        if keeps:
            self._say(f"\nKept: {folder} and {cluster.folder}")
        self._say("\nThe promise was kept." if findings.is_kept else "\nThe promise was broken.")
        self._say(f"The same again: {flags.again}")
        return 0 if findings.is_kept else 1

    def _with(self, cluster: Cluster, disk: Disk, folder: Path) -> tuple[Findings, dict[str, Any]]:
        with self._progress.step("PostgreSQL"):
            cluster.create()
            cluster.start()
        stack = Stack(folder, database_url=cluster.url)
        try:
            with self._progress.step("processes", "starting processes"):
                stack.start(self._stop)
                accounts = stack.accounts(self._flags.users)
            sources = Sources(cluster.url, folder / "media", stack.address, accounts)
            return self._break_and_audit(stack, cluster, disk, sources)
        finally:
            stack.stop()

    def _break_and_audit(
        self, stack: Stack, cluster: Cluster, disk: Disk, sources: Sources
    ) -> tuple[Findings, dict[str, Any]]:
        flags = self._flags
        if disk.problem and Kind.DISK_FULL not in flags.without:
            self._not_played[Kind.DISK_FULL] = disk.problem
            self._say(f"  {Kind.DISK_FULL} cannot be played here: {disk.problem}")
        elif Kind.DISK_FULL not in flags.without:
            self._say(f"  images lie on a file system of {SIZE_MB} MB")
        kinds = [kind for kind in Kind if kind not in {*flags.without, *self._not_played}]
        plan = faults_plan(flags.seed, span_s=flags.span_s, kinds=kinds)
        player = Player(stack, cluster, disk, say=self._say)
        listeners = [Listener(stack.address, token) for _, token in sources.accounts]
        clients = self._clients(stack, sources)
        try:
            began_at = time.monotonic()
            for client in clients:
                client.start(began_at)
            player.play(plan, span_s=flags.span_s, stop=self._stop)
            player.heal(self._stop)
            last_fault_at = time.time()
            self._say("  faults are over, everything runs; waiting until every job has ended")
            self._settle(clients, player, sources, last_fault_at=last_fault_at)
            self._let_hear(listeners, sources)
        finally:
            for client in clients:
                client.stop(within_s=1.0)
            for listener in listeners:
                listener.stop()
        with self._progress.step("audit", "auditing"):
            evidence = gather(
                sources,
                [client.told for client in clients],
                heard={user: listener.heard for user, listener in enumerate(listeners)},
                last_fault_at=last_fault_at,
            )
        findings = audit(evidence)
        findings.add(
            "events",
            (f"user {user}: {gap}" for user, one in enumerate(listeners) for gap in one.gaps),
        )
        findings.weak += [
            f"user {user}: {line}" for user, one in enumerate(listeners) for line in one.silences
        ]
        findings.numbers |= self._more_numbers(player, clients, listeners, stack)
        findings.numbers["files without a row"] = stray_files(sources.media, evidence)
        self._say("\n" + table(findings))
        self._say(self._played(player))
        return findings, self._report(findings, player)

    def _clients(self, stack: Stack, sources: Sources) -> list[Client]:
        flags = self._flags
        return [
            Client(
                stack.address,
                token,
                user=user,
                users=flags.users,
                plan=requests_plan(
                    flags.seed, user=user, jobs=flags.jobs, span_s=flags.span_s * 0.97
                ),
                seed=flags.seed,
            )
            for user, (_, token) in enumerate(sources.accounts)
        ]

    def _settle(
        self, clients: Sequence[Client], player: Player, sources: Sources, *, last_fault_at: float
    ) -> None:
        """Wait for the clients' answers, settle what had none, then wait for every job's end."""
        ends_at = time.monotonic() + ANSWERS_WITHIN_S
        while any(client.is_busy() for client in clients) and time.monotonic() < ends_at:
            player.watch()
            self._stop.pause(0.2)
        for client in clients:
            client.stop(within_s=1.0)
        for client in clients:
            client.reconcile()
        while True:
            player.watch()
            try:
                left = unfinished(sources.database_url)
            except psycopg.Error:
                left = -1
            if left == 0 or time.time() > last_fault_at + STALL_MAX_S + 1:
                return
            self._stop.pause(0.5)

    def _let_hear(self, listeners: Sequence[Listener], sources: Sources) -> None:
        """Give the sockets the time in which they find what they have missed."""
        query = "SELECT user_id, last_seq FROM generation_eventstream"
        ends_at = time.monotonic() + HEARD_WITHIN_S
        while time.monotonic() < ends_at:
            with psycopg.connect(sources.database_url) as connection:
                last: dict[int, int] = {row[0]: row[1] for row in connection.execute(query)}
            pairs = zip(listeners, sources.accounts, strict=True)
            if all(listener.heard >= last.get(pk, 0) for listener, (pk, _) in pairs):
                return
            self._stop.pause(0.5)

    def _more_numbers(
        self,
        player: Player,
        clients: Sequence[Client],
        listeners: Sequence[Listener],
        stack: Stack,
    ) -> dict[str, str | int | float]:
        told: list[Told] = [client.told for client in clients]
        refusals = Counter(sent.refusal for one in told for sent in one.sent if sent.refusal)
        states = [stack.node_state(node) for node in NODES]
        return {
            "requests with a key": sum(len(one.sent) for one in told),
            **{f"  refused with {status}": count for status, count in sorted(refusals.items())},
            "answers lost": sum(one.lost_answers for one in told),
            "keys replayed": sum(one.replays for one in told),
            "sockets opened": sum(listener.joins for listener in listeners),
            "faults played": len(player.played),
            "processes died by themselves": player.deaths,
            "prompts left on nodes": sum(
                len(prompts)
                for state in states
                for prompts in (state["running"], state["pending"])
                if isinstance(prompts, list)
            ),
        }

    def _played(self, player: Player) -> str:
        counts = Counter(fault.kind for fault in player.played)
        lines = ["\nfaults: " + ", ".join(f"{kind} {n}" for kind, n in sorted(counts.items()))]
        left_out = dict.fromkeys(self._flags.without, "left out with --without")
        reasons = {**self._not_played, **left_out}
        lines += [f"NOT PLAYED: {kind}: {why}" for kind, why in sorted(reasons.items())]
        no_time = [kind for kind in Kind if not counts[kind] and kind not in reasons]
        if no_time:
            lines.append("NOT PLAYED, the run was too short: " + ", ".join(no_time))
        return "\n".join(lines)

    def _report(self, findings: Findings, player: Player) -> dict[str, Any]:
        flags = self._flags
        return {
            "seed": flags.seed,
            "minutes": flags.minutes,
            "users": flags.users,
            "jobs_per_user": flags.jobs,
            "is_root": os.geteuid() == 0,
            "not_played": dict(self._not_played),
            "without": list(flags.without),
            **as_json(findings),
            "happenings": [asdict(happening) for happening in player.happenings],
        }

    def _say(self, line: str) -> None:
        self._progress.say(line)
