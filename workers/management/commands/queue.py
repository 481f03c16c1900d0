"""`manage.py queue`: what waits and runs, who answers, and what is wrong."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection

from generation.overview import JobLine, Overview, overview
from workers.broker import BrokerLook, broker_look

EVERY_S = 2.0
OLDEST = 5  # chosen: whoever waits longest shows whether anything moves; --json has more
_CLEAR = "\x1b[H\x1b[2J"  # the cursor to the corner, then an empty screen


class Command(BaseCommand):
    """Prints the queue once, or again and again."""

    help = "Print what waits and runs: by lane, node and user; Celery's queues and workers."
    requires_system_checks: list[str] = []  # it is asked when something is wrong

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take `--watch` for people or `--json` for programs."""
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="print one JSON object")
        form.add_argument(
            "--watch",
            nargs="?",
            type=_seconds,
            const=EVERY_S,
            metavar="SECONDS",
            help=f"print it again every {EVERY_S:g} seconds, or as many as given, until Ctrl-C",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Print the queue; with `--watch` until Ctrl-C."""
        if options["watch"] is not None:
            self._watch(options["watch"])
            return
        try:
            seen = overview()
        except DatabaseError as error:
            raise CommandError(_database_away(error)) from error
        broker = broker_look()
        if options["json"]:
            celery = dataclasses.asdict(broker)
            self.stdout.write(json.dumps({**dataclasses.asdict(seen), "celery": celery}))
        else:
            self.stdout.write(page(seen, broker))

    @staticmethod
    def pause(seconds: float) -> None:
        """Wait between two pages."""
        time.sleep(seconds)

    def _watch(self, every_s: float) -> None:
        try:
            while True:
                broker = broker_look()
                try:
                    text = page(overview(), broker)
                except DatabaseError as error:
                    text = _database_away(error)
                if not connection.in_atomic_block:
                    connection.close()  # a server that comes back is asked over a new one
                self.stdout.write((_CLEAR if self.stdout.isatty() else "") + text)
                self.stdout.flush()
                self.pause(every_s)
        except KeyboardInterrupt:
            self.stdout.write("")


def page(seen: Overview, broker: BrokerLook) -> str:
    """The queue as text, a section for each thing that one may look for."""
    oldest_s = max((line.oldest_s for line in seen.lanes if line.oldest_s), default=None)
    oldest = f", the oldest for {_span(oldest_s)}" if oldest_s is not None else ""
    parts = [
        f"{seen.at}  {seen.waiting} wait{oldest}; {seen.on_nodes} on nodes; "
        f"{seen.usable_nodes} of {len(seen.nodes)} nodes take jobs",
        _broker_text(broker),
        _table(
            "lane",
            ("", "waiting", "on nodes", "oldest"),
            [(line.lane, line.waiting, line.on_nodes, _span(line.oldest_s)) for line in seen.lanes],
        ),
        _table(
            "node",
            ("", "health", "duty", "held", "asked", "problem"),
            [
                (
                    line.name,
                    line.health,
                    line.duty,
                    f"{line.held}/{line.depth}",
                    _ago(line.probed_s),
                    line.problem or "–",
                )
                for line in seen.nodes
            ],
        ),
        _table(
            "user",
            ("", "live waiting", "batch waiting", "on nodes"),
            [
                (line.email, line.waiting_live, line.waiting_batch, line.on_nodes)
                for line in seen.users
            ],
            count=seen.users_count,
        ),
        _table(
            "on nodes",
            ("", "state", "node", "lane", "user", "attempt", "age", "lease"),
            [
                (
                    job.id,
                    _state(job),
                    job.node or "gone",
                    job.lane,
                    job.email,
                    job.attempt,
                    _span(job.age_s),
                    _lease(job.lease_s),
                )
                for job in seen.held
            ],
            count=seen.on_nodes,
        ),
        _table(
            "waiting longest",
            ("", "lane", "user", "attempts so far", "age"),
            [
                (job.id, job.lane, job.email, job.attempt, _span(job.age_s))
                for job in seen.oldest[:OLDEST]
            ],
            count=seen.waiting,
        ),
        _table(
            "more than one attempt",
            ("", "state", "attempt", "failures", "node", "user"),
            [
                (job.id, _state(job), job.attempt, job.failures, job.node or "–", job.email)
                for job in seen.retried
            ],
            count=seen.retried_count,
        ),
    ]
    return "\n\n".join(part for part in parts if part)


def _broker_text(broker: BrokerLook) -> str:
    if broker.messages is None or broker.workers is None:
        return (
            f"celery   {broker.problem} Jobs wait in the database meanwhile; nobody can be asked "
            "who works. Does PENCIL_REDIS_URL name the workers' Redis?"
        )
    messages = ", ".join(f"{name} {length}" for name, length in broker.messages.items())
    workers = ", ".join(broker.workers) or "nobody answered; is a worker running?"
    return f"celery   messages: {messages}\nworkers  {workers}"


def _table(
    title: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    count: int | None = None,
) -> str:
    """Lines in columns under `title`; nothing for no rows. `count` is how many rows there are."""
    if not rows:
        return ""
    lines = [[title, *heads[1:]], *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [_line(line, widths) for line in lines]
    if count is not None and count > len(rows):
        text.append(f"… and {count - len(rows)} more")
    return "\n".join(text)


def _line(cells: Iterable[str], widths: Iterable[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()


def _cell(value: object) -> str:
    """A value as text that does nothing to a terminal."""
    return "".join(char if char.isprintable() else " " for char in str(value))


def _state(job: JobLine) -> str:
    return f"{job.state}, to be cancelled" if job.is_cancelling else job.state


def _lease(left_s: float | None) -> str:
    if left_s is None:
        return "–"
    return f"{left_s:.0f} s left" if left_s > 0 else f"ran out {_span(-left_s)} ago"


def _ago(seconds: float | None) -> str:
    return "never" if seconds is None else f"{_span(seconds)} ago"


def _span(seconds: float | None) -> str:
    """A time span in its two largest units."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _database_away(error: DatabaseError) -> str:
    lines = str(error).strip().splitlines()
    return f"The database cannot be read: {lines[0] if lines else type(error).__name__}"


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError("give 0.1 to 3600 seconds")
    return seconds
