"""Whose token a program shows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from knox.models import AuthToken
from pytest_django import DjangoAssertNumQueries
from rest_framework.exceptions import AuthenticationFailed

from usage.api.authentication import BearerAuthentication
from usage.models import Plan, User
from usage.plans import terms_of
from usage.tokens import token_create


def user_of(token: str | bytes) -> User:
    """Whom a token stands for."""
    data = token.encode() if isinstance(token, str) else token
    return BearerAuthentication().authenticate_credentials(data)[0]


def test_a_token_stands_for_its_user_alone(owner: User, stranger: User) -> None:
    assert user_of(token_create(owner)) == owner
    assert user_of(token_create(stranger)) == stranger


def test_a_token_and_its_users_limits_cost_one_query(
    owner: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    owner.plan = Plan.objects.create(name="large", weight=3)
    owner.save()
    token = token_create(owner)
    token_create(owner)

    with django_assert_num_queries(1):
        assert terms_of(user_of(token)).weight == 3


@pytest.mark.parametrize("left_s", [-1, 0], ids=["long ago", "just now"])
def test_an_expired_token_is_none(owner: User, left_s: int) -> None:
    token = token_create(owner)
    AuthToken.objects.update(expiry=timezone.now() + timedelta(seconds=left_s))

    with pytest.raises(AuthenticationFailed):
        user_of(token)


def test_a_token_lasts_until_it_expires(owner: User) -> None:
    token = token_create(owner)
    AuthToken.objects.update(expiry=timezone.now() + timedelta(minutes=1))

    assert user_of(token) == owner


def test_a_token_of_somebody_who_may_not_sign_in_is_none(owner: User) -> None:
    token = token_create(owner)
    User.objects.filter(pk=owner.pk).update(is_active=False)

    with pytest.raises(AuthenticationFailed):
        user_of(token)


def test_what_is_nearly_a_token_is_none(owner: User) -> None:
    token = token_create(owner)

    for other in (token[:-1], token[:-1] + ("0" if token[-1] != "0" else "1"), token + "0", ""):
        with pytest.raises(AuthenticationFailed):
            user_of(other)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"\0", b"a\0b", b""], ids=repr)
def test_bytes_that_are_no_text_are_no_token(db: None, data: bytes) -> None:
    with pytest.raises(AuthenticationFailed):
        user_of(data)
