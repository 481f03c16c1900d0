"""The quota: reserve with the insert, settle on success, refund on failure and cancel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from django.db.models import DateField, F, IntegerField, Sum
from django.utils import timezone

from usage.exceptions import QuotaExhausted
from usage.models import LedgerEntry, LedgerKind, QuotaDay, User
from usage.plans import terms_of
from usage.statements import Select, Slot
from usage.upserts import copied, counter_add_within, inserted
from usage.writes import Write


@dataclass(frozen=True, slots=True)
class Usage:
    """What a user has used; `limit` and `remaining` are None where there is no limit."""

    used_today: int
    total: int
    limit: int | None
    resets_at: datetime

    @property
    def remaining(self) -> int | None:
        """Images left today."""
        return None if self.limit is None else max(0, self.limit - self.used_today)


_USED = Select(
    lambda: QuotaDay.objects.filter(
        user_id=Slot("user_id", IntegerField()), day=Slot("day", DateField())
    ).values_list("used")
)


def quota_reserve(user: User, job_ids: Sequence[UUID], *, now: datetime | None = None) -> Write:
    """Take one image a job from the user's day. Call inside the transaction that inserts the jobs.

    The count changes by one conditional statement: parallel requests cannot pass the limit
    together. Returns the ledger's lines for it, which the caller writes with the jobs.

    Raises:
        QuotaExhausted: fewer images are left than jobs; nothing was taken.
    """
    now = now or timezone.now()
    today = now.astimezone(UTC).date()
    limit = terms_of(user).daily_limit
    day = {"user_id": user.pk, "day": today}
    if not counter_add_within(QuotaDay, "used", len(job_ids), at_most=limit, **day):
        raise _exhausted(limit or 0, _used(user, today), today=today, now=now)
    return inserted(
        [
            LedgerEntry(user=user, day=today, job_id=job_id, kind=LedgerKind.RESERVE, amount=1)
            for job_id in job_ids
        ]
    )


def quota_lock(user: User, *, now: datetime | None = None) -> None:
    """Lock the days that a refund and a reservation may touch, in their order.

    Call inside a transaction that does both and takes other locks in between.
    """
    yesterday = (now or timezone.now()).astimezone(UTC).date() - timedelta(days=1)
    days = QuotaDay.objects.filter(user=user, day__gte=yesterday)
    list(days.select_for_update().order_by("day"))


def quota_check(user: User, count: int, *, now: datetime | None = None) -> None:
    """Refuse early what `quota_reserve` would refuse, before anything costly is done for it.

    Raises:
        QuotaExhausted: fewer than `count` images are left today.
    """
    limit = terms_of(user).daily_limit
    if limit is None:
        return
    now = now or timezone.now()
    today = now.astimezone(UTC).date()
    used = _used(user, today)
    if limit - used < count:
        raise _exhausted(limit, used, today=today, now=now)


def quota_settle(job_id: UUID) -> Write:
    """Keep the job's image on the count, in the transaction that makes it succeed.

    Returns the ledger's line for it; no row comes of it where nothing was reserved.
    """
    settled = {"kind": LedgerKind.SETTLE, "amount": 0, "created_at": timezone.now()}
    return copied(LedgerEntry, settled, job_id=job_id, kind=LedgerKind.RESERVE)


def quota_refund(job_id: UUID) -> None:
    """Give the job's image back to the day it came from. Call inside the ending transaction."""
    reserved = LedgerEntry.objects.get(job_id=job_id, kind=LedgerKind.RESERVE)
    LedgerEntry.objects.create(
        user_id=reserved.user_id, day=reserved.day, job_id=job_id, kind=LedgerKind.REFUND, amount=-1
    )
    QuotaDay.objects.filter(user_id=reserved.user_id, day=reserved.day).update(used=F("used") - 1)


def usage_of(user: User, *, now: datetime | None = None) -> Usage:
    """What the user has used today and ever, in two queries."""
    today = (now or timezone.now()).astimezone(UTC).date()
    used_today = _used(user, today)
    total = QuotaDay.objects.filter(user=user).aggregate(total=Sum("used"))["total"] or 0
    return Usage(
        used_today=used_today,
        total=total,
        limit=terms_of(user).daily_limit,
        resets_at=_midnight_after(today),
    )


def _used(user: User, day: date) -> int:
    return sum(used for (used,) in _USED.rows(user_id=user.pk, day=day))


def _exhausted(limit: int, used: int, *, today: date, now: datetime) -> QuotaExhausted:
    return QuotaExhausted(
        limit=limit,
        remaining=max(0, limit - used),
        retry_after_s=max(1, int((_midnight_after(today) - now).total_seconds())),
    )


def _midnight_after(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time.min, tzinfo=UTC)
