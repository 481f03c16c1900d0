"""What the tests of this package share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from django.conf import settings as django_settings
from pytest_django import Settings


@pytest.fixture(autouse=True)
def _cheap_passwords(settings: Settings) -> None:
    """Nobody signs in with a password here, and Argon2 is slow on purpose."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def valkey() -> Iterator[redis.Redis]:
    """The real server, emptied."""
    client = redis.Redis.from_url(django_settings.REDIS_URL, socket_timeout=5)
    client.flushdb()
    yield client
    client.close()
