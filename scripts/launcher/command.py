"""A command that must succeed before the start can go on."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from scripts.launcher.places import ROOT
from scripts.launcher.progress import Progress
from scripts.launcher.refusal import Interrupted, Refusal, StepFailed
from scripts.launcher.stop_signal import StopSignal

TAIL_LINES = 15
# How a command is asked to end: as from the keyboard first, so that pytest tears down what it has
# started; then firmly.
_ENDINGS = ((signal.SIGINT, 20.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))
TIMED_OUT = 124  # the status that the command `timeout` gives


def run(
    command: Sequence[str],
    *,
    failure: str,
    log: Path,
    stop: StopSignal,
    progress: Progress | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
) -> None:
    """Run a command with its output in `log`.

    Raises:
        StepFailed: it ended with another status than 0; `failure` is the message.
        Interrupted: somebody asked for the end meanwhile; the command was ended.
    """
    status, text = execute(
        command, log=log, stop=stop, progress=progress, environment=environment, cwd=cwd
    )
    if status != 0:
        raise StepFailed(failure, log=log, tail=tail_of(text))


def execute(
    command: Sequence[str],
    *,
    log: Path,
    stop: StopSignal,
    progress: Progress | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    within_s: float = math.inf,
) -> tuple[int, str]:
    """Run a command with its output in `log`; return its exit status and what it printed.

    One that takes longer than `within_s` is ended; its status is `TIMED_OUT`.

    Raises:
        Refusal: it cannot be run at all.
        Interrupted: somebody asked for the end meanwhile; the command was ended.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    began = log.stat().st_size if log.exists() else 0
    ends_at = time.monotonic() + within_s
    with log.open("ab") as output:
        process = _popen(command, output, environment, cwd)
        try:
            while process.poll() is None:
                stop.pause()
                if progress is not None:
                    progress.still(_last_line(log))
                if time.monotonic() > ends_at:
                    end_group(process)
                    output.write(f"\nended after {within_s:.0f} s\n".encode())
                    process.returncode = TIMED_OUT
        except Interrupted:
            end_group(process)
            raise
    with log.open("rb") as written:
        written.seek(began)
        return process.returncode, written.read().decode(errors="replace")


def tail_of(text: str, *, lines: int = TAIL_LINES) -> str:
    """The last lines that say something."""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads its own session, with its children: first asked, then killed."""
    for number, within_s in _ENDINGS:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(within_s)
            return


def _popen(
    command: Sequence[str], output: IO[bytes], environment: Mapping[str, str] | None, cwd: Path
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment) if environment is not None else None,
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        raise Refusal(f"{command[0]} cannot be run ({error.strerror}).") from error


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4000))
        lines = file.read().decode(errors="replace").split("\n")
    return next((line.strip()[:70] for line in reversed(lines) if line.strip()), "")
