"""The proof that ledger, counters and jobs say the same.

Every look is one statement, and each transaction leaves all three in order, so it may be taken
while the server works: nothing that is half done is seen. What is wrong comes row by row out of
the database; what is right never leaves it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from django.db.models import Count, Exists, F, IntegerField, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce

from generation.models import Job
from generation.states import ACTIVE, JobState
from usage.models import LedgerEntry, LedgerKind, QuotaDay

_CHUNK = 1000

# The lines that a job has: reservations, settlements, refunds.
_LINES: dict[JobState, tuple[int, int, int]] = {
    **dict.fromkeys(ACTIVE, (1, 0, 0)),
    JobState.SUCCEEDED: (1, 1, 0),
    JobState.FAILED: (1, 0, 1),
    JobState.CANCELLED: (1, 0, 1),
}


class Problem(StrEnum):
    """What is wrong."""

    COUNTER = "counter"  # a user's counter of a day is not the sum of its lines
    JOB = "job"  # a job's lines do not fit its state
    ENDLESS = "endless"  # a reservation that nothing ended, and its job is gone
    UNFOUNDED = "unfounded"  # a settlement or refund of a day without the reservation


@dataclass(frozen=True, slots=True)
class Drift:
    """One place where two of them disagree; `subject` is a day, or a job's id."""

    problem: Problem
    user_id: int
    subject: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class LedgerSize:
    """How much was looked at."""

    users: int
    lines: int


def ledger_size() -> LedgerSize:
    """How many users have lines in the ledger, and how many lines there are."""
    size = LedgerEntry.objects.aggregate(users=Count("user", distinct=True), lines=Count("pk"))
    return LedgerSize(**size)


def ledger_drifts() -> Iterator[Drift]:
    """Everything that is wrong, in five statements, however much there is."""
    yield from _counters()
    yield from _days_without_counter()
    yield from _jobs()
    yield from _endless_reservations()
    yield from _unfounded_outcomes()


def _counters() -> Iterator[Drift]:
    lines = LedgerEntry.objects.filter(user=OuterRef("user"), day=OuterRef("day"))
    total = lines.order_by().values("user", "day").annotate(total=Sum("amount")).values("total")
    rows = (
        QuotaDay.objects.annotate(ledger=Coalesce(Subquery(total), 0))
        .exclude(used=F("ledger"))
        .order_by("user", "day")
        .values_list("user_id", "day", "ledger", "used")
    )
    for user_id, day, ledger, used in rows.iterator(chunk_size=_CHUNK):
        yield Drift(Problem.COUNTER, user_id, str(day), f"used {ledger}", f"used {used}")


def _days_without_counter() -> Iterator[Drift]:
    counter = QuotaDay.objects.filter(user=OuterRef("user"), day=OuterRef("day"))
    rows = (
        LedgerEntry.objects.filter(~Exists(counter))
        .order_by("user", "day")
        .values("user", "day")
        .annotate(ledger=Sum("amount"))
        .exclude(ledger=0)
        .values_list("user", "day", "ledger")
    )
    for user_id, day, ledger in rows.iterator(chunk_size=_CHUNK):
        yield Drift(Problem.COUNTER, user_id, str(day), f"used {ledger}", "no counter")


def _jobs() -> Iterator[Drift]:
    fits = Q(pk__in=[])
    for state, (reserved, settled, refunded) in _LINES.items():
        fits |= Q(state=state, reserved=reserved, settled=settled, refunded=refunded)
    rows = (
        Job.objects.annotate(
            reserved=_lines_of_job(LedgerKind.RESERVE),
            settled=_lines_of_job(LedgerKind.SETTLE),
            refunded=_lines_of_job(LedgerKind.REFUND),
        )
        .exclude(fits)
        .values_list("user_id", "id", "state", "reserved", "settled", "refunded")
    )
    for user_id, job_id, name, *found in rows.iterator(chunk_size=_CHUNK):
        expected = f"{name}: {_said(_LINES[JobState(name)])}"
        yield Drift(Problem.JOB, user_id, str(job_id), expected, _said(tuple(found)))


def _lines_of_job(kind: LedgerKind) -> Coalesce:
    """How many lines of a kind the job has under its own user."""
    lines = LedgerEntry.objects.filter(job_id=OuterRef("pk"), user=OuterRef("user"), kind=kind)
    count = lines.order_by().values("job_id").annotate(count=Count("pk")).values("count")
    return Coalesce(Subquery(count), 0, output_field=IntegerField())


def _endless_reservations() -> Iterator[Drift]:
    reservations = LedgerEntry.objects.filter(kind=LedgerKind.RESERVE)
    ends = LedgerEntry.objects.filter(job_id=OuterRef("job_id")).exclude(kind=LedgerKind.RESERVE)
    rows = reservations.filter(
        ~Exists(Job.objects.filter(pk=OuterRef("job_id"))), ~Exists(ends)
    ).values_list("user_id", "job_id")
    for user_id, job_id in rows.iterator(chunk_size=_CHUNK):
        yield Drift(Problem.ENDLESS, user_id, str(job_id), "a job or an outcome", "neither")


def _unfounded_outcomes() -> Iterator[Drift]:
    reservation = LedgerEntry.objects.filter(
        job_id=OuterRef("job_id"),
        user=OuterRef("user"),
        day=OuterRef("day"),
        kind=LedgerKind.RESERVE,
    )
    outcomes = LedgerEntry.objects.exclude(kind=LedgerKind.RESERVE)
    rows = outcomes.filter(~Exists(reservation)).values_list("user_id", "job_id", "kind", "day")
    for user_id, job_id, kind, day in rows.iterator(chunk_size=_CHUNK):
        expected = f"a reservation of {day}"
        yield Drift(Problem.UNFOUNDED, user_id, str(job_id), expected, f"{kind} alone")


def _said(lines: tuple[int, ...]) -> str:
    reserved, settled, refunded = lines
    return f"reserve {reserved}, settle {settled}, refund {refunded}"
