"""The operator's commands on jobs and nodes: what they do, and what they refuse."""

from __future__ import annotations

import io
from collections.abc import Callable
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

from generation.models import Job, Node, NodeDuty, NodeHealth
from generation.states import JobState
from generation.tests.stages import bring, ledger_kinds
from usage.models import User

Submit = Callable[..., list[Job]]


def command(*arguments: str) -> tuple[int, str, str]:
    """A command's exit status, and what it prints on both ways."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command(*arguments, stdout=out, stderr=err, no_color=True)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def states() -> dict[str, int]:
    """How many jobs are in each state."""
    found: dict[str, int] = {}
    for state in Job.objects.values_list("state", flat=True):
        found[state] = found.get(state, 0) + 1
    return found


# --- job_cancel ---


def test_named_jobs_are_cancelled_and_refunded_others_are_not(owner: User, submit: Submit) -> None:
    named, other = submit(owner, count=2)

    assert command("job_cancel", str(named.id)) == (0, "1 cancelled\n", "")

    other.refresh_from_db()
    assert other.state == JobState.QUEUED
    assert ledger_kinds(named.id) == ["reserve", "refund"]
    assert ledger_kinds(other.id) == ["reserve"]


def test_a_job_on_a_node_is_asked_to_stop(owner: User, node: Node, submit: Submit) -> None:
    (job,) = submit(owner)
    bring(job, node, JobState.RUNNING)

    status, out, _ = command("job_cancel", str(job.id))

    job.refresh_from_db()
    assert (status, job.state) == (0, JobState.RUNNING)
    assert job.cancel_requested_at is not None
    assert out == "1 to be cancelled as soon as its node has let go\n"


def test_a_users_jobs_are_cancelled_and_nobody_elses(
    owner: User, stranger: User, submit: Submit
) -> None:
    submit(owner, count=3)
    submit(stranger, count=2)

    assert command("job_cancel", "--user", "Owner@example.com") == (0, "3 cancelled\n", "")

    assert states() == {"cancelled": 3, "queued": 2}


def test_all_means_everybody(owner: User, stranger: User, submit: Submit) -> None:
    submit(owner, count=3)
    submit(stranger, count=2)

    command("job_cancel", "--all")

    assert states() == {"cancelled": 5}
    assert command("job_cancel", "--all") == (0, "There is nothing to cancel.\n", "")


def test_what_has_ended_stays_and_what_is_not_there_is_said(
    owner: User, node: Node, submit: Submit
) -> None:
    (ended,) = submit(owner)
    bring(ended, node, JobState.SUCCEEDED)
    nobody = uuid4()

    status, out, err = command("job_cancel", str(ended.id), str(nobody))

    assert (status, out) == (1, "1 had ended before\n")
    assert err.strip() == f"{nobody}: There is no such job."
    assert states() == {"succeeded": 1}


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param((), id="nothing"),
        pytest.param(("--all", "--user", "owner@example.com"), id="all and one"),
        pytest.param((str(uuid4()), "--all"), id="a job and all"),
        pytest.param(("--user", ""), id="an empty user is not everybody"),
        pytest.param(("--user", "nobody@example.com"), id="nobody"),
    ],
)
def test_an_unclear_command_cancels_nothing(
    owner: User, submit: Submit, arguments: tuple[str, ...]
) -> None:
    submit(owner)

    with pytest.raises(CommandError):
        command("job_cancel", *arguments)

    assert states() == {"queued": 1}


# --- node_duty ---


@pytest.mark.parametrize("duty", [NodeDuty.ACTIVE, NodeDuty.DRAINING, NodeDuty.DISABLED])
def test_a_node_does_its_duty(node: Node, duty: NodeDuty) -> None:
    status, out, _ = command("node_duty", "one", duty.value)

    node.refresh_from_db()
    assert (status, node.duty) == (0, duty)
    assert out == f"one: {duty.value} ({duty.label}); healthy; holds 0.\n"


def test_a_node_that_was_disabled_proves_itself_anew(node: Node) -> None:
    command("node_duty", "one", "disabled")

    _, out, _ = command("node_duty", "one", "active")

    node.refresh_from_db()
    assert node.health == NodeHealth.UNKNOWN
    assert out == "one: active (takes jobs); unknown; holds 0.\n"


def test_an_unknown_node_is_answered_with_those_there_are(node: Node) -> None:
    with pytest.raises(CommandError, match=r"no node two\. There are: one\."):
        command("node_duty", "two", "active")


def test_a_retired_node_gets_no_duty(node: Node) -> None:
    Node.objects.update(duty=NodeDuty.RETIRED)

    with pytest.raises(CommandError, match="PENCIL_COMFYUI_URL"):
        command("node_duty", "one", "active")

    node.refresh_from_db()
    assert node.duty == NodeDuty.RETIRED


def test_nobody_retires_a_node_by_hand(node: Node) -> None:
    with pytest.raises(CommandError):
        command("node_duty", "one", "retired")
