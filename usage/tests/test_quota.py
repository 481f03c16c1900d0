"""The quota ledger: what is reserved, settled and refunded, and what the counters say."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.db.models import Sum

from usage.exceptions import QuotaExhausted
from usage.models import LedgerEntry, QuotaDay, User
from usage.quota import quota_refund, quota_reserve, quota_settle, usage_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NEXT_DAY = datetime(2026, 3, 2, 0, 0, 1, tzinfo=UTC)


def test_a_reservation_counts_at_once(owner: User) -> None:
    quota_reserve(owner, [uuid4(), uuid4()], now=NOON).run()

    usage = usage_of(owner, now=NOON)
    assert (usage.used_today, usage.total, usage.remaining) == (2, 2, 98)


def test_a_settlement_keeps_the_count(owner: User) -> None:
    job_id = uuid4()
    quota_reserve(owner, [job_id], now=NOON).run()

    quota_settle(job_id).run()

    assert usage_of(owner, now=NOON).used_today == 1


def test_a_refund_after_midnight_goes_back_to_the_day_of_the_reservation(owner: User) -> None:
    job_id = uuid4()
    quota_reserve(owner, [job_id], now=NOON).run()
    quota_reserve(owner, [uuid4()], now=NEXT_DAY).run()

    quota_refund(job_id)

    assert usage_of(owner, now=NOON).used_today == 0
    assert usage_of(owner, now=NEXT_DAY).used_today == 1


def test_a_job_is_never_both_settled_and_refunded(owner: User) -> None:
    job_id = uuid4()
    quota_reserve(owner, [job_id], now=NOON).run()
    quota_settle(job_id).run()

    with pytest.raises(IntegrityError), transaction.atomic():
        quota_refund(job_id)

    assert usage_of(owner, now=NOON).used_today == 1


def test_a_job_is_never_reserved_twice(owner: User) -> None:
    job_id = uuid4()
    quota_reserve(owner, [job_id], now=NOON).run()

    with pytest.raises(IntegrityError), transaction.atomic():
        quota_reserve(owner, [job_id], now=NOON).run()


def test_asking_for_more_than_is_left_takes_nothing(owner: User) -> None:
    owner.daily_limit = 3
    quota_reserve(owner, [uuid4(), uuid4()], now=NOON).run()

    with pytest.raises(QuotaExhausted) as refusal:
        quota_reserve(owner, [uuid4(), uuid4()], now=NOON).run()

    assert refusal.value.extra == {"limit": 3, "remaining": 1}
    assert refusal.value.retry_after_s == 12 * 3600
    assert usage_of(owner, now=NOON).used_today == 2


@pytest.mark.parametrize("limit", [0, 1], ids=["none at all", "one"])
def test_a_limit_of_ones_own_holds(owner: User, limit: int) -> None:
    owner.daily_limit = limit

    with pytest.raises(QuotaExhausted):
        quota_reserve(owner, [uuid4(), uuid4()], now=NOON).run()


def test_the_ledger_sums_up_to_the_counters(owner: User, stranger: User) -> None:
    jobs = [uuid4() for _ in range(6)]
    quota_reserve(owner, jobs[:4], now=NOON).run()
    quota_reserve(stranger, jobs[4:], now=NOON).run()
    quota_settle(jobs[0]).run()
    quota_refund(jobs[1])
    quota_refund(jobs[4])

    for user in (owner, stranger):
        ledger = LedgerEntry.objects.filter(user=user).aggregate(total=Sum("amount"))["total"]
        assert ledger == QuotaDay.objects.get(user=user).used


def test_usage_costs_two_queries(owner: User, django_assert_num_queries: object) -> None:
    with django_assert_num_queries(2):  # type: ignore[operator]  # a fixture without types
        usage_of(owner, now=NOON)
