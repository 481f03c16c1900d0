"""The Celery application: tasks are wake-ups and maintenance; rows are the truth."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llamasketch.settings")

app = Celery("llamasketch")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["generation", "workers"])
