"""`manage.py job_cancel`: cancel jobs as their owners would."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections import Counter
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from generation.models import Job
from generation.overview import jobs_named, jobs_unended
from generation.publisher import publisher_flush
from generation.services import jobs_cancel
from generation.states import TERMINAL, JobState
from usage.models import User


class Command(BaseCommand):
    """Cancels jobs; ends with 1 if one that was named is not there."""

    help = "Cancel jobs: those named, a user's, or all that have not ended. Nothing is charged."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name the jobs, their user, or all."""
        parser.add_argument("jobs", nargs="*", type=UUID, metavar="id")
        parser.add_argument("--user", metavar="EMAIL", help="all that this user has")
        parser.add_argument("--all", action="store_true", help="all that there are, of everybody")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Cancel, and say what became of how many."""
        named: set[UUID] = set(options["jobs"])
        email = options["user"]
        if sum((bool(named), email is not None, options["all"])) != 1:
            raise CommandError("Give the ids of jobs, or --user EMAIL, or --all.")
        if email is not None and not User.objects.filter(email__iexact=email).exists():
            raise CommandError(f"There is no user {email}.")
        jobs = jobs_named(named) if named else jobs_unended(email=email or "")
        ended = {job.id for job in jobs if job.state in TERMINAL}
        jobs_cancel(job for job in jobs if job.id not in ended)
        publisher_flush()
        self._tell([job for job in jobs if job.id not in ended], had_ended=len(ended))
        missing = named - {job.id for job in jobs}
        for job_id in sorted(missing):
            self.stderr.write(f"{job_id}: There is no such job.")
        if missing:
            sys.exit(1)

    def _tell(self, jobs: list[Job], *, had_ended: int) -> None:
        rows = Job.objects.in_bulk([job.id for job in jobs]).values()
        counts = Counter(_outcome(row) for row in rows)
        if had_ended:
            counts["had ended before"] += had_ended
        for outcome, count in counts.items():
            self.stdout.write(f"{count} {outcome}")
        if not counts:
            self.stdout.write("There is nothing to cancel.")


def _outcome(job: Job) -> str:
    if job.state == JobState.CANCELLED:
        return "cancelled"
    if job.state in TERMINAL:
        return f"{job.state} meanwhile"
    return "to be cancelled as soon as its node has let go"
