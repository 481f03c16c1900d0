"""The Django application `usage`."""

from django.apps import AppConfig


class UsageConfig(AppConfig):
    """Accounts and quota."""

    name = "usage"
    verbose_name = "People and quota"
