"""Usage as JSON, the same over HTTP and the event socket."""

from typing import TypedDict

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
