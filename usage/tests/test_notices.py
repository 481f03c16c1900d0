"""Notices: heard at the commit, by whoever listens then."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from django.db import connection, transaction

from usage import notices
from usage.notices import notice, notices_hear
from usage.writes import Write, write_together

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

CHANNEL = "a test's own"
WITHIN_S = 30.0
NOT_WITHIN_S = 0.3


class Listener:
    """What listens, in a thread of its own."""

    def __init__(self) -> None:
        self.heard: queue.Queue[float] = queue.Queue()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._listen)
        self.thread.start()

    def hears(self) -> bool:
        """Whether it hears something soon."""
        try:
            self.heard.get(timeout=WITHIN_S)
        except queue.Empty:
            return False
        return True

    def hears_nothing(self) -> bool:
        """Whether it hears nothing for a while."""
        time.sleep(NOT_WITHIN_S)
        return self.heard.empty()

    def _listen(self) -> None:
        notices_hear(CHANNEL, lambda: self.heard.put(time.monotonic()), stop=self.stop)


def listening() -> list[int]:
    """The server's processes whose clients listen."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND state = 'idle' AND (query LIKE 'LISTEN%%' OR query = 'SELECT 1')"
        )
        return [pid for (pid,) in cursor.fetchall()]


def until(holds: Callable[[], object]) -> None:
    """Wait for something that comes by itself."""
    ends_at = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < ends_at, "it did not come"
        time.sleep(0.01)


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """One that listens by now."""
    monkeypatch.setattr(notices, "ASK_EVERY_S", 0.2)
    monkeypatch.setattr(notices, "RETRY_S", 0.01)
    made = Listener()
    until(listening)
    yield made
    made.stop.set()
    made.thread.join(WITHIN_S)
    assert not made.thread.is_alive()


def test_a_notice_is_heard_at_the_commit_and_not_before(listener: Listener) -> None:
    with transaction.atomic():
        notice(CHANNEL).run()
        assert listener.hears_nothing()

    assert listener.hears()


def test_several_in_one_transaction_are_heard_once(listener: Listener) -> None:
    with transaction.atomic():
        notice(CHANNEL).run()
        notice(CHANNEL).run()

    assert listener.hears()
    assert listener.hears_nothing()


def test_what_was_not_kept_is_not_heard(listener: Listener) -> None:
    with transaction.atomic():
        notice(CHANNEL).run()
        transaction.set_rollback(True)

    assert listener.hears_nothing()


def test_a_notice_on_another_channel_is_not_heard(listener: Listener) -> None:
    notice("another's").run()

    assert listener.hears_nothing()


@pytest.mark.parametrize("is_last", [True, False])
def test_a_notice_goes_with_other_writes(listener: Listener, *, is_last: bool) -> None:
    other = Write("SELECT 1", [])

    write_together(*([other, notice(CHANNEL)] if is_last else [notice(CHANNEL), other]))

    assert listener.hears()


def test_it_goes_on_listening_when_nothing_was_said_for_long(listener: Listener) -> None:
    until(lambda: any(listening()))
    time.sleep(3 * notices.ASK_EVERY_S)
    notice(CHANNEL).run()

    assert listener.hears()


def test_a_connection_that_ends_is_made_again(listener: Listener) -> None:
    (before,) = listening()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [before])
    until(lambda: set(listening()) - {before})
    notice(CHANNEL).run()

    assert listener.hears()
