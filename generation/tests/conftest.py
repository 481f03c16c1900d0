"""What the tests of this package share."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import redis
from django.conf import settings as django_settings
from hypothesis import settings as hypothesis_settings
from pytest_django import Settings

# How long a state machine is let run wild. `short` is what every run of the tests gets: the same
# steps each time, so that red means that the change is at fault. `long` looks for what nobody has
# seen yet, with new steps each time: `pytest --hypothesis-profile=long`.
hypothesis_settings.register_profile(
    "short", max_examples=60, stateful_step_count=40, derandomize=True, database=None, deadline=None
)
hypothesis_settings.register_profile(
    "long", max_examples=1000, stateful_step_count=100, deadline=None
)


@pytest.fixture(autouse=True)
def _cheap_passwords(settings: Settings) -> None:
    """Nobody signs in with a password here, and Argon2 is slow on purpose."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _no_limit_in_flight(settings: Settings) -> None:
    """Let one user hold every slot; the limit has tests of its own."""
    settings.PENCIL = dataclasses.replace(settings.PENCIL, in_flight_limit=1000)


@pytest.fixture
def valkey() -> Iterator[redis.Redis]:
    """The real server, emptied."""
    client = redis.Redis.from_url(django_settings.REDIS_URL, socket_timeout=5)
    client.flushdb()
    yield client
    client.close()
