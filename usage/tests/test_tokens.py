"""API tokens: shown once, listed by their beginning, ended by their owner."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from knox.models import AuthToken

from usage.models import User
from usage.tokens import TOKENS_MAX, token_create

pytestmark = pytest.mark.usefixtures("pages")

PAGE = "/account/tokens"


@pytest.fixture
def signed_in(client: Client, owner: User) -> Client:
    """The owner's browser."""
    client.force_login(owner)
    return client


def create(client: Client, action: str = "create") -> Any:
    """Look at the page and press its button that makes a token."""
    return client.post(PAGE, {"action": action, "once": client.get(PAGE).context["once"]})


def me(token: str) -> int:
    """The status that a program gets with this token."""
    return Client().get("/api/me", headers={"Authorization": f"Bearer {token}"}).status_code


@pytest.mark.parametrize("method", ["get", "post"])
def test_whoever_is_not_signed_in_is_asked_to(client: Client, db: None, method: str) -> None:
    response = getattr(client, method)(PAGE)

    assert response.status_code == 302
    assert response["Location"] == f"/accounts/login/?next={PAGE}"
    assert not AuthToken.objects.exists()


def test_a_new_token_is_shown_once_and_works(signed_in: Client) -> None:
    response = create(signed_in)

    token = response.context["new_token"]
    assert response.status_code == 200
    assert token in response.content.decode()
    assert me(token) == 200
    assert token not in signed_in.get(PAGE).content.decode()


def test_a_page_with_a_token_is_never_kept(signed_in: Client) -> None:
    response = create(signed_in)

    assert "no-store" in response["Cache-Control"]


def test_only_a_tokens_hash_is_kept(signed_in: Client) -> None:
    token = create(signed_in).context["new_token"]

    row = AuthToken.objects.values().get()
    assert token not in str(row)


def test_a_revoked_token_stops_working_at_once(signed_in: Client) -> None:
    token = create(signed_in).context["new_token"]
    row = AuthToken.objects.get()

    response = signed_in.post(PAGE, {"action": "revoke", "token_key": row.token_key})

    assert (response.status_code, response["Location"]) == (302, PAGE)
    assert me(token) == 401


def test_revoking_one_token_leaves_the_others(signed_in: Client, owner: User) -> None:
    kept = token_create(owner)
    ended = AuthToken.objects.exclude(token_key=AuthToken.objects.get().token_key)
    token_create(owner)

    signed_in.post(PAGE, {"action": "revoke", "token_key": ended.get().token_key})

    assert me(kept) == 200
    assert AuthToken.objects.count() == 1


@pytest.mark.parametrize("key", ["", "nonsense", "\0", "x" * 10_000])
def test_revoking_what_there_is_not_changes_nothing(
    signed_in: Client, owner: User, key: str
) -> None:
    token_create(owner)

    response = signed_in.post(PAGE, {"action": "revoke", "token_key": key})

    assert response.status_code == 302
    assert AuthToken.objects.count() == 1


def test_nobody_sees_or_revokes_somebody_elses_token(signed_in: Client, stranger: User) -> None:
    token = token_create(stranger)
    key = AuthToken.objects.get().token_key

    page = signed_in.get(PAGE).content.decode()
    signed_in.post(PAGE, {"action": "revoke", "token_key": key})

    assert key not in page
    assert me(token) == 200


def test_there_is_a_limit_that_says_what_to_do(signed_in: Client, owner: User) -> None:
    for _ in range(TOKENS_MAX):
        token_create(owner)

    response = create(signed_in)

    assert response.status_code == 409
    assert "Revoke one" in response.content.decode()
    assert AuthToken.objects.count() == TOKENS_MAX


def test_somebody_elses_tokens_do_not_count(signed_in: Client, stranger: User) -> None:
    for _ in range(TOKENS_MAX):
        token_create(stranger)

    assert create(signed_in).status_code == 200


@pytest.mark.parametrize("action", ["", "nonsense", "Create"])
def test_an_unknown_action_makes_no_token(signed_in: Client, action: str) -> None:
    create(signed_in, action)

    assert not AuthToken.objects.exists()


@pytest.mark.parametrize("once", ["", "nonsense"])
def test_a_form_that_is_not_the_pages_own_makes_no_token(signed_in: Client, once: str) -> None:
    signed_in.get(PAGE)

    response = signed_in.post(PAGE, {"action": "create", "once": once})

    assert response.status_code == 409
    assert not AuthToken.objects.exists()


def test_a_form_that_is_sent_twice_makes_one_token(signed_in: Client) -> None:
    form = {"action": "create", "once": signed_in.get(PAGE).context["once"]}

    first, again = signed_in.post(PAGE, form), signed_in.post(PAGE, form)

    assert (first.status_code, again.status_code) == (200, 409)
    assert AuthToken.objects.count() == 1


def test_two_tokens_can_be_made_one_after_the_other(signed_in: Client) -> None:
    form = {"action": "create", "once": signed_in.get(PAGE).context["once"]}
    first = signed_in.post(PAGE, form)

    second = signed_in.post(PAGE, {**form, "once": first.context["once"]})

    assert second.context["new_token"]
    assert AuthToken.objects.count() == 2


def test_a_token_is_only_made_from_our_own_page(owner: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner)

    assert create(client).status_code == 403  # whose cookie no form has echoed

    assert not AuthToken.objects.exists()


def test_a_token_does_not_run_out(owner: User) -> None:
    token_create(owner)

    assert AuthToken.objects.get().expiry is None
