"""Counts by caller and day: what is added, what the sums say, and what they never say."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from django.db import connection, connections
from django.test import RequestFactory
from pytest_django import DjangoAssertNumQueries, Settings
from rest_framework.test import APIClient

from usage.counts import caller_hash, count_add, usage_stats
from usage.models import AddressDay, User

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def broken(db: None) -> None:
    """The database of the counts has lost its table."""
    with connections["usage"].cursor() as cursor:
        cursor.execute("ALTER TABLE usage_addressday RENAME TO gone")


def counted() -> dict[tuple[date, str], int]:
    """All rows."""
    return {(row.day, row.address_hash): row.accepted for row in AddressDay.objects.all()}


def test_counts_are_in_a_database_of_their_own(db: None) -> None:
    assert AddressDay.objects.all().db == "usage"
    assert "usage_addressday" not in connection.introspection.table_names()
    assert sorted(connections["usage"].introspection.table_names()) == [
        "django_migrations",
        "usage_addressday",
    ]


def test_a_caller_is_named_by_a_keyed_hash(settings: Settings) -> None:
    settings.PENCIL = dataclasses.replace(settings.PENCIL, usage_salt="salt")
    request = RequestFactory().get("/", REMOTE_ADDR="203.0.113.77")

    name = caller_hash(request)

    assert name == hmac.new(b"salt", b"203.0.113.77", hashlib.sha256).hexdigest()


def test_another_salt_makes_another_name(settings: Settings) -> None:
    request = RequestFactory().get("/", REMOTE_ADDR="203.0.113.77")
    first = caller_hash(request)

    settings.PENCIL = dataclasses.replace(settings.PENCIL, usage_salt="another")

    assert caller_hash(request) != first


def test_accepted_generations_add_up_by_caller_and_day(db: None) -> None:
    count_add(ONE, 1, now=NOON)
    count_add(ONE, 128, now=NOON)
    count_add(OTHER, 2, now=NOON)
    count_add(ONE, 4, now=NOON + timedelta(days=1))

    today, tomorrow = date(2026, 3, 1), date(2026, 3, 2)
    assert counted() == {(today, ONE): 129, (today, OTHER): 2, (tomorrow, ONE): 4}


def test_the_day_is_that_of_utc(db: None) -> None:
    west = timezone(timedelta(hours=-8))

    count_add(ONE, 1, now=datetime(2026, 3, 1, 16, tzinfo=west))

    assert counted() == {(date(2026, 3, 2), ONE): 1}


def test_adding_is_one_statement(
    db: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(1, connection=connections["usage"]):
        count_add(ONE, 1, now=NOON)


@pytest.mark.django_db(transaction=True)
def test_counts_that_are_added_at_once_are_all_there() -> None:
    def add(_: int) -> None:
        try:
            count_add(ONE, 3, now=NOON)
        finally:
            connections["usage"].close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(100)))

    assert counted() == {(NOON.date(), ONE): 300}


@pytest.mark.usefixtures("broken")
def test_a_broken_database_of_counts_is_an_event_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    count_add(ONE, 5, now=NOON)

    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "accepted generations not counted" in record.getMessage()
    assert "'count': 5" in record.getMessage()
    assert ONE not in record.getMessage()


# --- The sums ---


def test_the_sums_of_30_days_end_today(db: None) -> None:
    count_add(ONE, 3, now=NOON)
    count_add(OTHER, 4, now=NOON)
    count_add(ONE, 5, now=NOON - timedelta(days=29))
    count_add(ONE, 100, now=NOON - timedelta(days=30))

    stats = usage_stats(now=NOON)

    assert [count.day for count in stats.days] == [
        date(2026, 1, 31) + timedelta(days=offset) for offset in range(30)
    ]
    assert dataclasses.astuple(stats.today) == (date(2026, 3, 1), 7, 2)
    assert dataclasses.astuple(stats.days[0]) == (date(2026, 1, 31), 5, 1)
    assert {(count.accepted, count.distinct_callers) for count in stats.days[1:-1]} == {(0, 0)}
    assert stats.total_accepted == 112


def test_an_unused_server_has_zeros(db: None) -> None:
    stats = usage_stats(now=NOON)

    assert dataclasses.astuple(stats.today) == (NOON.date(), 0, 0)
    assert len(stats.days) == 30
    assert stats.total_accepted == 0


def test_the_sums_cost_two_queries(
    db: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for day in range(40):
        count_add(ONE, 1, now=NOON - timedelta(days=day))

    with django_assert_num_queries(2, connection=connections["usage"]):
        usage_stats(now=NOON)


def test_staff_sees_the_sums_and_no_hash(owner: User, api: APIClient) -> None:
    owner.is_staff = True
    count_add(ONE, 3, now=datetime.now(UTC))
    count_add(OTHER, 1, now=datetime.now(UTC))

    response = api.get("/api/usage/stats")

    body = response.json()
    assert response.status_code == 200
    assert set(body) == {"today", "days", "total_accepted"}
    assert body["today"] == {"accepted": 4, "distinct_callers": 2}
    assert set(body["days"][-1]) == {"day", "accepted", "distinct_callers"}
    assert len(body["days"]) == 30
    assert body["total_accepted"] == 4
    assert ONE not in response.content.decode()


def test_who_is_not_staff_does_not_see_the_sums(api: APIClient) -> None:
    response = api.get("/api/usage/stats")

    assert (response.status_code, response.json()["code"]) == (403, "permission_denied")


def test_who_is_not_signed_in_does_not_see_the_sums(db: None) -> None:
    response = APIClient().get("/api/usage/stats")

    assert (response.status_code, response.json()["code"]) == (401, "not_authenticated")
