"""The pool's connections to PostgreSQL: their plans serve all values, and their end is seen."""

from __future__ import annotations

import select
from typing import Any, Self

import psycopg

_CHECK = ""  # what psycopg_pool's `check_connection` asks
# Else a prepared statement is planned anew for its first five runs on each connection, which takes
# longer than to run it. Ours are written so that one plan is right for all values; those of the ORM
# carry their values in the text, and are planned each time in any case.
_PLAN_ONCE = "SET plan_cache_mode = force_generic_plan"


class PooledConnection(psycopg.Connection[Any]):
    """A connection that answers the pool's empty statement itself while its server is silent.

    A server that goes says so or hangs up, and either can be read from the socket. So the pool,
    which checks a connection each time that it gives one out, needs no round trip for it.
    """

    @classmethod
    def connect(cls, *arguments: Any, **named: Any) -> Self:
        """As psycopg's; what is prepared on it is planned once."""
        made = super().connect(*arguments, **named)
        made.execute(_PLAN_ONCE)
        return made

    def execute(self, query: Any, *arguments: Any, **named: Any) -> psycopg.Cursor[Any]:
        """As psycopg's, but for the pool's check.

        Raises:
            psycopg.OperationalError: the connection is closed.
        """
        if query == _CHECK and not self._can_be_read():
            return self.cursor()
        return super().execute(query, *arguments, **named)

    def _can_be_read(self) -> bool:
        socket = select.poll()
        socket.register(self.fileno(), select.POLLIN)
        return bool(socket.poll(0))
