"""The addresses of jobs and pictures, under /api/."""

from django.urls import path

from generation.api.config import ConfigView
from generation.api.health import HealthView
from generation.api.media import ImageView, PreviewView, SketchView, ThumbnailView
from generation.api.views import (
    GenerateView,
    JobCancelView,
    JobListView,
    JobRetryView,
    JobsCancelView,
    JobView,
)

urlpatterns = [
    path("config", ConfigView.as_view()),
    path("health", HealthView.as_view()),
    path("generate", GenerateView.as_view()),
    path("jobs", JobListView.as_view()),
    path("jobs/cancel", JobsCancelView.as_view()),
    path("jobs/<uuid:job_id>", JobView.as_view()),
    path("jobs/<uuid:job_id>/cancel", JobCancelView.as_view()),
    path("jobs/<uuid:job_id>/retry", JobRetryView.as_view()),
    path("jobs/<uuid:job_id>/sketch", SketchView.as_view()),
    path("jobs/<uuid:job_id>/preview", PreviewView.as_view()),
    path("images/<uuid:image_id>", ImageView.as_view()),
    path("images/<uuid:image_id>/thumbnail", ThumbnailView.as_view()),
]
