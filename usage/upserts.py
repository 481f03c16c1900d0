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
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import AutoField, Field, Model

from usage.writes import Write, rows_of, write_together


def counter_add(model: type[Model], field: str, count: int, **key: Any) -> int:
    """Add to a counter, made where there is none, and return its new value.

    `key` names the columns of a unique constraint. The row stays locked until the transaction ends,
    and whoever waits for it adds to what it is then.
    """
    ((value,),) = _counted(model, field, count, key).rows()
    return int(value)


def counter_add_within(
    model: type[Model], field: str, count: int, *, at_most: int | None, **key: Any
) -> bool:
    """Add as `counter_add` does, unless the counter would pass `at_most`: then nothing changes."""
    if at_most is not None and count > at_most:
        return False
    return _counted(model, field, count, key, at_most=at_most).run() == 1


def counter_raise(model: type[Model], field: str, value: float, **key: Any) -> Write:
    """Raise a number to `value`, made where there is none; it never falls."""
    is_postgres = connections[router.db_for_write(model)].vendor == "postgresql"
    larger = "greatest" if is_postgres else "max"
    return _upserted(model, field, value, key, change=f"{larger}({{old}}, {{new}})")


def insert_next(
    row: Model,
    number: str,
    counter: type[Model],
    field: str,
    *writes: Write,
    provided: int | None = None,
    **key: Any,
) -> list[int]:
    """Give a row the next number of a counter, kept as `counter_add` does, and insert it.

    `writes` are run before, and go with it: what `write_together` says holds for them. Returns how
    many rows each of these changed. If the one whose place is `provided` changed none, the row gets
    no number and is not inserted.
    """
    connection = connections[router.db_for_write(counter)]
    if connection.vendor != "postgresql":
        counts = [write.run() for write in writes]
        if provided is None or counts[provided]:
            setattr(row, number, counter_add(counter, field, 1, **key))
            inserted([row]).run()
        return counts
    counted_rows = rows_of(len(writes))
    counted = _counted(
        counter, field, 1, key, provided="" if provided is None else rows_of(provided)
    )
    fields = _given(type(row))
    marks = ", ".join(
        f"{counted_rows}.{connection.ops.quote_name(_column(counter, field))}"
        if part.attname == number
        else f"%s::{part.db_type(connection)}"
        for part in fields
    )
    numbered = f"SELECT {marks} FROM {counted_rows}"  # noqa: S608 - as below
    values = [_saved(part, row, connection) for part in fields if part.attname != number]
    given = connection.ops.quote_name(_column(type(row), number))
    insertion = Write(f"{_insertion(type(row), fields)} {numbered} RETURNING {given}", values)
    last = f"coalesce(max({given}), 0)"
    *counts, is_counted, value = write_together(*writes, counted, insertion, last=last)
    if is_counted:
        setattr(row, number, value)
    return counts


def insert_once(row: Model) -> bool:
    """Insert a row; False where one with its key is there already, and nothing has changed.

    A parallel transaction that inserts the same key is waited for.
    """
    return inserted([row], conflict="ON CONFLICT DO NOTHING").run() == 1


def inserted(rows: Sequence[Model], *, conflict: str = "") -> Write:
    """New rows of one model, at least one; what the database gives them, it does not tell.

    Raises, when it is run:
        IntegrityError: one with such a key is there already, and `conflict` does not say in SQL
            what to do then; none was inserted.
    """
    model = type(rows[0])
    alias = router.db_for_write(model)
    fields = _given(model)
    values = [_saved(field, row, connections[alias]) for row in rows for field in fields]
    marks = ", ".join([f"({_marks(fields)})"] * len(rows))
    statement = f"{_insertion(model, fields)} VALUES {marks} {conflict} RETURNING 1"
    # Texts for many rows are many texts, none of which is worth a plan that is kept.
    return Write(statement, values, is_kept=len(rows) == 1, alias=alias)


