"""Rows that are made or changed in one statement."""

from __future__ import annotations

from datetime import date

import pytest
from django.db import connections
from pytest_django import DjangoAssertNumQueries

from usage.models import AddressDay, QuotaDay, User
from usage.upserts import counter_add, counter_add_within, insert_once

TODAY, TOMORROW = date(2026, 3, 1), date(2026, 3, 2)


def add(user: User, count: int, *, day: date = TODAY) -> int:
    """Add to a user's day."""
    return counter_add(QuotaDay, "used", count, user_id=user.pk, day=day)


def add_within(user: User, count: int, at_most: int | None) -> bool:
    """Add to a user's day unless it would pass a limit."""
    return counter_add_within(QuotaDay, "used", count, at_most=at_most, user_id=user.pk, day=TODAY)


def used(user: User, day: date = TODAY) -> list[int]:
    """What stands there."""
    return list(QuotaDay.objects.filter(user=user, day=day).values_list("used", flat=True))


def test_a_counter_begins_with_what_is_added_first(owner: User) -> None:
    assert add(owner, 3) == 3
    assert used(owner) == [3]


def test_each_key_has_a_counter_of_its_own(owner: User, stranger: User) -> None:
    add(owner, 1)
    add(stranger, 10)
    add(owner, 100, day=TOMORROW)

    assert add(owner, 1) == 2
    assert (used(owner), used(stranger), used(owner, TOMORROW)) == ([2], [10], [100])


@pytest.mark.parametrize(
    ("before", "count", "at_most", "after"),
    [
        (0, 3, 3, 3),
        (2, 1, 3, 3),
        (3, 1, 3, None),
        (1, 3, 3, None),
        (0, 4, 3, None),
        (5, 1, 3, None),
        (5, 1, None, 6),
    ],
    ids=["all", "the last", "one too many", "half too many", "never", "above already", "no limit"],
)
def test_a_counter_never_passes_what_it_may_be(
    owner: User, before: int, count: int, at_most: int | None, after: int | None
) -> None:
    add(owner, before)

    assert add_within(owner, count, at_most) == (after is not None)
    assert used(owner) == [before if after is None else after]


def test_what_never_fits_makes_no_counter(owner: User) -> None:
    assert not add_within(owner, 2, 1)
    assert used(owner) == []


@pytest.mark.parametrize("before", [False, True], ids=["new", "old"])
def test_adding_costs_one_statement(
    owner: User, django_assert_num_queries: DjangoAssertNumQueries, *, before: bool
) -> None:
    if before:
        add(owner, 1)

    with django_assert_num_queries(1):
        add_within(owner, 1, 5)


def test_the_database_is_the_models_own(db: None) -> None:
    assert counter_add(AddressDay, "accepted", 2, day=TODAY, address_hash="a") == 2
    with connections["usage"].cursor() as cursor:
        cursor.execute("SELECT accepted FROM usage_addressday")
        assert cursor.fetchall() == [(2,)]


def test_a_row_is_inserted_once(
    owner: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(2):
        assert insert_once(QuotaDay(user=owner, day=TODAY, used=1))
        assert not insert_once(QuotaDay(user=owner, day=TODAY, used=7))

    assert insert_once(QuotaDay(user=owner, day=TOMORROW, used=2))
    assert (used(owner), used(owner, TOMORROW)) == ([1], [2])
