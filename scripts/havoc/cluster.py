"""A PostgreSQL cluster that can be killed: what it has committed is there when it comes back."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from scripts.launcher.command import tail_of
from scripts.launcher.ports import HeldPorts
from scripts.launcher.refusal import Refusal, StepFailed

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 10.0
USER = "llamasketch"
_SETTINGS = {
    "synchronous_commit": "on",
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
}


class Cluster:
    """A cluster in a folder of its own; PostgreSQL refuses to run as root, so then as another.

    A commit has reached the kernel, which outlives every kill here. On the disk it is only where
    `is_durable` asks for it, as a real server has it, and waits for it.
    """

    def __init__(self, programs: Path, *, is_durable: bool = False) -> None:
        self._programs = programs
        self._settings = {**_SETTINGS, "fsync": "on" if is_durable else "off"}
        self._owner = _unprivileged()
        self.folder = Path(tempfile.mkdtemp(prefix="llamasketch-postgres-"))
        self.log = self.folder / "log"
        self._ports = HeldPorts()  # nobody takes it while the server is down
        self.port = self._ports.take()
        self.url = f"postgres://{USER}@127.0.0.1:{self.port}/postgres"
        self._process: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        """Make the cluster.

        Raises:
            StepFailed: it could not be made.
        """
        if self._owner is not None:
            os.chown(self.folder, self._owner.pw_uid, self._owner.pw_gid)
        made = self._popen(
            *("initdb", "-D", str(self._data), "-U", USER, "--auth=trust"),
            *("--encoding=UTF8", "--no-locale", "--no-sync"),
        )
        if made.wait() != 0:
            raise self._failed("PostgreSQL's cluster could not be made.")

    def start(self) -> None:
        """Start the server, with crash recovery where it was killed, and wait until it answers.

        The children of a killed one may still be about to end; until then it refuses to start.

        Raises:
            StepFailed: it did not come up in time.
        """
        settings = [
            part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")
        ]
        command = ("postgres", "-D", str(self._data), "-p", str(self.port), "-k", "", *settings)
        ends_at = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < ends_at:
            if self._process is None or self._process.poll() is not None:
                self._process = self._popen(*command)
            if self._answers():
                return
            time.sleep(0.1)
        raise self._failed("PostgreSQL did not come up.")

    def kill(self) -> None:
        """Kill the postmaster; its children notice and end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def is_running(self) -> bool:
        """Whether the postmaster lives."""
        return self._process is not None and self._process.poll() is None

    def pids(self) -> dict[str, int]:
        """The postmaster by its name, while it lives."""
        return {"postgres": self._process.pid} if self._process is not None else {}

    def stop(self) -> None:
        """End the server: SIGINT means at once, but in order; its children follow it."""
        if self._process is None:
            return
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            with suppress(ProcessLookupError):
                self._process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_WITHIN_S)
                break
        self._process = None

    def remove(self) -> None:
        """Delete the cluster."""
        self._ports.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self.folder / "cluster"

    def _answers(self) -> bool:
        question = (str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p")
        return subprocess.run([*question, str(self.port)], check=False).returncode == 0

    def _popen(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        owner = self._owner
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [str(self._programs / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
                start_new_session=True,
                user=owner.pw_uid if owner else None,
                group=owner.pw_gid if owner else None,
                extra_groups=[] if owner else None,
            )

    def _failed(self, message: str) -> StepFailed:
        tail = tail_of(self.log.read_text(errors="replace"))
        return StepFailed(message, log=self.log, tail=tail)


def _unprivileged() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise Refusal("PostgreSQL does not run as root, and there is no user postgres or nobody.")