def copied(model: type[Model], changes: dict[str, Any], **where: Any) -> Write:
    """A copy of the one row that `where` names, with some columns changed.

    Raises, when it is run:
        IntegrityError: such a copy is there already.
    """
    alias = router.db_for_write(model)
    connection = connections[alias]
    name = connection.ops.quote_name
    fields = _given(model)
    named = {field.attname: field for field in fields}
    columns = ", ".join(
        "%s" if field.attname in changes else name(str(field.column)) for field in fields
    )
    conditions = " AND ".join(f"{name(str(named[part].column))} = %s" for part in where)
    values = [changes[field.attname] for field in fields if field.attname in changes]
    changed = [field for field in fields if field.attname in changes]
    parameters = [
        field.get_db_prep_save(value, connection)
        for field, value in (
            *zip(changed, values, strict=True),
            *((named[part], value) for part, value in where.items()),
        )
    ]
    source = f"SELECT {columns} FROM {name(model._meta.db_table)} WHERE {conditions}"  # noqa: S608
    return Write(f"{_insertion(model, fields)} {source} RETURNING 1", parameters, alias=alias)


def _counted(
    model: type[Model],
    field: str,
    count: int,
    key: dict[str, Any],
    *,
    at_most: int | None = None,
    provided: str = "",
) -> Write:
    """An addition to a counter, which answers with what it is then."""
    return _upserted(
        model,
        field,
        count,
        key,
        change="{old} + {new}",
        at_most=at_most,
        provided=provided,
        answer="{own}",
    )


def _upserted(
    model: type[Model],
    field: str,
    value: float,
    key: dict[str, Any],
    *,
    change: str,
    at_most: int | None = None,
    provided: str = "",
    answer: str = "1",
) -> Write:
    """A number that is made or changed, as SQL says of its `{old}` and `{new}` value.

    `provided` names rows of a statement before it; where there are none, nothing is changed.
    """
    alias = router.db_for_write(model)
    connection = connections[alias]
    name = connection.ops.quote_name
    fields = {part.attname: part for part in model._meta.concrete_fields}
    table, number = name(model._meta.db_table), name(_column(model, field))
    columns = ", ".join(name(str(fields[part].column)) for part in key)
    parameters = [fields[part].get_db_prep_save(key[part], connection) for part in key]
    parameters.append(value)
    changed = change.format(old=f"{table}.{number}", new=f"excluded.{number}")
    # The names are those of models, not a caller's.
    given = f"VALUES ({_marks(parameters)})"
    if provided:
        types = [fields[part].db_type(connection) for part in (*key, field)]
        marks = ", ".join(f"%s::{type_}" for type_ in types)
        given = f"SELECT {marks} WHERE EXISTS (SELECT 1 FROM {provided})"  # noqa: S608
    statement = (
        f"INSERT INTO {table} ({columns}, {number}) {given} "
        f"ON CONFLICT ({columns}) DO UPDATE SET {number} = {changed}"
    )
    if at_most is not None:
        statement += f" WHERE {changed} <= %s"
        parameters.append(at_most)
    return Write(f"{statement} RETURNING {answer.format(own=number)}", parameters, alias=alias)


def _insertion(model: type[Model], fields: Sequence[Field[Any, Any]]) -> str:
    name = connections[router.db_for_write(model)].ops.quote_name
    columns = ", ".join(name(str(field.column)) for field in fields)
    return f"INSERT INTO {name(model._meta.db_table)} ({columns})"


def _saved(field: Field[Any, Any], row: Model, connection: BaseDatabaseWrapper) -> Any:
    return field.get_db_prep_save(field.pre_save(row, add=True), connection)


def _given(model: type[Model]) -> list[Field[Any, Any]]:
    """The fields whose values are ours to give: all but a primary key that counts up."""
    return [field for field in model._meta.concrete_fields if not isinstance(field, AutoField)]


def _column(model: type[Model], field: str) -> str:
    (found,) = (part for part in model._meta.concrete_fields if part.attname == field)
    return str(found.column)


def _marks(values: Sequence[Any]) -> str:
    return ", ".join(["%s"] * len(values))
