"""The Django application `generation`."""

from django.apps import AppConfig


class GenerationConfig(AppConfig):
    """Jobs, images and nodes."""

    name = "generation"
    verbose_name = "Generation"
