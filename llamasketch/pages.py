"""The pages that are not an account's: landing and studio."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from generation.api.config import config
from usage.models import User


@require_safe
def landing_page(request: HttpRequest) -> HttpResponse:
    """What LlamaSketch is, and the way in."""
    return render(request, "landing.html")


@require_safe
@never_cache
@login_required
@ensure_csrf_cookie
def studio_page(request: HttpRequest) -> HttpResponse:
    """The studio; what it must know to start comes with the page."""
    assert isinstance(request.user, User)
    boot = {"email": request.user.email, "is_staff": request.user.is_staff, "config": config()}
    return render(request, "app.html", {"boot": boot})


@require_safe
def liveness(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - Django's signature
    """Say that this process answers; asks nothing else."""
    return HttpResponse("ok", content_type="text/plain")


def site_context(request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 - Django's signature
    """What every page may show."""
    return {"signup_enabled": settings.SIGNUP_ENABLED, "site_name": settings.SITE_NAME}
