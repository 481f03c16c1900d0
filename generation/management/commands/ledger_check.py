"""`manage.py ledger_check`: prove that ledger, counters and jobs say the same."""

from __future__ import annotations

import dataclasses
import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand

from generation.ledger_check import Drift, LedgerSize, ledger_drifts, ledger_size

_ROW = "{:<10} {:<8} {:<36} {:<44} {}"


class Command(BaseCommand):
    """Prints what does not agree; ends with 1 if there is any."""

    help = "Check every counter against the ledger, and the ledger against every job."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take `--json`, for programs."""
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Print the drifts as they are found, then how many there are."""
        show = self._json if options["json"] else self._table
        if show(ledger_size(), ledger_drifts()):
            sys.exit(1)

    def _table(self, size: LedgerSize, drifts: Iterable[Drift]) -> int:
        count = 0
        for count, drift in enumerate(drifts, start=1):
            if count == 1:
                self.stdout.write(_ROW.format("problem", "user", "day or job", "expected", "found"))
            self.stdout.write(_ROW.format(*dataclasses.astuple(drift)))
        self.stdout.write(f"ledger: {size.users} users, {size.lines} lines, drift {count}")
        return count

    def _json(self, size: LedgerSize, drifts: Iterable[Drift]) -> int:
        # Written piece by piece: the list may be longer than what fits into memory.
        count = 0
        self.stdout.write('{"drifts": [', ending="")
        for count, drift in enumerate(drifts, start=1):
            separator = "\n" if count == 1 else ",\n"
            self.stdout.write(separator + json.dumps(dataclasses.asdict(drift)), ending="")
        summary = {"users": size.users, "lines": size.lines, "drift": count}
        self.stdout.write("], " + json.dumps(summary).removeprefix("{"))
        return count
