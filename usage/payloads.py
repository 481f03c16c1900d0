"""Usage as JSON, the same over HTTP and the event socket."""

from typing import TypedDict

from usage.counts import DayCount, UsageStats
from usage.quota import Usage


class UsagePayload(TypedDict):
    """See `Usage`; times are ISO 8601."""

    used_today: int
    total: int
    limit: int | None
    remaining: int | None
    resets_at: str


def usage_payload(usage: Usage) -> UsagePayload:
    """Turn a usage into JSON values."""
    return {
        "used_today": usage.used_today,
        "total": usage.total,
        "limit": usage.limit,
        "remaining": usage.remaining,
        "resets_at": usage.resets_at.isoformat(),
    }


class CountPayload(TypedDict):
    """See `DayCount`."""

    accepted: int
    distinct_callers: int


class DayCountPayload(CountPayload):
    """A day, ISO 8601, with its counts."""

    day: str


class UsageStatsPayload(TypedDict):
    """See `UsageStats`."""

    today: CountPayload
    days: list[DayCountPayload]
    total_accepted: int


def usage_stats_payload(stats: UsageStats) -> UsageStatsPayload:
    """Turn the aggregates into JSON values."""
    return {
        "today": _count(stats.today),
        "days": [{"day": count.day.isoformat(), **_count(count)} for count in stats.days],
        "total_accepted": stats.total_accepted,
    }


def _count(count: DayCount) -> CountPayload:
    return {"accepted": count.accepted, "distinct_callers": count.distinct_callers}
