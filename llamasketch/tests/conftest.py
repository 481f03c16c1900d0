"""What the tests of this package share."""

from usage.tests.vite import pages

__all__ = ["pages"]
