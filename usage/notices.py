"""Notices: what PostgreSQL tells whoever listens, when the transaction that gave one commits.

Nothing keeps them: who does not listen at that moment never hears. SQLite has none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import psycopg
import structlog
from django.db import connection
from psycopg import sql

from usage.writes import Write

log = structlog.get_logger(__name__)

# Chosen: a server that went without a word, or a tunnel that was cut, is found out this often.
ASK_EVERY_S = 10.0
SILENT_MS = 10_000  # what is sent and not even acknowledged for so long ends the connection
RETRY_S = 2.0


def has_notices() -> bool:
    """Whether the database gives notices."""
    return connection.vendor == "postgresql"


def notice(channel: str) -> Write:
    """Give notice on a channel when the transaction commits; several in one are one."""
    return Write("SELECT pg_notify(%s, '')", [channel])


def notices_hear(channel: str, hear: Callable[[], None], *, stop: threading.Event) -> None:
    """Call `hear` at each notice on a channel, over a connection of its own, until `stop` is set.

    A connection that ends is made again; what was said meanwhile is not heard. Needs up to
    `ASK_EVERY_S` to see that it is to stop.
    """
    while not stop.is_set():
        try:
            _hear_one_connection(channel, hear, stop)
        except psycopg.Error as error:
            if not stop.is_set():
                log.info("notices not heard", channel=channel, problem=type(error).__name__)
                stop.wait(RETRY_S)


def _hear_one_connection(channel: str, hear: Callable[[], None], stop: threading.Event) -> None:
    parameters = {**connection.get_connection_params(), "tcp_user_timeout": SILENT_MS}
    with psycopg.connect(**parameters, autocommit=True) as listener:
        listener.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        while not stop.is_set():
            for _ in listener.notifies(timeout=ASK_EVERY_S):
                if stop.is_set():
                    return
                hear()
            listener.execute("SELECT 1")
