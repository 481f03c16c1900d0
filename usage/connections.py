"""Connections: given back while whoever holds one waits for something else, and taken in time."""

from __future__ import annotations

from contextlib import suppress

from django.db import DatabaseError, connection


def connection_lend() -> None:
    """Give the thread's connection back to the pool: there are fewer than threads.

    The next query takes one again. Does nothing inside a transaction, and nothing to SQLite, which
    has no pool.
    """
    if connection.vendor == "postgresql" and not connection.in_atomic_block:
        connection.close()


def connection_take() -> None:
    """Take one from the pool before it is needed: that takes a moment that is left now.

    Where there is none, the next query says so.
    """
    with suppress(DatabaseError):
        connection.ensure_connection()
