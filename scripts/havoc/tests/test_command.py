"""The command's flags."""

from __future__ import annotations

import pytest

from scripts.havoc.command import flags_from
from scripts.havoc.plan import Kind


@pytest.mark.parametrize(("minutes", "jobs"), [("3", 40), ("1", 13), ("10", 40), ("0.1", 1)])
def test_a_short_run_has_fewer_jobs(minutes: str, jobs: int) -> None:
    assert flags_from(["--minutes", minutes]).jobs == jobs


def test_what_is_given_is_taken() -> None:
    flags = flags_from(
        ["--seed", "7", "--jobs", "3", "--users", "2", "--without=disk-full", "--without=web-kill"]
    )

    assert (flags.seed, flags.jobs, flags.users) == (7, 3, 2)
    assert flags.without == (Kind.DISK_FULL, Kind.WEB_KILL)


def test_the_line_for_the_same_again_asks_for_the_same() -> None:
    flags = flags_from(["--minutes", "1.5", "--users", "3", "--without=disk-full"])

    program, *arguments = flags.again.split()

    assert program == "./scripts/chaos"
    assert flags_from(arguments) == flags


@pytest.mark.parametrize(
    "arguments",
    [["--minutes", "0"], ["--users", "1"], ["--jobs", "0"], ["--without", "rain"]],
    ids=lambda arguments: arguments[0],
)
def test_what_makes_no_sense_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        flags_from(arguments)

    assert arguments[0] in capsys.readouterr().err
