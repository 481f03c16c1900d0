"""`manage.py migrate` and where each table goes."""

from __future__ import annotations

import io

import pytest
from django.core.management import call_command
from django.db import connections

from usage.models import AddressDay, User
from usage.routers import UsageRouter


def said(*arguments: str) -> str:
    """What the command prints."""
    out = io.StringIO()
    call_command("migrate", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def test_one_command_migrates_every_database(db: None) -> None:
    assert said("--plan").count("No planned migration operations.") == len(connections.settings)


@pytest.mark.parametrize("alias", ["default", "usage"])
def test_a_database_can_be_migrated_alone(db: None, alias: str) -> None:
    assert said("--plan", "--database", alias).count("No planned migration operations.") == 1


@pytest.mark.django_db(transaction=True)
def test_the_counts_can_be_taken_back_and_made_again() -> None:
    tables = connections["usage"].introspection.table_names

    said("usage", "0001", "--database", "usage")
    assert "usage_addressday" not in tables()
    said("--no-input", "-v", "0")

    assert "usage_addressday" in tables()


@pytest.mark.parametrize(
    ("model", "alias"), [(AddressDay, "usage"), (User, None)], ids=["counts", "people"]
)
def test_rows_of_each_model_are_in_one_database(
    model: type[AddressDay | User], alias: str | None
) -> None:
    router = UsageRouter()

    assert router.db_for_read(model) == router.db_for_write(model) == alias


@pytest.mark.parametrize(
    ("database", "model_name", "is_there"),
    [
        ("usage", "addressday", True),
        ("usage", "user", False),
        ("usage", None, False),
        ("default", "addressday", False),
        ("default", "user", True),
        ("default", None, True),
    ],
)
def test_a_step_of_a_migration_runs_where_its_rows_are(
    database: str, model_name: str | None, *, is_there: bool
) -> None:
    assert UsageRouter().allow_migrate(database, "usage", model_name) is is_there
