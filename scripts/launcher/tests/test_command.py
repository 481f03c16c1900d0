import sys
import time
from pathlib import Path

import pytest

from scripts.launcher.command import TIMED_OUT, execute, run, tail_of
from scripts.launcher.refusal import Interrupted, Refusal, StepFailed
from scripts.launcher.stop_signal import StopSignal


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_status_and_output_come_back_and_stay_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "step.log"
    execute(_python("print('before')"), log=log, stop=StopSignal())

    status, text = execute(_python("print('now'); raise SystemExit(3)"), log=log, stop=StopSignal())

    assert (status, text) == (3, "now\n")
    assert log.read_text() == "before\nnow\n"


def test_a_command_that_must_succeed_fails_with_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"

    command = _python("print('why'); raise SystemExit(1)")

    with pytest.raises(StepFailed, match="it broke") as failed:
        run(command, failure="it broke", log=log, stop=StopSignal())

    assert failed.value.tail == "why"


def test_a_command_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="cannot be run"):
        execute(["no-such-command-here"], log=tmp_path / "log", stop=StopSignal())


def test_a_command_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    began_at = time.monotonic()

    status, _ = execute(
        _python("import time; time.sleep(60)"),
        log=tmp_path / "log",
        stop=StopSignal(),
        within_s=0.2,
    )

    assert status == TIMED_OUT
    assert time.monotonic() - began_at < 10


def test_a_wish_to_stop_ends_the_command_as_from_the_keyboard(tmp_path: Path) -> None:
    stop, log = StopSignal(), tmp_path / "log"
    stop.count = 1

    with pytest.raises(Interrupted):
        execute(_python("import time; time.sleep(60)"), log=log, stop=stop)


def test_the_tail_leaves_empty_lines_out() -> None:
    assert tail_of("one\n\n\ntwo\n \nthree\n", lines=2) == "two\nthree"
