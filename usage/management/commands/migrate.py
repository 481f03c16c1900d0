"""`manage.py migrate`: Django's command, for all databases at once."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.commands.migrate import Command as MigrateCommand
from django.db import connections


class Command(MigrateCommand):
    """Migrates every database; with `--database`, that one alone."""

    help = "Bring the schema of all databases up to date, or of the one that --database names."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take Django's arguments; no `--database` means all of them."""
        super().add_arguments(parser)  # type: ignore[arg-type]  # it asks for Django's own parser
        parser.set_defaults(database=None)

    def get_check_kwargs(self, options: dict[str, Any]) -> Any:
        """Check the databases that are migrated."""
        kwargs: Any = super().get_check_kwargs(options)
        return {**kwargs, "databases": _aliases(options)}

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate one database after the other, the default one first."""
        for alias in _aliases(options):
            super().handle(*args, **{**options, "database": alias})


def _aliases(options: dict[str, Any]) -> list[str]:
    return [options["database"]] if options["database"] else list(connections)
