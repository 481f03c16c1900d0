"""API tokens: made, listed and revoked by their owner on a page; the token is shown once."""

from __future__ import annotations

import secrets

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from knox.models import AuthToken

from usage.models import User

TOKENS_MAX = 20  # chosen: more than anybody needs, few enough to look through


def token_create(user: User) -> str:
    """Make a token for the user and return it; only its hash is kept."""
    _, token = AuthToken.objects.create(user=user)
    return str(token)


@never_cache
@login_required
@require_http_methods(["GET", "POST"])
def tokens_page(request: HttpRequest) -> HttpResponse:
    """Show the user's tokens; POST `action=create` makes one, `action=revoke` ends one."""
    assert isinstance(request.user, User)
    own = AuthToken.objects.filter(user=request.user).order_by("-created")
    new_token, message = "", ""
    # A page that is loaded again sends its form again, and that must not make another token.
    expected = request.session.pop("token_form", None)
    is_new = expected is not None and request.POST.get("once") == expected
    action = request.POST.get("action", "")
    if request.method == "POST" and action not in {"create", "revoke"}:
        return redirect("account_tokens")
    if action == "revoke":
        own.filter(token_key=request.POST.get("token_key", "").replace("\0", "")).delete()
        return redirect("account_tokens")
    if request.method == "POST" and not is_new:
        message = (
            "This form was sent before, so nothing was made. Press the button to make a token."
        )
    elif request.method == "POST" and own.count() >= TOKENS_MAX:
        message = (
            f"You have {TOKENS_MAX} tokens. Revoke one that you no longer use, then try again."
        )
    elif request.method == "POST":
        new_token = token_create(request.user)
    once = request.session["token_form"] = secrets.token_urlsafe(12)
    return render(
        request,
        "account/tokens.html",
        {"tokens": own.all(), "new_token": new_token, "message": message, "once": once},
        status=409 if message else 200,
    )
