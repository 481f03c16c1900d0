"""The proof of the ledger: silent about what agrees, and not about anything else."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db.models import F
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from generation.ledger_check import Drift, Problem, ledger_drifts
from generation.models import Job, Node
from generation.scheduling import job_claim
from generation.services import jobs_cancel
from generation.states import ACTIVE, TERMINAL, JobState
from generation.transitions import job_fail
from usage.models import LedgerEntry, LedgerKind, QuotaDay, User
from usage.quota import quota_refund, quota_reserve, quota_settle

Submit = Callable[..., list[Job]]
TODAY = datetime.now(UTC).date()


def check(*options: str) -> tuple[int, str]:
    """The command's exit status, and what it prints."""
    out = io.StringIO()
    try:
        call_command("ledger_check", *options, stdout=out, no_color=True)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


def found() -> list[tuple[Problem, int, str]]:
    """What is wrong, and where."""
    return [(drift.problem, drift.user_id, drift.subject) for drift in ledger_drifts()]


def ended(job: Job, state: JobState) -> None:
    """Set a job's state behind everybody's back."""
    Job.objects.filter(id=job.id).update(
        state=state,
        finished_at=timezone.now() if state in TERMINAL else None,
        lease_token=uuid4(),
        attempt=1,
    )


# --- What agrees ---


def test_an_empty_ledger_agrees(db: None) -> None:
    assert check() == (0, "ledger: 0 users, 0 lines, drift 0\n")


def test_jobs_on_their_way_and_at_their_end_agree(
    owner: User, stranger: User, node: Node, submit: Submit
) -> None:
    submit(owner, count=3)
    cancelled, _ = submit(stranger, count=2)
    jobs_cancel([cancelled])
    claim = job_claim()
    assert claim is not None
    job_fail(claim.lease, code="broken", message="It broke.")

    assert found() == []
    assert check() == (0, "ledger: 2 users, 7 lines, drift 0\n")


def test_lines_outlive_a_job_that_is_deleted_after_its_end(owner: User, submit: Submit) -> None:
    (job,) = submit(owner)
    jobs_cancel([job])
    Job.objects.all().delete()

    assert found() == []


def test_a_refund_after_midnight_agrees(owner: User) -> None:
    job_id = uuid4()
    quota_reserve(owner, [job_id], now=datetime.now(UTC) - timedelta(days=1)).run()

    quota_refund(job_id)

    assert found() == []


# --- Counters ---


@pytest.mark.parametrize("change", [1, -1], ids=["too high", "too low"])
def test_a_counter_that_is_not_the_sum_of_its_lines_is_found(
    owner: User, stranger: User, submit: Submit, change: int
) -> None:
    submit(owner, count=2)
    submit(stranger)
    QuotaDay.objects.filter(user=owner).update(used=F("used") + change)

    assert list(ledger_drifts()) == [
        Drift(Problem.COUNTER, owner.pk, str(TODAY), "used 2", f"used {2 + change}")
    ]


def test_a_counter_without_lines_is_found(owner: User) -> None:
    QuotaDay.objects.create(user=owner, day=date(2026, 3, 1), used=4)

    assert found() == [(Problem.COUNTER, owner.pk, "2026-03-01")]


def test_lines_without_a_counter_are_found(owner: User, submit: Submit) -> None:
    submit(owner, count=2)
    QuotaDay.objects.all().delete()

    assert list(ledger_drifts()) == [
        Drift(Problem.COUNTER, owner.pk, str(TODAY), "used 2", "no counter")
    ]


def test_days_and_users_are_not_mixed_up(owner: User, stranger: User) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    quota_reserve(owner, [job := uuid4()]).run()
    quota_reserve(stranger, [other := uuid4()], now=yesterday).run()
    quota_settle(job).run()
    quota_settle(other).run()
    QuotaDay.objects.filter(user=owner).update(day=yesterday.date())
    QuotaDay.objects.filter(user=stranger).update(day=TODAY)

    problems = {(drift.user_id, drift.subject, drift.found) for drift in ledger_drifts()}
    assert problems == {
        (owner.pk, str(yesterday.date()), "used 1"),
        (owner.pk, str(TODAY), "no counter"),
        (stranger.pk, str(TODAY), "used 1"),
        (stranger.pk, str(yesterday.date()), "no counter"),
    }


# --- Jobs ---

RIGHT_OUTCOME = {
    **dict.fromkeys(ACTIVE, None),
    JobState.SUCCEEDED: LedgerKind.SETTLE,
    JobState.FAILED: LedgerKind.REFUND,
    JobState.CANCELLED: LedgerKind.REFUND,
}


