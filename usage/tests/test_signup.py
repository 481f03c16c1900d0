"""Accounts: signing up behind the gate, signing in, and a forgotten password."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user
from django.core import mail
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from usage.models import User

pytestmark = pytest.mark.usefixtures("pages", "db")

PASSWORD = "a long enough passphrase"
SIGN_UP, LOG_IN = "/accounts/signup/", "/accounts/login/"


def text_of(response: Any) -> str:
    """What a page says, without its markup."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())


def sign_up(client: Client, email: str = "new@example.com", password: str = PASSWORD) -> Any:
    """Send the sign-up form."""
    return client.post(SIGN_UP, {"email": email, "password1": password})


def log_in(client: Client, email: str, password: str = "a long enough passphrase") -> Any:
    """Send the sign-in form."""
    return client.post(LOG_IN, {"login": email, "password": password})


# --- Signing up ---


def test_signing_up_makes_a_user_and_signs_in(client: Client) -> None:
    response = sign_up(client)

    assert (response.status_code, response["Location"]) == (302, "/app")
    user = User.objects.get(email="new@example.com")
    assert get_user(client) == user
    assert user.check_password(PASSWORD)
    assert not user.is_staff
    assert not user.is_superuser


def test_an_address_is_kept_in_lower_case(client: Client) -> None:
    sign_up(client, "New.Person@Example.COM")

    assert User.objects.get().email == "new.person@example.com"


@pytest.mark.parametrize(
    "email", ["owner@example.com", "OWNER@example.com", "owner@EXAMPLE.COM", " owner@example.com "]
)
def test_an_address_in_any_case_makes_one_account(client: Client, owner: User, email: str) -> None:
    response = sign_up(client, email)

    assert response.status_code in {200, 302}
    assert User.objects.count() == 1
    assert not get_user(client).is_authenticated


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("", PASSWORD),
        ("not an address", PASSWORD),
        ("a" * 250 + "@example.com", PASSWORD),
        ("new@example.com", ""),
        ("new@example.com", "short"),
        ("new@example.com", "password"),
        ("new@example.com", "1234567890123"),
        ("new.person@example.com", "new.person@example.com"),
    ],
    ids=["no address", "no such", "long", "no password", "short", "common", "digits", "address"],
)
def test_what_makes_no_account_says_why(client: Client, email: str, password: str) -> None:
    response = sign_up(client, email, password)

    assert response.status_code == 200
    assert response.context["form"].errors
    assert not User.objects.exists()


def test_the_sign_up_page_is_there(client: Client) -> None:
    assert client.get(SIGN_UP).status_code == 200


def test_whoever_is_signed_in_needs_no_sign_up(client: Client, owner: User) -> None:
    client.force_login(owner)

    response = client.get(SIGN_UP)

    assert (response.status_code, response["Location"]) == (302, "/app")


# --- The gate ---


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_shut_gate_says_so_and_lets_nobody_in(
    client: Client, settings: Settings, method: str
) -> None:
    settings.SIGNUP_ENABLED = False

    response = sign_up(client) if method == "post" else client.get(SIGN_UP)

    assert response.status_code == 403
    assert "sign-up is closed" in text_of(response).lower()
    assert not User.objects.exists()


def test_a_shut_gate_lets_those_in_who_have_an_account(
    client: Client, settings: Settings, owner: User
) -> None:
    settings.SIGNUP_ENABLED = False

    assert log_in(client, owner.email).status_code == 302

    assert get_user(client) == owner


@pytest.mark.parametrize(("is_open", "links"), [(True, True), (False, False)])
def test_the_sign_in_page_offers_sign_up_only_while_it_is_open(
    client: Client, settings: Settings, is_open: bool, links: bool
) -> None:
    settings.SIGNUP_ENABLED = is_open

    response = client.get(LOG_IN)

    assert response.status_code == 200
    assert (SIGN_UP in response.content.decode()) is links


# --- Signing in ---


@pytest.mark.parametrize("email", ["owner@example.com", "OWNER@Example.com", " owner@example.com"])
def test_an_address_in_any_case_signs_in(client: Client, owner: User, email: str) -> None:
    response = log_in(client, email)

    assert (response.status_code, response["Location"]) == (302, "/app")
    assert get_user(client) == owner


