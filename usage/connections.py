"""Connections: given back while whoever holds one waits for something else."""

from __future__ import annotations

from django.db import connection


def connection_lend() -> None:
    """Give the thread's connection back to the pool: there are fewer than threads.

    The next query takes one again. Does nothing inside a transaction, and nothing to SQLite, which
    has no pool.
    """
    if connection.vendor == "postgresql" and not connection.in_atomic_block:
        connection.close()
