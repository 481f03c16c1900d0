"""People and the ledger as the database keeps them."""

from __future__ import annotations

from datetime import date
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction

from usage.models import LedgerEntry, QuotaDay, User

DAY = date(2026, 3, 1)


def test_a_user_is_found_by_address_in_any_case(owner: User) -> None:
    assert User.objects.get_by_natural_key("OWNER@Example.COM") == owner


@pytest.mark.parametrize("email", ["owner@example.com", "Owner@example.com"])
def test_no_two_users_share_an_address(owner: User, email: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create(email=email)


def test_an_address_is_made_lower_case(db: None) -> None:
    assert User.objects.create_user("Some.Body@Example.COM").email == "some.body@example.com"


def test_without_a_password_nobody_signs_in(db: None) -> None:
    assert not User.objects.create_user("new@example.com").has_usable_password()


def test_a_superuser_may_do_everything(db: None) -> None:
    user = User.objects.create_superuser("root@example.com", "a long enough passphrase")

    assert user.is_staff
    assert user.is_superuser
    assert str(user) == "root@example.com"


@pytest.mark.parametrize("email", ["", "   "])
def test_a_user_without_an_address_is_not_made(db: None, email: str) -> None:
    with pytest.raises((ValueError, IntegrityError)), transaction.atomic():
        User.objects.create_user(email)


@pytest.mark.parametrize(
    ("kind", "amount"),
    [("reserve", 0), ("reserve", -1), ("settle", 1), ("refund", 1), ("gift", 1)],
)
def test_a_ledger_line_has_its_kinds_amount(owner: User, kind: str, amount: int) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        LedgerEntry.objects.create(user=owner, day=DAY, job_id=uuid4(), kind=kind, amount=amount)


def test_a_job_has_one_outcome(owner: User) -> None:
    job_id = uuid4()
    LedgerEntry.objects.create(user=owner, day=DAY, job_id=job_id, kind="settle", amount=0)

    with pytest.raises(IntegrityError), transaction.atomic():
        LedgerEntry.objects.create(user=owner, day=DAY, job_id=job_id, kind="refund", amount=-1)


def test_a_day_is_counted_once_and_never_below_nothing(owner: User) -> None:
    QuotaDay.objects.create(user=owner, day=DAY, used=0)

    with pytest.raises(IntegrityError), transaction.atomic():
        QuotaDay.objects.create(user=owner, day=DAY)
    with pytest.raises(IntegrityError), transaction.atomic():
        QuotaDay.objects.update(used=-1)
