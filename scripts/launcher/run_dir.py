"""The folder `run` in the data folder: who runs on this data, with which ports."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from scripts.launcher.ports import HeldPorts, is_free
from scripts.launcher.refusal import Refusal

LEFTOVER_WITHIN_S = 5.0


class RunDir:
    """Held by one start at a time. The kernel lets go of it when its holder dies, however."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "run"
        self._lock: IO[str] | None = None

    def take(self, *, address: str) -> None:
        """Hold the folder until this process ends.

        Raises:
            Refusal: another start holds it.
        """
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (self._path / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            where = lock.read().strip()
            lock.close()
            raise Refusal(
                f"LlamaSketch already runs on {self._path.parent}{f' ({where})' if where else ''}; "
                "stop it there, or give another folder with --data-dir."
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, {address}\n")
        lock.flush()
        self._lock = lock

    def leave(self) -> None:
        """Let go."""
        if self._lock is not None:
            self._lock.truncate(0)
            self._lock.close()
            self._lock = None

    def ports(self, names: Collection[str]) -> dict[str, int]:
        """Choose a free port for each name: the one it had last time, where that is still free.

        The simulator's address is a row in the database, so it is better kept.
        """
        remembered = self._read("ports.json")
        chosen: dict[str, int] = {}
        held = HeldPorts()  # or two could be given the same
        for name in names:
            last = remembered.get(name)
            if isinstance(last, int) and last not in chosen.values() and is_free(last):
                chosen[name] = last
        for name in names:
            while name not in chosen:
                port = held.take()
                if port not in chosen.values():
                    chosen[name] = port
        held.release()
        self._write("ports.json", {**remembered, **chosen})
        return chosen

    def note_processes(self, pids: Mapping[str, int]) -> None:
        """Remember the processes, each with the moment of its birth: numbers are used again."""
        self._write("processes.json", {str(pid): born_at(pid) for pid in pids.values()})

    def end_leftovers(self) -> int:
        """End what an earlier start left when it was killed; return how many there were.

        Call while holding the folder: then that start is surely gone.
        """
        born = {int(pid): moment for pid, moment in self._read("processes.json").items()}
        alive = [pid for pid, moment in born.items() if moment and born_at(pid) == moment]
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in alive:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, number)
            ends_at = time.monotonic() + LEFTOVER_WITHIN_S
            while time.monotonic() < ends_at and any(born_at(pid) == born[pid] for pid in alive):
                time.sleep(0.05)
        self._write("processes.json", {})
        return len(alive)

    def _read(self, name: str) -> dict[str, object]:
        with suppress(OSError, ValueError):
            value = json.loads((self._path / name).read_text())
            if isinstance(value, dict):
                return value
        return {}

    def _write(self, name: str, value: Mapping[str, object]) -> None:
        temporary = self._path / f"{name}.new"
        temporary.write_text(json.dumps(value))
        temporary.replace(self._path / name)


def born_at(pid: int) -> str | None:
    """When a process began, in a form that can only be compared; None when there is none."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
        shown = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return shown.stdout.strip() or None
    # After the name, which may hold spaces: the state, and 19 fields later the birth in ticks.
    fields = status.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]
