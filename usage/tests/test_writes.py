"""Statements that change rows and go to the database in one message."""

from __future__ import annotations

from datetime import date
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F, IntegerField
from pytest_django import DjangoAssertNumQueries

from usage.models import LedgerEntry, LedgerKind, Plan, QuotaDay, User
from usage.statements import Slot, Update
from usage.upserts import copied, counter_raise, insert_next, inserted
from usage.writes import Write, write_together

TODAY, TOMORROW = date(2026, 3, 1), date(2026, 3, 2)
ADD = Update(
    lambda: (
        QuotaDay.objects.filter(user_id=Slot("user_id", IntegerField())),
        {"used": F("used") + Slot("more", IntegerField())},
    )
)


def new_day(user: User, day: date, used: int = 1) -> QuotaDay:
    """A row that is not kept yet."""
    return QuotaDay(user=user, day=day, used=used)


def days_of(user: User) -> dict[date, int]:
    """What is kept."""
    return dict(QuotaDay.objects.filter(user=user).values_list("day", "used"))


def messages(count: int) -> int:
    """How many messages `count` statements are that go together."""
    return 1 if connection.vendor == "postgresql" else count


def test_each_says_how_many_rows_it_changed(
    owner: User, stranger: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    new_day(owner, TODAY).save()
    new_day(owner, TOMORROW).save()
    ADD.write(user_id=0, more=1).run()  # SQLite is asked how it quotes

    with django_assert_num_queries(messages(3)):
        counts = write_together(
            ADD.write(user_id=owner.pk, more=5),
            ADD.write(user_id=0, more=5),
            inserted([new_day(stranger, TODAY), new_day(stranger, TOMORROW)]),
        )

    assert counts == [2, 0, 2]
    assert days_of(owner) == {TODAY: 6, TOMORROW: 6}
    assert days_of(stranger) == {TODAY: 1, TOMORROW: 1}


@pytest.mark.parametrize("runs", [1, 7], ids=["once", "often enough to be kept"])
def test_none_is_kept_where_one_cannot_be(owner: User, stranger: User, runs: int) -> None:
    new_day(owner, TODAY).save()
    new_day(stranger, TODAY).save()

    for _ in range(runs):
        with pytest.raises(IntegrityError), transaction.atomic():
            write_together(
                ADD.write(user_id=owner.pk, more=5), inserted([new_day(stranger, TODAY)])
            )

    assert days_of(owner) == {TODAY: 1}


def test_percent_signs_stay_what_they_are(owner: User) -> None:
    named = Update(lambda: (Plan.objects.filter(name="50 %"), {"weight": 7}))
    Plan.objects.create(name="50 %")

    assert write_together(named.write(), inserted([Plan(name="100 %")])) == [1, 1]
    assert dict(Plan.objects.values_list("name", "weight")) == {"50 %": 7, "100 %": 1}


def test_a_copy_differs_in_what_is_said(owner: User) -> None:
    job_id = uuid4()
    reserve = {"user": owner, "day": TODAY, "job_id": job_id, "amount": 1}
    LedgerEntry.objects.create(**reserve, kind=LedgerKind.RESERVE)

    copy = copied(LedgerEntry, {"kind": LedgerKind.SETTLE, "amount": 0}, job_id=job_id)

    assert copy.run() == 1
    settled = LedgerEntry.objects.get(kind=LedgerKind.SETTLE)
    assert (settled.user, settled.day, settled.job_id, settled.amount) == (owner, TODAY, job_id, 0)
    assert copied(LedgerEntry, {"amount": 0}, job_id=uuid4()).run() == 0


def test_a_number_is_raised_and_never_falls(owner: User) -> None:
    def raised(value: int) -> Write:
        return counter_raise(QuotaDay, "used", value, user_id=owner.pk, day=TODAY)

    seen = []
    for value in (3, 5, 4, 6):
        raised(value).run()
        seen.append(days_of(owner)[TODAY])

    assert seen == [3, 5, 5, 6]


def test_the_next_number_is_the_rows(
    owner: User, stranger: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    def insert(user: User) -> int:
        # A plan that is numbered by a day's count.
        plan = Plan(name=f"{user.pk} {uuid4()}")
        insert_next(plan, "weight", QuotaDay, "used", user_id=user.pk, day=TODAY)
        return plan.weight

    with django_assert_num_queries(messages(2) * 3):
        assert [insert(owner), insert(owner), insert(stranger)] == [1, 2, 1]

    plans = Plan.objects.filter(name__startswith=f"{owner.pk} ").order_by("pk")
    assert list(plans.values_list("weight", flat=True)) == [1, 2]
    assert days_of(owner) == {TODAY: 2}


def test_what_is_written_before_a_numbered_row_goes_with_it(
    owner: User, stranger: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    new_day(stranger, TODAY).save()
    ADD.write(user_id=0, more=1).run()  # SQLite is asked how it quotes
    plan = Plan(name="numbered")

    with django_assert_num_queries(messages(4)):
        counts = insert_next(
            plan,
            "weight",
            QuotaDay,
            "used",
            ADD.write(user_id=0, more=1),
            ADD.write(user_id=stranger.pk, more=6),
            user_id=owner.pk,
            day=TODAY,
        )

    assert counts == [0, 1]
    assert list(Plan.objects.filter(name="numbered").values_list("weight", flat=True)) == [1]
    assert (days_of(owner), days_of(stranger)) == ({TODAY: 1}, {TODAY: 7})


@pytest.mark.parametrize("runs", [1, 7], ids=["once", "often enough to be kept"])
@pytest.mark.parametrize("has_day", [True, False])
def test_a_row_is_numbered_only_where_what_it_needs_has_changed(
    owner: User, stranger: User, *, has_day: bool, runs: int
) -> None:
    if has_day:
        new_day(stranger, TODAY).save()

    for number in range(1, runs + 1):
        plan = Plan(name=f"numbered {number}", weight=0)
        counts = insert_next(
            plan,
            "weight",
            QuotaDay,
            "used",
            ADD.write(user_id=stranger.pk, more=2),
            ADD.write(user_id=0, more=1),
            provided=0,
            user_id=owner.pk,
            day=TODAY,
        )
        assert counts == [has_day, 0]
        assert plan.weight == (number if has_day else 0)

    assert Plan.objects.filter(name__startswith="numbered").count() == (runs if has_day else 0)
    assert days_of(owner) == ({TODAY: runs} if has_day else {})
    assert days_of(stranger) == ({TODAY: 1 + 2 * runs} if has_day else {})


def test_a_row_that_cannot_be_numbered_takes_what_goes_with_it_back(
    owner: User, stranger: User
) -> None:
    Plan.objects.create(name="taken")

    with pytest.raises(IntegrityError), transaction.atomic():
        insert_next(
            Plan(name="taken"),
            "weight",
            QuotaDay,
            "used",
            inserted([new_day(stranger, TODAY)]),
            user_id=owner.pk,
            day=TODAY,
        )

    assert days_of(owner) == days_of(stranger) == {}
