"""Plans: what a user may have, from their own row, their plan, or the server's settings."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from usage.models import User


@dataclass(frozen=True, slots=True)
class Terms:
    """A user's limits; `daily_limit` None is none, `weight` is their share of GPU time."""

    daily_limit: int | None
    in_flight_limit: int
    queue_limit: int
    weight: int


def terms_of(user: User) -> Terms:
    """The user's limits: their own before their plan's before the server's."""
    server = settings.PENCIL
    plan = user.plan
    daily_limit: int | None = server.daily_limit
    if plan is not None and plan.daily_limit is not None:
        daily_limit = plan.daily_limit
    if user.daily_limit is not None:
        daily_limit = user.daily_limit
    return Terms(
        daily_limit=daily_limit,
        in_flight_limit=(plan and plan.in_flight_limit) or server.in_flight_limit,
        queue_limit=(plan and plan.queue_limit) or server.queue_limit,
        weight=plan.weight if plan else 1,
    )
