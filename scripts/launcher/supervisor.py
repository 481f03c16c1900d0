"""Child processes: started together, watched, ended in order.

Not honcho: it ends all processes at the same moment, so that a worker finishes its job without
Redis and ComfyUI; it forks itself once for each child; and after a Ctrl-C in its first tenth of a
second (KeyError in `Manager._killall`, seen with honcho 2.0.0) it waits for children that nobody
ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scripts.launcher.command import tail_of
from scripts.launcher.places import ROOT
from scripts.launcher.stop_signal import POLL_S

# Together under the ten seconds within which everything is gone.
USERS_WITHIN_S = 6.0
SERVERS_WITHIN_S = 3.0
LOG_BYTES_MAX = 20 * 10**6


@dataclass(frozen=True, slots=True)
class Service:
    """A process: `is_server` when others need it until they have ended."""

    name: str
    command: tuple[str, ...]
    is_server: bool = False


class Supervisor:
    """Runs services, each in a session of its own with its output in a log file."""

    def __init__(self, environment: Mapping[str, str], *, logs: Path) -> None:
        self._environment = dict(environment)
        self._logs = logs
        self._running: dict[str, tuple[Service, subprocess.Popen[bytes]]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, service: Service) -> int:
        """Start a service; return its process id."""
        log = self.log_of(service.name)
        _keep_short(log)
        with log.open("ab") as output:
            process = subprocess.Popen(
                service.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=ROOT,
                # Ctrl-C at the terminal is for us alone: we end the others in order.
                start_new_session=True,
            )
        self._running[service.name] = (service, process)
        return process.pid

    def log_of(self, name: str) -> Path:
        """The file with a service's output."""
        return self._logs / f"{name}.log"

    def pids(self) -> dict[str, int]:
        """The processes by name."""
        return {name: process.pid for name, (_, process) in self._running.items()}

    def dead(self) -> tuple[str, int] | None:
        """The name and exit status of a service that has ended by itself, if one has."""
        for name, (_, process) in self._running.items():
            status = process.poll()
            if status is not None:
                return name, status
        return None

    def shorten_logs(self) -> None:
        """Keep logs that have grown too long as one earlier file each."""
        for name in self._running:
            _keep_short(self.log_of(name))

    def tail(self, name: str) -> str:
        """The last lines of a service's log."""
        log = self.log_of(name)
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8000))
            return tail_of(file.read().decode(errors="replace"))

    def kill(self, name: str) -> None:
        """Kill a service at once, as a power cut would. For tests of what survives that."""
        _, process = self._running.pop(name)
        _signal(process, signal.SIGKILL)
        process.wait()

    def stop(self, *, is_urgent: Callable[[], bool] = lambda: False) -> None:
        """End all services: first those that use the servers, then the servers."""
        users = [entry for entry in self._running.values() if not entry[0].is_server]
        servers = [entry for entry in self._running.values() if entry[0].is_server]
        _end((process for _, process in users), within_s=USERS_WITHIN_S, is_urgent=is_urgent)
        _end((process for _, process in servers), within_s=SERVERS_WITHIN_S, is_urgent=is_urgent)
        self._running.clear()


def _end(
    processes: Iterable[subprocess.Popen[bytes]],
    *,
    within_s: float,
    is_urgent: Callable[[], bool],
) -> None:
    alive = list(processes)
    for process in alive:
        _signal(process, signal.SIGTERM)
    ends_at = time.monotonic() + within_s
    while time.monotonic() < ends_at and not is_urgent():
        if all(process.poll() is not None for process in alive):
            break
        time.sleep(POLL_S)
    for process in alive:
        # Also where the leader has ended: something it started may be left of its group.
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a service and all that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _keep_short(log: Path) -> None:
    """Move a long log's content aside; whoever writes it goes on at the file's new end."""
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.with_suffix(".log.1").write_bytes(log.read_bytes())
        os.truncate(log, 0)
