"""Stacks for the tests: one that lives for the session, and databases for those that do not."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from tests.process.stack import Stack

POSTGRES_VARIABLE = "LLAMASKETCH_TEST_POSTGRES_URL"  # scripts/test sets it
QUICK_FAILURES = {
    "PENCIL_STALL_TIMEOUT_S": "4",
    "PENCIL_RUN_TIMEOUT_S": "20",
    "PENCIL_QUEUE_TIMEOUT_S": "25",
}

# A prompt of four steps takes two seconds: all four that two nodes hold are sent before one ends.
TWO_STEP_S = 0.5


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running LlamaSketch on SQLite, shared by the tests that leave it as it was."""
    with Stack(tmp_path_factory.mktemp("stack"), settings=QUICK_FAILURES) as running:
        yield running


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One with two nodes, and with the patience that it has by default."""
    with Stack(tmp_path_factory.mktemp("two"), nodes=2, step_s=TWO_STEP_S) as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """A database of each kind, empty; None for SQLite in the data directory."""
    if request.param == "sqlite":
        yield None
        return
    with postgres_database() as url:
        yield url


@contextmanager
def postgres_database() -> Iterator[str]:
    """An empty database of the server that the tests were given."""
    server = os.environ.get(POSTGRES_VARIABLE)
    if server is None:
        pytest.skip(f"needs PostgreSQL: {POSTGRES_VARIABLE} is not set")
    name = f"process_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty data directory."""
    return tmp_path / "data"
