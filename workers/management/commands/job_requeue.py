"""`manage.py job_requeue`: take jobs back from their nodes."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand

from generation.exceptions import NotFound
from generation.publisher import publisher_flush
from workers.clients import clients_close
from workers.recall import NotRecallable, job_recall


class Command(BaseCommand):
    """Gives jobs back to the queue; ends with 1 if one of them was not."""

    help = "Give jobs that are on a node back to the queue; their attempts count as nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name the jobs."""
        parser.add_argument("jobs", nargs="+", type=UUID, metavar="id")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Print a line a job."""
        refused = 0
        for job_id in dict.fromkeys(options["jobs"]):
            try:
                job_recall(job_id)
            except (NotFound, NotRecallable) as error:
                refused += 1
                self.stderr.write(f"{job_id}: {error}")
            else:
                self.stdout.write(f"{job_id}: waits in the queue again.")
        clients_close()
        publisher_flush()
        if refused:
            sys.exit(1)
