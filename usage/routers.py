"""Which rows are in which database: counts of callers in `usage`, all others in `default`."""

from __future__ import annotations

from typing import Any

from django.db.models import Model

USAGE = "usage"
_COUNTS = ("usage", "addressday")


class UsageRouter:
    """Sends `AddressDay`, and nothing else, to the database `usage`."""

    def db_for_read(self, model: type[Model], **_hints: Any) -> str | None:
        """The database that has the model's rows; None is the default one."""
        return USAGE if (model._meta.app_label, model._meta.model_name) == _COUNTS else None

    db_for_write = db_for_read

    def allow_migrate(
        self, db: str, app_label: str, model_name: str | None = None, **_hints: Any
    ) -> bool:
        """Whether a migration's step belongs in the database."""
        return (db == USAGE) == ((app_label, model_name) == _COUNTS)
