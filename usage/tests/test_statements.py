"""Statements that are compiled once and run again with other values."""

from __future__ import annotations

from datetime import date

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import CharField, DateField, F, IntegerField, QuerySet
from django.db.transaction import TransactionManagementError
from pytest_django import DjangoAssertNumQueries

from usage.models import Plan, QuotaDay, User
from usage.statements import Select, Slot, Update, update_returning

TODAY, TOMORROW = date(2026, 3, 1), date(2026, 3, 2)
EMAIL = Slot("email", CharField())


def test_each_run_has_its_own_values(owner: User, stranger: User) -> None:
    by_email = Select(lambda: User.objects.filter(email=EMAIL))

    found = [by_email.objects(email=user.email) for user in (owner, stranger, owner)]

    assert found == [[owner], [stranger], [owner]]
    assert by_email.objects(email="nobody@example.com") == []


def test_the_queryset_is_built_once_and_each_run_is_one_query(
    owner: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    built = []

    def build() -> QuerySet[User]:
        built.append(1)
        return User.objects.filter(email=EMAIL)

    by_email = Select(build)
    by_email.objects(email=owner.email)
    with django_assert_num_queries(3):
        for _ in range(3):
            by_email.objects(email=owner.email)

    assert built == [1]


def test_an_object_comes_with_what_is_selected_beside_it(
    owner: User, stranger: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    owner.plan = Plan.objects.create(name="large", weight=3)
    owner.save()
    with_plan = Select(lambda: User.objects.filter(email=EMAIL).select_related("plan"))
    with_plan.objects(email=owner.email)  # SQLite is asked how it quotes

    with django_assert_num_queries(2):
        (first,) = with_plan.objects(email=owner.email)
        (second,) = with_plan.objects(email=stranger.email)
        assert first.plan == owner.plan
        assert second.plan is None


def test_rows_are_what_python_knows(owner: User) -> None:
    QuotaDay.objects.create(user=owner, day=TODAY, used=4)
    days = Select(
        lambda: QuotaDay.objects.filter(user_id=Slot("user_id", IntegerField())).values_list(
            "day", "used"
        )
    )

    assert [tuple(row) for row in days.rows(user_id=owner.pk)] == [(TODAY, 4)]


@pytest.mark.parametrize("text", ["50 %", "%s", "it's", 'a "name"', "back\\slash", "Grüße"])
def test_what_never_changes_stands_in_the_text(text: str, owner: User) -> None:
    Plan.objects.create(name=text)
    Plan.objects.create(name="other", weight=2)
    named = Select(
        lambda: Plan.objects.filter(name=text, weight=Slot("weight", IntegerField())).values_list(
            "name"
        )
    )

    assert [name for (name,) in named.rows(weight=1)] == [text]
    assert named.rows(weight=2) == []


def test_a_statement_that_locks_needs_a_transaction(transactional_db: None, owner: User) -> None:
    locking = Select(lambda: User.objects.filter(email=EMAIL).select_for_update())
    with transaction.atomic():
        assert locking.objects(email=owner.email) == [owner]

    if connection.features.has_select_for_update:
        with pytest.raises(TransactionManagementError):
            locking.objects(email=owner.email)


def test_an_update_answers_with_the_rows_as_they_are_then(owner: User, stranger: User) -> None:
    for user, day in ((owner, TODAY), (owner, TOMORROW), (stranger, TODAY)):
        QuotaDay.objects.create(user=user, day=day, used=1)
    add = Update(
        lambda: (
            QuotaDay.objects.filter(user_id=Slot("user_id", IntegerField())),
            {"used": F("used") + Slot("more", IntegerField()), "day": Slot("day", DateField())},
        )
    )

    QuotaDay.objects.filter(user=owner, day=TODAY).delete()
    (changed,) = add.objects(user_id=owner.pk, more=5, day=TODAY)
    none = add.objects(user_id=0, more=5, day=TODAY)

    assert (changed.user_id, changed.day, changed.used) == (owner.pk, TODAY, 6)
    assert none == []
    assert QuotaDay.objects.get(user=owner) == changed
    assert QuotaDay.objects.get(user=stranger).used == 1


def test_an_update_that_can_match_nothing_changes_nothing(owner: User) -> None:
    assert update_returning(User.objects.filter(pk__in=[]), is_active=False) == []
    assert User.objects.get(pk=owner.pk).is_active


@pytest.mark.postgres
def test_postgres_plans_what_comes_again_once(owner: User) -> None:
    by_email = Select(lambda: User.objects.filter(email=EMAIL))

    for _ in range(2):
        by_email.objects(email=owner.email)

    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        kept = [text for (text,) in cursor.fetchall() if '"usage_user"."email" = ($1)' in text]
    assert len(kept) == 1


@pytest.mark.parametrize("times", [1, 5])
def test_a_failed_run_leaves_the_statement_good(owner: User, times: int) -> None:
    QuotaDay.objects.create(user=owner, day=TODAY, used=1)
    add = Update(
        lambda: (
            QuotaDay.objects.filter(user_id=Slot("user_id", IntegerField())),
            {"used": Slot("used", IntegerField())},
        )
    )

    for _ in range(times):
        with pytest.raises(IntegrityError), transaction.atomic():
            add.objects(user_id=owner.pk, used=-1)
        (changed,) = add.objects(user_id=owner.pk, used=times)

        assert changed.used == times