def test_a_wrong_password_and_an_unknown_address_are_told_the_same(
    client: Client, owner: User
) -> None:
    wrong = log_in(client, owner.email, "not the passphrase")
    unknown = log_in(client, "nobody@example.com", "not the passphrase")

    errors = [list(response.context["form"].non_field_errors()) for response in (wrong, unknown)]
    assert errors[0] == errors[1]
    assert errors[0]
    assert errors[0][0] in text_of(wrong)
    assert not get_user(client).is_authenticated


def test_somebody_who_was_shut_out_cannot_sign_in(client: Client, owner: User) -> None:
    owner.is_active = False
    owner.save()

    log_in(client, owner.email)

    assert not get_user(client).is_authenticated


def test_guessing_is_stopped_after_a_few_tries(client: Client, owner: User) -> None:
    for _ in range(5):
        log_in(client, owner.email, "not the passphrase")

    log_in(client, owner.email)

    assert not get_user(client).is_authenticated


@pytest.mark.parametrize(
    ("next_", "goes_to"),
    [("/account/tokens", "/account/tokens"), ("https://evil.example.com/", "/app")],
    ids=["ours", "another site's"],
)
def test_signing_in_goes_on_to_our_own_pages_alone(
    client: Client, owner: User, next_: str, goes_to: str
) -> None:
    response = client.post(f"{LOG_IN}?next={next_}", {"login": owner.email, "password": PASSWORD})

    assert response["Location"] == goes_to


def test_signing_out_takes_a_post(client: Client, owner: User) -> None:
    client.force_login(owner)

    asked = client.get("/accounts/logout/")
    assert asked.status_code == 200
    assert get_user(client) == owner

    assert client.post("/accounts/logout/")["Location"] == "/"
    assert not get_user(client).is_authenticated


# --- A forgotten password ---


def ask_for_password(client: Client, email: str) -> Any:
    """Send the form of a forgotten password and follow to what it answers."""
    return client.post(reverse("account_reset_password"), {"email": email}, follow=True)


def set_password(client: Client, link: str, password: str) -> None:
    """Follow a link out of a mail and choose a new password."""
    form = client.get(link, follow=True)
    assert form.status_code == 200
    client.post(form.redirect_chain[-1][0], {"password1": password, "password2": password})


def test_a_forgotten_password_does_not_say_whose_addresses_there_are(
    client: Client, owner: User
) -> None:
    known = ask_for_password(client, owner.email)
    unknown = ask_for_password(client, "nobody@example.com")

    assert known.status_code == unknown.status_code == 200
    assert text_of(known) == text_of(unknown)
    assert known.redirect_chain == unknown.redirect_chain


def test_the_mail_for_a_forgotten_password_leads_to_a_new_one(client: Client, owner: User) -> None:
    ask_for_password(client, "OWNER@example.com")

    (message,) = mail.outbox
    assert message.to == [owner.email]
    found = re.search(r"https?://[^/\s]+(/accounts/password/reset/key/\S+)", str(message.body))
    assert found, message.body
    set_password(client, found[1], "another long passphrase")
    owner.refresh_from_db()
    assert owner.check_password("another long passphrase")


def test_a_link_for_a_new_password_works_once(client: Client, owner: User) -> None:
    ask_for_password(client, owner.email)
    found = re.search(r"https?://[^/\s]+(/accounts/password/\S+)", str(mail.outbox[0].body))
    assert found
    set_password(client, found[1], "another long passphrase")

    again = Client().get(found[1], follow=True)

    assert again.status_code == 200
    assert "no longer works" in text_of(again)


def test_without_a_mail_server_mail_is_kept_as_files(
    client: Client, owner: User, settings: Settings, tmp_path: Path
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = tmp_path / "outbox"

    ask_for_password(client, owner.email)

    (kept,) = (tmp_path / "outbox").iterdir()
    assert "/accounts/password/reset/key/" in kept.read_text()


@pytest.mark.parametrize(
    "name",
    [
        "account_login",
        "account_signup",
        "account_reset_password",
        "account_reset_password_done",
        "account_reset_password_from_key_done",
        "account_inactive",
        "account_email_verification_sent",
    ],
)
def test_every_page_of_a_stranger_renders(client: Client, name: str) -> None:
    assert client.get(reverse(name)).status_code == 200


@pytest.mark.parametrize(
    "name", ["account_logout", "account_change_password", "account_email", "account_reauthenticate"]
)
def test_every_page_of_an_account_renders(client: Client, owner: User, name: str) -> None:
    client.force_login(owner)

    assert client.get(reverse(name)).status_code == 200
