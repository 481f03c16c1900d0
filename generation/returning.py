"""An UPDATE that answers with the rows that it changed, as they are now: one statement, not two."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.models import QuerySet
from django.db.models.sql import UpdateQuery

M = TypeVar("M", bound=models.Model)


def update_returning(rows: QuerySet[M], **values: Any) -> list[M]:
    """Update rows of one table and return them; empty where none matched.

    PostgreSQL and SQLite both know RETURNING, Django does not use it for updates yet.
    """
    using = rows.db or DEFAULT_DB_ALIAS
    query = cast("UpdateQuery", rows.query.chain(UpdateQuery))
    query.add_update_values(values)
    query.clear_ordering(force=True)
    sql, parameters = query.get_compiler(using).as_sql()
    if not sql:  # Django sees that no row can match
        return []
    quote = connections[using].ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in rows.model._meta.concrete_fields)
    manager = rows.model._base_manager.using(using)
    return list(manager.raw(f"{sql} RETURNING {columns}", parameters))
