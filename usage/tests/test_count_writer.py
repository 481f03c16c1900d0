"""Counts that are written by a thread of their own."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.db import connections

from usage.count_writer import count_later, counts_drain
from usage.models import AddressDay

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

# The thread has a connection of its own, and sees what is committed.
pytestmark = pytest.mark.django_db(transaction=True)


def counted() -> dict[str, int]:
    """What stands in the database for each caller."""
    return dict(AddressDay.objects.values_list("address_hash", "accepted"))


def writers() -> list[str]:
    """The threads that write."""
    return [thread.name for thread in threading.enumerate() if thread.name == "counts"]


def test_everything_is_written_by_the_end() -> None:
    for number in range(20):
        count_later("ab"[number % 2], 2, now=NOON)

    counts_drain()

    assert counted() == {"a": 20, "b": 20}
    assert writers() == []


def test_what_comes_in_a_moment_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, int]] = []

    def note(address_hash: str, count: int, *, now: datetime) -> None:
        written.append((address_hash, count))

    monkeypatch.setattr("usage.count_writer.count_add", note)

    for number in range(20):
        count_later("ab"[number % 2], 2, now=NOON)
    counts_drain()

    assert sorted(written) == [("a", 20), ("b", 20)]


def test_after_an_end_there_is_a_new_beginning() -> None:
    count_later("a", 1, now=NOON)
    counts_drain()
    count_later("a", 1, now=NOON)
    counts_drain()
    counts_drain()  # nothing is left, so nothing is waited for

    assert counted() == {"a": 2}


def test_each_count_goes_to_the_day_of_its_accept() -> None:
    count_later("a", 1, now=NOON)
    count_later("a", 5, now=NOON + timedelta(days=1))
    counts_drain()

    assert list(AddressDay.objects.order_by("day").values_list("accepted", flat=True)) == [1, 5]


def test_counts_go_on_after_one_that_could_not_be_written(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with connections["usage"].cursor() as cursor:
        cursor.execute("ALTER TABLE usage_addressday RENAME TO gone")
    count_later("a", 1, now=NOON)
    counts_drain()
    with connections["usage"].cursor() as cursor:
        cursor.execute("ALTER TABLE gone RENAME TO usage_addressday")
    count_later("b", 1, now=NOON)
    counts_drain()

    assert counted() == {"b": 1}
    assert "accepted generations not counted" in caplog.text


def test_counts_from_many_threads_are_all_there() -> None:
    def add_many() -> None:
        for _ in range(25):
            count_later("a", 1, now=NOON)

    threads = [threading.Thread(target=add_many) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    counts_drain()

    assert counted() == {"a": 200}


def test_a_process_that_ends_in_order_writes_what_waits() -> None:
    database = connections["usage"].settings_dict
    program = f"""
import django
from django.conf import settings
django.setup()
settings.DATABASES["usage"]["NAME"] = {str(database["NAME"])!r}
from datetime import datetime, UTC
from usage.count_writer import count_later
for _ in range(50):
    count_later("a", 1, now=datetime(2026, 3, 1, 12, tzinfo=UTC))
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=settings.BASE_DIR, timeout=60)

    assert counted() == {"a": 50}
