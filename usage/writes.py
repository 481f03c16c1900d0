"""Writes: statements that change rows, several of which go to the database in one message.

Each message costs a round trip, and on a small server, whose processors are also wanted by whoever
waits for the answer, that costs more than what the database does for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper


@dataclass(frozen=True, slots=True)
class Write:
    """A statement with its values, which answers with a row for each that it changed.

    Attributes:
        is_kept: its text comes again, so that a plan for it is worth keeping.
        alias: the database's.
    """

    sql: str
    parameters: Sequence[Any]
    is_kept: bool = True
    alias: str = DEFAULT_DB_ALIAS

    def run(self) -> int:
        """Run it alone; return how many rows it changed."""
        return len(self.rows())

    def rows(self) -> Sequence[Sequence[Any]]:
        """Run it alone; return its answer."""
        return answer_of(self.sql, self.parameters, is_kept=self.is_kept, alias=self.alias)


def write_together(*writes: Write, last: str = "count(*)") -> list[int]:
    """Run statements on one database; return how many rows each changed, in their order.

    None sees what another did, so no two may change the same row, and none may need a row that
    another makes. PostgreSQL gets them as one statement. All are kept or none where they are run
    inside a transaction; without one, PostgreSQL keeps all or none, SQLite each.

    From PostgreSQL, `last` asks for something else of the last one's answer, an SQL aggregate; and
    there each may read `rows_of` one before it.
    """
    if connections[writes[0].alias].vendor != "postgresql" or len(writes) == 1:
        return [write.run() for write in writes]
    asked = ["count(*)"] * (len(writes) - 1) + [last]
    # Each is run when its answer is asked for: in this order, and so are locks taken.
    answers = ", ".join(f"(SELECT {what} FROM {rows_of(n)})" for n, what in enumerate(asked))  # noqa: S608 - our own names
    (row,) = _composed(writes, f"SELECT {answers}").rows()
    return [int(answer) for answer in row]


def rows_of(place: int) -> str:
    """What the answer of one of several statements is called in those after it."""
    return f"write_{place}"


def answer_of(
    sql: str, parameters: Sequence[Any], *, is_kept: bool = True, alias: str = DEFAULT_DB_ALIAS
) -> Sequence[Sequence[Any]]:
    """Run a statement; return its rows. See `Write` for what `is_kept` and `alias` are."""
    connection = connections[alias]
    with _cursor_kept(connection) if is_kept else connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: Sequence[Sequence[Any]] = cursor.fetchall()
    return rows


def _cursor_kept(connection: BaseDatabaseWrapper) -> CursorWrapper:
    """A cursor for a statement that comes again: PostgreSQL keeps its plan from the first time on.

    Django's own cursors put the values into the text, so that each is a new one. Close it.
    """
    if connection.vendor != "postgresql":
        return connection.cursor()
    from django.db.backends.postgresql.base import ServerBindingCursor

    connection.ensure_connection()
    make: Any = ServerBindingCursor  # psycopg's, by inheritance that its stubs do not know of
    with connection.wrap_database_errors:
        cursor = make(connection.connection)
    if connection.queries_logged:
        return connection.make_debug_cursor(cursor)
    return connection.make_cursor(cursor)


def _composed(writes: Sequence[Write], answer: str) -> Write:
    named = ", ".join(f"{rows_of(place)} AS ({write.sql})" for place, write in enumerate(writes))
    values = [value for write in writes for value in write.parameters]
    is_kept = all(write.is_kept for write in writes)
    return Write(f"WITH {named} {answer}", values, is_kept, writes[0].alias)
