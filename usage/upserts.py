"""Upserts: rows that are made or changed, in one statement.

Django's own, `bulk_create(update_conflicts=True)`, can replace a number but not add to it, and says
neither what became of it nor whether a row was made; `get_or_create` with an update costs up to
five statements; and each takes Django longer than the database. What stands here is the same in
PostgreSQL and SQLite.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connections, router
from django.db.models import AutoField, Field, Model

from usage.statements import cursor_open


def counter_add(model: type[Model], field: str, count: int, **key: Any) -> int:
    """Add to a counter, made where there is none, and return its new value.

    `key` names the columns of a unique constraint. The row stays locked until the transaction ends,
    and whoever waits for it adds to what it is then.
    """
    value = _add(model, field, count, at_most=None, key=key)
    assert value is not None
    return value


def counter_add_within(
    model: type[Model], field: str, count: int, *, at_most: int | None, **key: Any
) -> bool:
    """Add as `counter_add` does, unless the counter would pass `at_most`: then nothing changes."""
    if at_most is not None and count > at_most:
        return False
    return _add(model, field, count, at_most=at_most, key=key) is not None


def insert_once(row: Model) -> bool:
    """Insert a row; False where one with its key is there already, and nothing has changed.

    A parallel transaction that inserts the same key is waited for.
    """
    return _insert([row], "ON CONFLICT DO NOTHING") == 1


def insert_all(rows: Sequence[Model]) -> None:
    """Insert rows of one model; what the database gives them, it does not tell.

    Raises:
        IntegrityError: one with such a key is there already; none was inserted.
    """
    if rows:
        _insert(rows, "")


def insert_copy(model: type[Model], changes: dict[str, Any], **where: Any) -> bool:
    """Insert a copy of the one row that `where` names, with some columns changed; False for none.

    Raises:
        IntegrityError: such a copy is there already.
    """
    connection = connections[router.db_for_write(model)]
    name = connection.ops.quote_name
    fields = _given(model)
    named = {field.attname: field for field in fields}
    columns = ", ".join(name(str(field.column)) for field in fields)
    copied = ", ".join(
        "%s" if field.attname in changes else name(str(field.column)) for field in fields
    )
    conditions = " AND ".join(f"{name(str(named[part].column))} = %s" for part in where)
    table = name(model._meta.db_table)
    values = [changes[field.attname] for field in fields if field.attname in changes]
    changed = [field for field in fields if field.attname in changes]
    parameters = [
        field.get_db_prep_save(value, connection)
        for field, value in (
            *zip(changed, values, strict=True),
            *((named[part], value) for part, value in where.items()),
        )
    ]
    statement = (
        f"INSERT INTO {table} ({columns}) "  # noqa: S608 - the model's names
        f"SELECT {copied} FROM {table} WHERE {conditions}"
    )
    with cursor_open(connection) as cursor:
        cursor.execute(statement, parameters)
        return bool(cursor.rowcount == 1)


def _add(
    model: type[Model], field: str, count: int, *, at_most: int | None, key: dict[str, Any]
) -> int | None:
    connection = connections[router.db_for_write(model)]
    name = connection.ops.quote_name
    fields = {part.attname: part for part in model._meta.concrete_fields}
    table, number = name(model._meta.db_table), name(str(fields[field].column))
    columns = ", ".join(name(str(fields[part].column)) for part in key)
    parameters = [fields[part].get_db_prep_save(key[part], connection) for part in key]
    parameters.append(count)
    # The names are those of models, not a caller's.
    statement = (
        f"INSERT INTO {table} ({columns}, {number}) VALUES ({_marks(parameters)}) "  # noqa: S608
        f"ON CONFLICT ({columns}) DO UPDATE SET {number} = {table}.{number} + excluded.{number}"
    )
    if at_most is not None:
        statement += f" WHERE {table}.{number} + excluded.{number} <= %s"
        parameters.append(at_most)
    with cursor_open(connection) as cursor:
        cursor.execute(f"{statement} RETURNING {number}", parameters)
        row = cursor.fetchone()
    return None if row is None else int(row[0])


def _insert(rows: Sequence[Model], conflict: str) -> int:
    model = type(rows[0])
    connection = connections[router.db_for_write(model)]
    name = connection.ops.quote_name
    fields = _given(model)
    columns = ", ".join(name(str(field.column)) for field in fields)
    values = [
        field.get_db_prep_save(field.pre_save(row, add=True), connection)
        for row in rows
        for field in fields
    ]
    marks = ", ".join([f"({_marks(fields)})"] * len(rows))
    table = name(model._meta.db_table)
    statement = f"INSERT INTO {table} ({columns}) VALUES {marks} {conflict}"  # noqa: S608 - as above
    # Texts for many rows are many texts, none of which is worth a plan that is kept.
    with cursor_open(connection) if len(rows) == 1 else connection.cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.rowcount)


def _given(model: type[Model]) -> list[Field[Any, Any]]:
    """The fields whose values are ours to give: all but a primary key that counts up."""
    return [field for field in model._meta.concrete_fields if not isinstance(field, AutoField)]


def _marks(values: Sequence[Any]) -> str:
    return ", ".join(["%s"] * len(values))
