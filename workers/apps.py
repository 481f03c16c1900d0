"""The Django application `workers`: management commands, no tables."""

from django.apps import AppConfig


class WorkersConfig(AppConfig):
    """What drives the GPU machines."""

    name = "workers"
