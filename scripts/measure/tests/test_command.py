"""The command's flags."""

from __future__ import annotations

import pytest

from scripts.measure.command import Name, flags_from
from scripts.measure.parts import FULL, QUICK


def test_a_run_measures_everything() -> None:
    flags = flags_from([])

    assert (flags.size, flags.only) == (FULL, tuple(Name))


def test_parts_are_measured_in_their_own_order() -> None:
    flags = flags_from(["--quick", "--only", "gpu", "--only", "overhead"])

    assert (flags.size, flags.only) == (QUICK, (Name.OVERHEAD, Name.GPU))


def test_a_quick_run_measures_less_of_everything() -> None:
    assert QUICK.alone < FULL.alone
    assert QUICK.rounds < FULL.rounds
    assert QUICK.waiting[1] < FULL.waiting[1]


@pytest.mark.parametrize(
    "arguments",
    [["--write-docs", "--quick"], ["--write-docs", "--only", "gpu"], ["--only", "rain"]],
    ids=["docs of a quick run", "docs of a part", "no such part"],
)
def test_what_makes_no_sense_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        flags_from(arguments)

    assert arguments[0] in capsys.readouterr().err
