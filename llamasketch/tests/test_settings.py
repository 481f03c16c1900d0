"""A start with bad settings: one sentence, status 1, and no stack for the operator to read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from generation.tests.processes import python_run

BAD = {
    "port": ("PORT", "http"),
    "environment": ("ENVIRONMENT", "staging"),
    "database": ("DATABASE_URL", "mysql://127.0.0.1/x"),
    "database, half an address": ("DATABASE_URL", "postgres://[::1/x"),
    "database, a port that is none": ("DATABASE_URL", "postgres://u@127.0.0.1:port/x"),
    "redis, half an address": ("REDIS_URL", "redis://[::1"),
    "node": ("COMFYUI_URL", "nonsense"),
    "limit": ("DAILY_LIMIT", "many"),
    "mail": ("EMAIL_URL", "nonsense://mail.example.com"),
    "sentry": ("SENTRY_DSN", "nonsense"),
    "data directory": ("DATA_DIR", "~nobody-of-this-name/data"),
}


@pytest.mark.parametrize(("name", "value"), BAD.values(), ids=BAD)
def test_a_bad_variable_stops_the_start_with_one_sentence(
    tmp_path: Path, name: str, value: str
) -> None:
    process = python_run("manage.py", "check", **{"DATA_DIR": str(tmp_path), name: value})

    assert process.returncode == 1
    assert process.stdout == ""
    assert process.stderr.strip().count("\n") == 0
    assert "Traceback" not in process.stderr
    assert f"PENCIL_{name}" in process.stderr


def test_a_local_start_needs_no_variable(tmp_path: Path) -> None:
    process = python_run("manage.py", "check", DATA_DIR=str(tmp_path))

    assert process.returncode == 0, process.stderr


# What the proxy in front decides: who is redirected to HTTPS, and what holds for other hosts.
THE_PROXYS = {"security.W005", "security.W008", "security.W021"}


def test_a_production_start_passes_djangos_own_inspection(tmp_path: Path) -> None:
    process = python_run(
        *("manage.py", "check", "--deploy", "--tag", "security"),
        ENVIRONMENT="production",
        DATA_DIR=str(tmp_path),
        SECRET_KEY="a-secret-of-fifty-characters-that-are-not-the-same-0123456789",
        USAGE_SALT="a-salt-of-fifty-characters-that-are-not-the-same-0123456789",
        ALLOWED_HOSTS="draw.example.com",
        DATABASE_URL="postgres://draw@127.0.0.1:1/draw",
        EMAIL_URL="smtp+tls://user:password@mail.example.com:587",
    )

    assert process.returncode == 0, process.stderr
    assert set(re.findall(r"\((\w+\.[EW]\d+)\)", process.stderr)) <= THE_PROXYS


def test_production_without_a_secret_does_not_start(tmp_path: Path) -> None:
    process = python_run("manage.py", "check", DATA_DIR=str(tmp_path), ENVIRONMENT="production")

    assert process.returncode == 1
    assert "PENCIL_SECRET_KEY is not set" in process.stderr
    assert "Traceback" not in process.stderr
