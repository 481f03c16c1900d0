"""Statements: what the ORM compiled once, run again and again with other values.

Building a query takes Django longer than PostgreSQL takes to answer most of ours, and planning it
takes PostgreSQL longer than the answer. Where a statement is run several times for each job, its
text is kept and, by PostgreSQL, its plan; what changes from run to run is a `Slot`. All else stands
in the text, so that a plan for any values can use the indexes that hold for some rows only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from django.core.exceptions import EmptyResultSet
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Expression, Field, Model, QuerySet
from django.db.models.query import get_related_populators
from django.db.models.sql import UpdateQuery
from django.db.transaction import TransactionManagementError

from usage.writes import Write, answer_of

M = TypeVar("M", bound=Model)
Row = Sequence[Any]
_RETURNING = " RETURNING "


class Slot(Expression):
    """A place in a statement for a value that each run gives by name."""

    def __init__(self, name: str, output_field: Field[Any, Any]) -> None:
        super().__init__(output_field=output_field)
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:  # noqa: ARG002
        """Take the place of one parameter; the value comes later."""
        return "%s", [self]


@dataclass(frozen=True, slots=True)
class _Text:
    """A statement for one kind of database, and how its rows become what Python knows."""

    sql: str
    slots: Sequence[Slot]
    convert: Callable[[Sequence[Row]], Sequence[Row]]
    read: Callable[[Row], Any]
    locks: bool = False

    def run(self, values: Mapping[str, Any]) -> Sequence[Row]:
        connection = connections[DEFAULT_DB_ALIAS]
        if self.locks and not connection.in_atomic_block:
            raise TransactionManagementError("A statement that locks needs a transaction.")
        return self.convert(answer_of(self.sql, self.parameters(values)))

    def parameters(self, values: Mapping[str, Any]) -> list[Any]:
        connection = connections[DEFAULT_DB_ALIAS]
        return [
            slot.output_field.get_db_prep_value(values[slot.name], connection)
            for slot in self.slots
        ]


class _Statement(Generic[M]):
    """A statement, written when it is first run and kept."""

    def __init__(self, write: Callable[[], _Text]) -> None:
        self._write = write
        self._text: _Text | None = None

    def rows(self, **values: Any) -> Sequence[Row]:
        """Run it; return its rows, their columns in the queryset's order.

        Raises:
            TransactionManagementError: it locks rows, and there is no transaction.
        """
        return self._written().run(values)

    def objects(self, **values: Any) -> list[M]:
        """Run it; return its rows as objects of the queryset's model, empty where none matched.

        Raises:
            TransactionManagementError: as for `rows`.
        """
        text = self._written()
        return [text.read(row) for row in text.run(values)]

    def _written(self) -> _Text:
        if self._text is None:
            self._text = self._write()
        return self._text


class Select(_Statement[M]):
    """A SELECT. `build` gives the queryset, with slots; it is asked once."""

    def __init__(self, build: Callable[[], QuerySet[M, Any]]) -> None:
        super().__init__(lambda: _select_text(build()))

    def write(self, **values: Any) -> Write:
        """It, to be run with others, where only the number of its rows is wanted.

        They are those that were there before the others changed any.
        """
        text = self._written()
        return Write(text.sql, text.parameters(values))


class SelectAll(_Statement[M]):
    """The rows of several SELECTs of the same columns, in one; none of them locks.

    A slot's name stands for the same value in all. Which rows come first is not said.
    """

    def __init__(self, *selects: Select[M]) -> None:
        super().__init__(lambda: _union_text([select._written() for select in selects]))


class Update(_Statement[M]):
    """An UPDATE that answers with the rows that it changed, as they are then.

    `build` gives the queryset and the new values, with slots; it is asked once.
    """

    def __init__(self, build: Callable[[], tuple[QuerySet[M], dict[str, Any]]]) -> None:
        super().__init__(lambda: _update_text(*build()))

    def write(self, **values: Any) -> Write:
        """It, to be run with others."""
        text = self._written()
        changes, _, _ = text.sql.rpartition(_RETURNING)
        return Write(f"{changes}{_RETURNING}1", text.parameters(values))


def update_returning(rows: QuerySet[M], **values: Any) -> list[M]:
    """Update rows and return them as they are then, once: what is run seldom is not kept."""
    try:
        returning = _returning(rows, values)
    except EmptyResultSet:  # Django sees that no row can match
        return []
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(returning.sql, returning.parameters)
        return [returning.read(row) for row in returning.convert(cursor.fetchall())]


def _select_text(queryset: QuerySet[Any, Any]) -> _Text:
    compiler = queryset.query.get_compiler(DEFAULT_DB_ALIAS)
    sql, parameters = compiler.as_sql()
    columns = [column for column, _, _ in compiler.select[: compiler.col_count]]
    return _Text(
        *_filled(sql, parameters),
        _converter(compiler, columns),
        _reader(compiler),
        locks=bool(queryset.query.select_for_update),
    )


def _union_text(texts: Sequence[_Text]) -> _Text:
    # SQLite takes a LIMIT in a part only where that is a table of its own.
    parts = (f"SELECT * FROM ({text.sql}) part_{n}" for n, text in enumerate(texts))  # noqa: S608
    slots = [slot for text in texts for slot in text.slots]
    return _Text(" UNION ALL ".join(parts), slots, texts[0].convert, texts[0].read)


@dataclass(frozen=True, slots=True)
class _Returning:
    """An UPDATE … RETURNING as the ORM compiles it."""

    sql: str
    parameters: Sequence[Any]
    convert: Callable[[Sequence[Row]], Sequence[Row]]
    read: Callable[[Row], Any]


def _update_text(queryset: QuerySet[Any], values: dict[str, Any]) -> _Text:
    returning = _returning(queryset, values)
    return _Text(*_filled(returning.sql, returning.parameters), returning.convert, returning.read)


def _returning(queryset: QuerySet[Any], values: dict[str, Any]) -> _Returning:
    """PostgreSQL and SQLite both know RETURNING, Django does not use it for updates yet."""
    query = cast("UpdateQuery", queryset.query.chain(UpdateQuery))
    query.add_update_values(values)
    query.clear_ordering(force=True)
    compiler = query.get_compiler(DEFAULT_DB_ALIAS)
    sql, parameters = compiler.as_sql()
    model = queryset.model
    fields = model._meta.concrete_fields
    quote = connections[DEFAULT_DB_ALIAS].ops.quote_name
    returned = ", ".join(quote(str(field.column)) for field in fields)
    columns = [field.get_col(model._meta.db_table) for field in fields]
    names = [field.attname for field in fields]
    return _Returning(
        f"{sql}{_RETURNING}{returned}",
        parameters,
        _converter(compiler, columns),
        lambda row: model.from_db(DEFAULT_DB_ALIAS, names, row),
    )


def _filled(sql: str, parameters: Sequence[Any]) -> tuple[str, list[Slot]]:
    """Put what never changes into the text; return it with the slots that are left."""
    connection = connections[DEFAULT_DB_ALIAS]
    first, *parts = sql.split("%s")
    assert len(parts) == len(parameters), sql
    text, slots = [first], []
    for parameter, part in zip(parameters, parts, strict=True):
        if isinstance(parameter, Slot):
            slots.append(parameter)
            text.append("%s")
        else:
            text.append(_literal(parameter, connection).replace("%", "%%"))
        text.append(part)
    return "".join(text), slots


def _literal(value: Any, connection: Any) -> str:
    if connection.vendor == "postgresql":
        return str(connection.ops.compose_sql("%s", [value]))
    with connection.cursor() as cursor:
        # SQLite quotes its own values.
        return str(cursor.execute("SELECT quote(%s)", [value]).fetchone()[0])


def _converter(compiler: Any, columns: Sequence[Any]) -> Callable[[Sequence[Row]], Sequence[Row]]:
    """What makes Python's values of a database's, for all rows."""
    converters = compiler.get_converters(columns)
    return lambda rows: list(compiler.apply_converters(rows, converters)) if converters else rows


def _reader(compiler: Any) -> Callable[[Row], Any]:
    """What makes an object of a row, as Django's own `ModelIterable` does."""
    info = compiler.klass_info
    if info is None:  # the queryset asks for values
        return lambda row: row
    fields = info["select_fields"]
    names = [compiler.select[index][0].target.attname for index in fields]
    begin, end = fields[0], fields[-1] + 1
    related: Any = get_related_populators  # whose stubs are those of a later Django
    populators = related(info, compiler.select, DEFAULT_DB_ALIAS)

    def read(row: Row) -> Any:
        made = info["model"].from_db(DEFAULT_DB_ALIAS, names, row[begin:end])
        for populator in populators:
            populator.populate(row, made)
        return made

    return read
