"""Configuration of the whole: settings, addresses, the server's and the worker's entry points."""

from llamasketch.celery import app as celery_app

__all__ = ["celery_app"]
