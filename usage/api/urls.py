"""The addresses of the caller's own account."""

from django.urls import path

from usage.api.views import MeView, UsageStatsView, UsageView

urlpatterns = [
    path("usage", UsageView.as_view()),
    path("usage/stats", UsageStatsView.as_view()),
    path("me", MeView.as_view()),
]
