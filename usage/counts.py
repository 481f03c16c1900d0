"""Counts of accepted generations by UTC day, under a keyed hash of the caller's address.

They are in a database of their own, `PENCIL_USAGE_DB`, where no row names a user: whoever reads
one of the two databases cannot say who sat at which address. It is a second Django database and
not a file opened by hand, because it may be PostgreSQL too: with `UsageRouter` it costs ten lines,
and migrations, threads and tests work as everywhere.

A count is written after the accept has committed, by `usage.count_writer`, and may be lost:
nothing is charged by it.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import structlog
from django.conf import settings
from django.db import Error
from django.db.models import Count, Sum
from django.http import HttpRequest
from django.utils import timezone

from usage.addresses import caller_network
from usage.models import AddressDay
from usage.upserts import counter_add

log = structlog.get_logger(__name__)

STATS_DAYS = 30


@dataclass(frozen=True, slots=True)
class DayCount:
    """What was accepted on one UTC day, and from how many callers."""

    day: date
    accepted: int
    distinct_callers: int


@dataclass(frozen=True, slots=True)
class UsageStats:
    """The last `STATS_DAYS` days, the oldest first and today last, and the count of all days."""

    days: list[DayCount]
    total_accepted: int

    @property
    def today(self) -> DayCount:
        """The day that is not over."""
        return self.days[-1]


def caller_hash(request: HttpRequest) -> str:
    """The name under which a caller is counted: HMAC-SHA256 with `PENCIL_USAGE_SALT`, in hex.

    Its message is `caller_network`. The salt makes the hash useless to whoever has the database
    alone: without it, all addresses could be tried.
    """
    salt: str = settings.PENCIL.usage_salt
    return hmac.new(salt.encode(), caller_network(request).encode(), "sha256").hexdigest()


def count_add(address_hash: str, count: int, *, now: datetime) -> None:
    """Add accepted generations to the caller's UTC day. Call after the accept has committed.

    The jobs are accepted by then, so a database that fails is an event in the log and no more.
    """
    day = now.astimezone(UTC).date()
    try:
        counter_add(AddressDay, "accepted", count, day=day, address_hash=address_hash)
    except Error:
        log.exception("accepted generations not counted", count=count)


def usage_stats(*, now: datetime | None = None) -> UsageStats:
    """How many generations were accepted, and from how many callers, in two queries."""
    today = (now or timezone.now()).astimezone(UTC).date()
    first = today - timedelta(days=STATS_DAYS - 1)
    rows = (
        AddressDay.objects.filter(day__range=(first, today))
        .values("day")
        .annotate(total=Sum("accepted"), callers=Count("id"))
        .values_list("day", "total", "callers")
    )
    counted = {day: DayCount(day, total, callers) for day, total, callers in rows}
    days = [first + timedelta(days=offset) for offset in range(STATS_DAYS)]
    return UsageStats(
        days=[counted.get(day, DayCount(day, 0, 0)) for day in days],
        total_accepted=AddressDay.objects.aggregate(total=Sum("accepted"))["total"] or 0,
    )
