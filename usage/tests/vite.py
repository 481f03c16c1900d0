"""Pages without the built front end: tests of what a page says need no JavaScript."""

from __future__ import annotations

import pytest
from django_vite.core.asset_loader import DjangoViteAssetLoader
from pytest_django import Settings


@pytest.fixture
def pages(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pages name their assets as Vite's own server would serve them."""
    settings.DJANGO_VITE = {"default": {**settings.DJANGO_VITE["default"], "dev_mode": True}}
    # The loader reads the settings once, when it is made.
    monkeypatch.setattr(DjangoViteAssetLoader, "_instance", None)
