"""The pool's connections to PostgreSQL."""

from __future__ import annotations

import select
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection

from usage.pool import PooledConnection

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def pooled() -> Iterator[PooledConnection]:
    """The test's own connection."""
    connection.ensure_connection()
    assert isinstance(connection.connection, PooledConnection)
    yield connection.connection
    connection.close()


@pytest.fixture
def other() -> Iterator[psycopg.Connection[Any]]:
    """Somebody else's connection to the same database."""
    settings = connection.get_connection_params()
    known = {name: settings[name] for name in ("host", "port", "dbname", "user") if settings[name]}
    with psycopg.connect(**known, autocommit=True) as opened:
        yield opened


def wait_until_said(told: PooledConnection) -> None:
    """Wait until what the server says can be read: it says so a moment after it was done."""
    assert select.select([told], [], [], 30.0)[0]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was sent to the server through `execute`."""
    sent: list[Any] = []
    execute = psycopg.Connection.execute

    def spy(self: Any, query: Any, *arguments: Any, **named: Any) -> Any:
        sent.append(query)
        return execute(self, query, *arguments, **named)

    monkeypatch.setattr(psycopg.Connection, "execute", spy)
    return sent


def test_a_plan_serves_all_values(pooled: PooledConnection) -> None:
    (mode,) = pooled.execute("SHOW plan_cache_mode").fetchone() or ("",)

    assert mode == "force_generic_plan"


def test_a_connection_whose_server_is_silent_is_not_asked(
    pooled: PooledConnection, asked: list[Any]
) -> None:
    pooled.execute("")
    pooled.execute("SELECT 1")

    assert asked == ["SELECT 1"]


def test_a_connection_whose_server_said_something_is_asked(
    pooled: PooledConnection, other: psycopg.Connection[Any], asked: list[Any]
) -> None:
    pooled.execute("LISTEN somebody")
    other.execute("NOTIFY somebody")
    wait_until_said(pooled)
    asked.clear()

    pooled.execute("")
    pooled.execute("")

    assert asked == [""]


def test_a_connection_that_the_server_has_ended_is_replaced(
    pooled: PooledConnection, other: psycopg.Connection[Any]
) -> None:
    ended = pooled.info.backend_pid
    connection.close()  # back into the pool
    other.execute("SELECT pg_terminate_backend(%s)", [ended])
    wait_until_said(pooled)

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()

    assert pid != ended
