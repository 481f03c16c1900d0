"""Upserts: a row that is made or changed, in one statement.

Django's own, `bulk_create(update_conflicts=True)`, can replace a number but not add to it, and says
neither what became of it nor whether a row was made; `get_or_create` with an update costs up to
five statements. What stands here is the same in PostgreSQL and SQLite.
"""

from __future__ import annotations

from typing import Any

from django.db import connections, router
from django.db.models import Model


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

    The primary key is the database's to give. A parallel transaction that inserts the same key
    is waited for.
    """
    connection = connections[router.db_for_write(type(row))]
    name = connection.ops.quote_name
    fields = [field for field in row._meta.concrete_fields if not field.primary_key]
    columns = ", ".join(name(str(field.column)) for field in fields)
    values = [field.get_db_prep_save(field.pre_save(row, add=True), connection) for field in fields]
    statement = (
        f"INSERT INTO {name(row._meta.db_table)} ({columns}) "  # noqa: S608 - the model's names
        f"VALUES ({_marks(values)}) ON CONFLICT DO NOTHING"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
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
    with connection.cursor() as cursor:
        cursor.execute(f"{statement} RETURNING {number}", parameters)
        row = cursor.fetchone()
    return None if row is None else int(row[0])


def _marks(values: list[Any]) -> str:
    return ", ".join(["%s"] * len(values))
