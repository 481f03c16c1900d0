"""`manage.py token_create`: prints a token that works, and nothing else."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from knox.models import AuthToken

from usage.models import User


def run(*arguments: str) -> str:
    """Run the command and return what it prints."""
    out = io.StringIO()
    call_command("token_create", *arguments, stdout=out)
    return out.getvalue()


def caller_of(token: str) -> object:
    """Whom a token belongs to."""
    return Client().get("/api/me", headers={"Authorization": f"Bearer {token}"}).json()["email"]


@pytest.mark.parametrize("email", ["owner@example.com", "OWNER@Example.com"])
def test_the_token_of_a_user_is_printed_alone(owner: User, email: str) -> None:
    printed = run(email)

    assert printed == printed.strip() + "\n"
    assert caller_of(printed.strip()) == owner.email
    assert User.objects.count() == 1


def test_an_unknown_user_is_refused_with_the_way_out(db: None) -> None:
    with pytest.raises(CommandError, match="--create"):
        run("nobody@example.com")

    assert not User.objects.exists()
    assert not AuthToken.objects.exists()


def test_a_user_can_be_made_who_cannot_sign_in_with_a_password(db: None) -> None:
    token = run("New@Example.com", "--create").strip()

    user = User.objects.get()
    assert user.email == "new@example.com"
    assert not user.has_usable_password()
    assert caller_of(token) == user.email


def test_a_user_is_made_once(db: None) -> None:
    run("new@example.com", "--create")
    run("NEW@example.com", "--create")

    assert User.objects.count() == 1
    assert AuthToken.objects.count() == 2


@pytest.mark.parametrize("email", ["", "nobody", "a@b@c", "a b@example.com"])
def test_what_is_no_address_is_refused(db: None, email: str) -> None:
    with pytest.raises(CommandError, match="not an e-mail address"):
        run(email, "--create")

    assert not User.objects.exists()


def test_somebody_who_was_shut_out_gets_no_token(owner: User) -> None:
    owner.is_active = False
    owner.save()

    with pytest.raises(CommandError):
        run(owner.email)

    assert not AuthToken.objects.exists()
