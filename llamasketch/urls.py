"""All addresses."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

from llamasketch.errors import api_not_found
from llamasketch.pages import landing_page, liveness, studio_page

urlpatterns = [
    path("", landing_page, name="landing"),
    path("app", studio_page, name="studio"),
    path("healthz", liveness),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/", include("usage.api.urls")),
    path("api/", include("generation.api.urls")),
    path("api/", api_not_found),
    path("api/<path:path>", api_not_found),
    path("", include("usage.urls")),
    path("admin/", admin.site.urls),
]
