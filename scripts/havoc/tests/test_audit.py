"""The audit finds each way in which the promise can be broken, and nothing where it was kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scripts.havoc.audit import (
    HEADINGS,
    Accepted,
    EventRow,
    Evidence,
    ImageRow,
    JobRow,
    LedgerRow,
    audit,
)
from scripts.havoc.hues import Look
from scripts.havoc.table import as_json, table

DAY = "2030-01-01"
LAST_FAULT_AT = 1000.0


def job(id_: str, user: int, state: str, **changes: Any) -> JobRow:
    row = JobRow(id_, user, "batch", state, 1, "", 256, 256, 990.0, 1005.0, False)
    return replace(row, **changes)


def image(job_id: str, hue: float, **changes: Any) -> ImageRow:
    row = ImageRow(job_id, f"{job_id}.png", 10, 10, 200, 404, Look(256, 256, hue, 0.3))
    return replace(row, **changes)


def lines(job_id: str, user: int, *kinds: str) -> tuple[LedgerRow, ...]:
    amounts = {"reserve": 1, "settle": 0, "refund": -1}
    return tuple(LedgerRow(user, DAY, job_id, kind, amounts[kind]) for kind in kinds)


def events(user: int, *told: tuple[str, str]) -> tuple[EventRow, ...]:
    return tuple(
        EventRow(user, seq, f"job.{type_}", job_id)
        for seq, (job_id, type_) in enumerate(told, start=1)
    )


def kept() -> Evidence:
    """Two users; one job succeeded, one failed, one was cancelled."""
    return Evidence(
        users=2,
        accepted=(Accepted("a", "1", 0), Accepted("b", "2", 1), Accepted("c", "3", 1)),
        jobs=(
            job("a", 0, "succeeded"),
            job("b", 1, "failed", error_code="node_failed"),
            job("c", 1, "cancelled", is_cancel_requested=True),
        ),
        images=(image("a", 0.01),),
        ledger=(
            *lines("a", 0, "reserve", "settle"),
            *lines("b", 1, "reserve", "refund"),
            *lines("c", 1, "reserve", "refund"),
        ),
        used={(0, DAY): 1, (1, DAY): 0},
        events=(
            *events(0, ("a", "queued"), ("a", "succeeded")),
            *events(1, ("b", "queued"), ("c", "queued"), ("b", "failed"), ("c", "cancelled")),
        ),
        last_seqs={0: 2, 1: 4},
        heard={0: 2, 1: 4},
        api_used={0: 1, 1: 0},
        said=(),
        last_fault_at=LAST_FAULT_AT,
        now=1200.0,
    )


def broken(evidence: Evidence) -> set[str]:
    return {heading for heading, found in audit(evidence).broken.items() if found}


def test_a_kept_promise_has_no_findings_and_every_number() -> None:
    findings = audit(kept())

    assert findings.is_kept
    assert set(findings.broken) == set(HEADINGS)
    assert findings.numbers["accepted"] == findings.numbers["terminal"] == 3
    assert findings.numbers["charged"] == findings.numbers["images"] == 1
    assert findings.numbers["  node_failed"] == 1
    assert findings.numbers["longest stall (s)"] == 5.0
    assert findings.numbers["longest age (s)"] == 15.0


def test_an_accepted_job_without_a_row_is_lost() -> None:
    evidence = kept()
    assert broken(replace(evidence, accepted=(*evidence.accepted, Accepted("x", "9", 0)))) == {
        "lost"
    }


def test_a_row_of_another_user_is_lost() -> None:
    assert "lost" in broken(_with_job(0, user=1))


def test_a_job_that_has_not_ended_is_lost_and_late() -> None:
    evidence = _with_job(1, state="running", finished_at=None)
    assert {"lost", "too late"} <= broken(evidence)


def test_a_job_that_nobody_was_told_of_is_doubled() -> None:
    assert broken(replace(kept(), accepted=kept().accepted[:2])) == {"doubled"}


def test_two_images_of_a_job_are_doubled() -> None:
    second = image("a", 0.0, file="a-2.png")
    assert broken(replace(kept(), images=(*kept().images, second))) == {"doubled"}


@pytest.mark.parametrize(
    ("change", "heading"),
    [
        pytest.param({"look": Look(256, 256, 0.5, 0.3)}, "wrong owner", id="hue"),
        pytest.param({"stranger_status": 200}, "wrong owner", id="stranger"),
        pytest.param(
            {"look": Look(256, 256, 0.0, 0.0)}, "images not as they should be", id="black"
        ),
        pytest.param({"look": Look(512, 256, 0.0, 0.3)}, "images not as they should be", id="size"),
        pytest.param({"look": None}, "images not as they should be", id="not-whole"),
        pytest.param({"owner_status": 404}, "images not as they should be", id="not-fetched"),
        pytest.param({"disk_bytes": None}, "images not as they should be", id="no-file"),
        pytest.param({"disk_bytes": 5}, "images not as they should be", id="half-a-file"),
    ],
)
def test_a_wrong_image_is_found(change: dict[str, Any], heading: str) -> None:
    assert broken(replace(kept(), images=(image("a", 0.01, **change),))) == {heading}


def test_a_success_without_an_image_and_an_image_without_a_success_are_found() -> None:
    assert broken(replace(kept(), images=())) == {"images not as they should be"}
    extra = (*kept().images, image("b", 0.5))
    assert broken(replace(kept(), images=extra)) == {"images not as they should be"}


@pytest.mark.parametrize("kind", ["settle", "reserve", "refund"])
def test_a_second_line_is_a_double_charge(kind: str) -> None:
    ledger = (*kept().ledger, *lines("a", 0, kind))
    assert "double charge" in broken(replace(kept(), ledger=ledger))


def test_a_counter_that_is_not_the_sum_of_its_lines_drifts() -> None:
    evidence = replace(kept(), used={(0, DAY): 2, (1, DAY): 0}, api_used={0: 2, 1: 0})
    assert broken(evidence) == {"ledger drift"}


def test_an_api_that_says_something_else_drifts() -> None:
    assert broken(replace(kept(), api_used={0: 7, 1: 0})) == {"ledger drift"}


def test_a_failure_that_was_charged_drifts() -> None:
    ledger = (
        *lines("a", 0, "reserve", "settle"),
        *lines("b", 1, "reserve", "settle"),
        *lines("c", 1, "reserve", "refund"),
    )
    evidence = replace(kept(), ledger=ledger, used={(0, DAY): 1, (1, DAY): 1})
    assert broken(replace(evidence, api_used={0: 1, 1: 1})) == {"ledger drift"}


def test_a_line_without_a_job_drifts() -> None:
    ledger = (*kept().ledger, *lines("x", 0, "reserve", "refund"))
    assert broken(replace(kept(), ledger=ledger)) == {"ledger drift"}


def test_a_gap_in_the_events_is_found() -> None:
    assert broken(replace(kept(), last_seqs={0: 3, 1: 4}, heard={})) == {"events"}


def test_a_socket_that_missed_events_is_found() -> None:
    assert broken(replace(kept(), heard={0: 2, 1: 3})) == {"events"}


def test_an_ending_that_was_told_twice_is_found() -> None:
    told = (*kept().events, EventRow(0, 3, "job.failed", "a"))
    evidence = replace(kept(), events=told, last_seqs={0: 3, 1: 4}, heard={})
    assert broken(evidence) == {"events"}


def test_a_cancelled_job_that_succeeds_is_a_contradiction() -> None:
    assert broken(_with_job(0, is_cancel_requested=True)) == {"contradictions"}


def test_what_the_clients_say_counts() -> None:
    assert broken(replace(kept(), said=("key: two answers",))) == {"contradictions"}


def test_a_job_is_late_ninety_seconds_after_the_last_fault_or_its_birth() -> None:
    assert broken(_with_job(0, finished_at=LAST_FAULT_AT + 91)) == {"too late"}
    assert broken(_with_job(0, created_at=1050.0, finished_at=LAST_FAULT_AT + 91)) == set()


def test_what_is_weak_breaks_no_promise() -> None:
    findings = audit(kept())
    findings.weak.append("a socket went deaf")

    assert findings.is_kept


def test_the_table_shows_the_first_findings_and_json_all() -> None:
    findings = audit(kept())
    findings.add("lost", (f"job {number}" for number in range(20)))
    findings.weak.append("a socket went deaf")

    shown = table(findings)

    assert "✗ lost" in shown
    assert "✓ doubled" in shown
    assert "job 0" in shown
    assert "and 8 more" in shown
    assert "a socket went deaf" in shown
    assert len(as_json(findings)["broken"]["lost"]) == 20
    assert as_json(findings)["kept"] is False


def _with_job(index: int, **changes: Any) -> Evidence:
    evidence = kept()
    jobs = list(evidence.jobs)
    jobs[index] = replace(jobs[index], **changes)
    return replace(evidence, jobs=tuple(jobs))