@pytest.mark.parametrize("outcome", [None, LedgerKind.SETTLE, LedgerKind.REFUND])
@pytest.mark.parametrize("state", list(JobState))
def test_a_jobs_lines_fit_its_state(
    owner: User, submit: Submit, state: JobState, outcome: LedgerKind | None
) -> None:
    (job,) = submit(owner)
    ended(job, state)
    if outcome is LedgerKind.SETTLE:
        quota_settle(job.id).run()
    elif outcome is LedgerKind.REFUND:
        quota_refund(job.id)

    is_right = outcome is RIGHT_OUTCOME[state]
    assert found() == ([] if is_right else [(Problem.JOB, owner.pk, str(job.id))])


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.SUCCEEDED])
def test_a_job_without_a_reservation_is_found(owner: User, submit: Submit, state: JobState) -> None:
    (job,) = submit(owner)
    ended(job, state)
    LedgerEntry.objects.all().delete()
    QuotaDay.objects.all().delete()

    (drift,) = ledger_drifts()
    assert (drift.problem, drift.subject) == (Problem.JOB, str(job.id))
    assert drift.expected.startswith(f"{state}: reserve 1, settle")
    assert drift.found == "reserve 0, settle 0, refund 0"


def test_a_reservation_of_somebody_else_is_none(
    owner: User, stranger: User, submit: Submit
) -> None:
    (job,) = submit(owner)
    LedgerEntry.objects.update(user=stranger)

    assert (Problem.JOB, owner.pk, str(job.id)) in found()


# --- Lines alone ---


def test_a_reservation_whose_job_is_gone_and_that_nothing_ended_is_found(
    owner: User, submit: Submit
) -> None:
    (job,) = submit(owner)
    Job.objects.all().delete()

    assert found() == [(Problem.ENDLESS, owner.pk, str(job.id))]


@pytest.mark.parametrize(
    ("kind", "amount"), [(LedgerKind.SETTLE, 0), (LedgerKind.REFUND, -1)], ids=["settle", "refund"]
)
def test_an_outcome_without_a_reservation_is_found(
    owner: User, kind: LedgerKind, amount: int
) -> None:
    line: dict[str, Any] = {"kind": kind, "amount": amount, "day": TODAY, "job_id": uuid4()}
    LedgerEntry.objects.create(user=owner, **line)

    assert (Problem.UNFOUNDED, owner.pk, str(line["job_id"])) in found()


def test_an_outcome_of_another_day_is_found(owner: User, submit: Submit) -> None:
    (job,) = submit(owner)
    jobs_cancel([job])
    LedgerEntry.objects.filter(kind=LedgerKind.REFUND).update(day=date(2026, 3, 1))

    assert (Problem.UNFOUNDED, owner.pk, str(job.id)) in found()


# --- The command ---


def test_the_table_names_each_drift_and_the_exit_status_says_that_there_is_one(
    owner: User, submit: Submit
) -> None:
    (job,) = submit(owner)
    ended(job, JobState.SUCCEEDED)
    QuotaDay.objects.update(used=9)

    status, text = check()

    lines = text.splitlines()
    assert status == 1
    assert lines[0].split() == ["problem", "user", "day", "or", "job", "expected", "found"]
    assert lines[1].split() == ["counter", str(owner.pk), str(TODAY), "used", "1", "used", "9"]
    assert lines[2].startswith("job ")
    assert str(job.id) in lines[2]
    assert lines[3:] == ["ledger: 1 users, 1 lines, drift 2"]
    assert owner.email not in text


def test_json_is_one_object(owner: User, submit: Submit) -> None:
    submit(owner)
    assert check("--json")[0] == 0
    QuotaDay.objects.update(used=9)
    LedgerEntry.objects.create(
        user=owner, day=TODAY, job_id=uuid4(), kind=LedgerKind.SETTLE, amount=0
    )

    status, text = check("--json")

    report = json.loads(text)
    assert status == 1
    assert (report["users"], report["lines"], report["drift"]) == (1, 2, 2)
    assert report["drifts"][0] == {
        "problem": "counter",
        "user_id": owner.pk,
        "subject": str(TODAY),
        "expected": "used 1",
        "found": "used 9",
    }
    assert report["drifts"][1]["problem"] == "unfounded"


def test_json_without_drift_is_one_object_too(db: None) -> None:
    status, text = check("--json")

    assert status == 0
    assert json.loads(text) == {"drifts": [], "users": 0, "lines": 0, "drift": 0}


def test_the_check_costs_six_queries_however_much_there_is(
    owner: User, submit: Submit, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    submit(owner, count=40)

    with django_assert_num_queries(6):
        check()
