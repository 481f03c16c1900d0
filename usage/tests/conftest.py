"""What the tests of this package share."""

from __future__ import annotations

import pytest
from django.core.cache import cache

from usage.tests.vite import pages

__all__ = ["pages"]


@pytest.fixture(autouse=True)
def _no_earlier_attempts() -> None:
    """Nobody has been counted as trying too often."""
    cache.clear()
