"""A PostgreSQL for the time of the tests: its own cluster, on loopback, gone at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scripts.launcher.command import tail_of
from scripts.launcher.ports import free_port
from scripts.launcher.refusal import Refusal, StepFailed
from scripts.launcher.stop_signal import StopSignal

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 10.0
USER = "llamasketch"
# Losing everything in a power cut is fine: the cluster lives for minutes. Speed is not.
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "max_connections": "300",
}


@contextmanager
def postgres(programs: Path, *, stop: StopSignal) -> Iterator[str]:
    """Run a cluster; give the URL of an empty database in it.

    PostgreSQL refuses to run as root: then it runs as the user postgres, or nobody.

    Raises:
        Refusal: there is no user to run it as.
        StepFailed: it did not come up.
    """
    folder = Path(tempfile.mkdtemp(prefix="llamasketch-postgres-"))
    process: subprocess.Popen[bytes] | None = None
    try:
        owner = _unprivileged()
        if owner is not None:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        cluster, log = folder / "cluster", folder / "log"
        _initdb(programs, cluster, owner=owner, log=log)
        port = free_port()
        process = _serve(programs, cluster, port, owner=owner, log=log)
        _wait(programs, port, process, log=log, stop=stop)
        yield f"postgres://{USER}@127.0.0.1:{port}/postgres"
    finally:
        if process is not None:
            _end(process)
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise Refusal("PostgreSQL does not run as root, and there is no user postgres or nobody.")


def _initdb(programs: Path, cluster: Path, *, owner: pwd.struct_passwd | None, log: Path) -> None:
    command = [str(programs / "initdb"), "-D", str(cluster), "-U", USER, "--auth=trust"]
    done = _popen(
        [*command, "--encoding=UTF8", "--no-locale", "--no-sync"], owner=owner, log=log
    ).wait()
    if done != 0:
        raise _failed("PostgreSQL's cluster could not be made.", log)


def _serve(
    programs: Path, cluster: Path, port: int, *, owner: pwd.struct_passwd | None, log: Path
) -> subprocess.Popen[bytes]:
    command = [str(programs / "postgres"), "-D", str(cluster), "-p", str(port), "-k", ""]
    for name, value in _SETTINGS.items():
        command += ["-c", f"{name}={value}"]
    return _popen(command, owner=owner, log=log)


def _popen(
    command: list[str], *, owner: pwd.struct_passwd | None, log: Path
) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,
            user=owner.pw_uid if owner else None,
            group=owner.pw_gid if owner else None,
            extra_groups=[] if owner else None,
        )


def _wait(
    programs: Path, port: int, process: subprocess.Popen[bytes], *, log: Path, stop: StopSignal
) -> None:
    ends_at = time.monotonic() + READY_WITHIN_S
    question = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(question, check=False).returncode != 0:
        if process.poll() is not None or time.monotonic() > ends_at:
            raise _failed("PostgreSQL did not come up.", log)
        stop.pause(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server: SIGINT means at once, but in order; its children follow it."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_WITHIN_S)
            return


def _failed(message: str, log: Path) -> StepFailed:
    return StepFailed(message, log=log, tail=tail_of(log.read_text(errors="replace")))
