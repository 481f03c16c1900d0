"""The wait until every process answers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from subprocess import DEVNULL, PIPE, Popen
from types import TracebackType

from scripts.launcher.places import ROOT
from scripts.launcher.refusal import StepFailed
from scripts.launcher.services import BEAT_TASK, PYTHON
from scripts.launcher.stop_signal import StopSignal
from scripts.launcher.supervisor import Supervisor

READY_WITHIN_S = 120.0  # chosen: a small computer that does something else as well


class WorkerPing:
    """The question to a worker, asked by a process of its own; see `celery_probe.py`."""

    def __init__(
        self, *, redis_url: str, worker_name: str, within_s: float = READY_WITHIN_S
    ) -> None:
        script = str(ROOT / "scripts" / "launcher" / "celery_probe.py")
        self._process = Popen(
            (PYTHON, script, redis_url, worker_name, BEAT_TASK, str(within_s)),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._output = self._process.stdout
        os.set_blocking(self._output.fileno(), False)
        self._said = b""

    def __enter__(self) -> WorkerPing:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._output.close()

    def answers(self) -> bool:
        """Whether the worker has answered."""
        return b"worker" in self._heard()

    def beat_answers(self) -> bool:
        """Whether something that beat sent has reached the worker."""
        return b"beat" in self._heard()

    def _heard(self) -> bytes:
        self._said += self._output.read() or b""
        return self._said


def wait_until_ready(
    questions: Mapping[str, Callable[[], bool]],
    supervisor: Supervisor,
    stop: StopSignal,
    *,
    on_ready: Callable[[str, float], None] = lambda _name, _seconds: None,
    within_s: float = READY_WITHIN_S,
) -> None:
    """Ask every service until it answers; report each as it does.

    Raises:
        StepFailed: a process ended, or gave no answer in time.
        Interrupted: somebody asked for the end.
    """
    began_at = time.monotonic()
    waiting = dict(questions)
    while waiting:
        died = supervisor.dead()
        if died is not None:
            raise _failed(supervisor, died[0], f"ended with status {died[1]} instead of starting")
        for name, answers in list(waiting.items()):
            if answers():
                del waiting[name]
                on_ready(name, time.monotonic() - began_at)
        if waiting and time.monotonic() - began_at > within_s:
            raise _failed(supervisor, min(waiting), f"gave no answer in {within_s:.0f} seconds")
        stop.pause(0.1)


def _failed(supervisor: Supervisor, name: str, what: str) -> StepFailed:
    log = supervisor.log_of(name)
    return StepFailed(f"The {name} process {what}.", log=log, tail=supervisor.tail(name))
