"""What must be right before anything starts. Each check is one question with one sentence."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from scripts.launcher.places import FRONTEND
from scripts.launcher.refusal import Refusal

DATA_BYTES_MIN = 500 * 10**6  # chosen: a day of images, the database, the logs
INSTALL_BYTES_MIN = (
    1500 * 10**6
)  # measured: .venv and node_modules take 0.8 GB, their caches as much
ANSWER_WITHIN_S = 5.0


def check_node() -> None:
    """See whether Node.js is there and new enough for the front end's tools.

    Raises:
        Refusal: it is missing, older than package.json asks for, or comes without npm.
    """
    least = _node_least()
    wanted = ".".join(map(str, least))
    if shutil.which("node") is None:
        raise Refusal(f"Node.js is missing; install version {wanted} or newer.")
    try:
        answer = subprocess.run(
            ["node", "--version"], capture_output=True, text=True, timeout=20, check=False
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refusal("node --version gives no answer; install Node.js again.") from error
    found = re.fullmatch(r"v(\d+)\.(\d+)\.(\d+).*", answer)
    if found is None or tuple(map(int, found.groups()[:2])) < least:
        raise Refusal(f"Node.js is {answer or 'unknown'}; LlamaSketch needs {wanted} or newer.")
    if shutil.which("npm") is None:
        raise Refusal("npm is missing; install the one that comes with Node.js.")


def check_port(port: int) -> None:
    """See whether the web server can have the port.

    Raises:
        Refusal: something listens there, or it is not ours to take.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the server does it: a port that was left a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Refusal(
                    f"Port {port} is taken; stop what listens there, or give another with --port."
                ) from error
            raise Refusal(
                f"Port {port} cannot be used ({error.strerror}); give another with --port."
            ) from error


def check_data_dir(folder: Path) -> None:
    """Make the data folder and see whether files can be kept in it.

    Raises:
        Refusal: it cannot be made or written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _too_little(folder, 0, DATA_BYTES_MIN) from error
        raise Refusal(
            f"The data folder {folder} cannot be written ({error.strerror}); "
            "give another with --data-dir."
        ) from error


def check_space(
    folder: Path, needed: int, *, free_bytes: Callable[[Path], int] | None = None
) -> None:
    """See whether there is room.

    Raises:
        Refusal: fewer bytes than needed are free where the folder lies.
    """
    free = free_bytes(folder) if free_bytes else shutil.disk_usage(folder).free
    if free < needed:
        raise _too_little(folder, free, needed)


def check_comfyui(addresses: Sequence[str]) -> list[str]:
    """Ask every ComfyUI for its state; return the addresses that gave none.

    One of several may be away: its jobs go to the others.

    Raises:
        Refusal: an address is none, or no ComfyUI answers.
    """
    away: list[str] = []
    problem = ""
    for address in addresses:
        try:
            parts = urlsplit(address)
            is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_good = False
        if not is_good:
            raise Refusal(
                f"{address!r} is no address of a ComfyUI, such as http://127.0.0.1:18188."
            )
        try:
            _ask_comfyui(address)
        except (OSError, ValueError) as error:
            away.append(address)
            problem = problem or _reason(error)
    if addresses and len(away) == len(addresses):
        raise Refusal(
            f"No ComfyUI answers at {', '.join(away)} ({problem}); start it, or leave the address "
            "out to try LlamaSketch with simulated images."
        )
    return away


def check_redis(url: str) -> None:
    """See whether the Redis that the settings name takes connections.

    Raises:
        Refusal: nothing listens there.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname:
        return
    try:
        socket.create_connection((parts.hostname, parts.port or 6379), ANSWER_WITHIN_S).close()
    except OSError as error:
        raise Refusal(
            f"No Redis answers at {parts.hostname}:{parts.port or 6379} ({_reason(error)}); start "
            "it, or unset PENCIL_REDIS_URL to use the one that LlamaSketch brings."
        ) from error


def _node_least() -> tuple[int, int]:
    engines = json.loads((FRONTEND / "package.json").read_text())["engines"]["node"]
    match = re.search(r"(\d+)(?:\.(\d+))?", engines)
    assert match is not None, "package.json names the Node.js that the front end needs"
    return int(match[1]), int(match[2] or 0)


def _ask_comfyui(address: str) -> None:
    url = f"{address.rstrip('/')}/system_stats"
    with urllib.request.urlopen(url, timeout=ANSWER_WITHIN_S) as answer:
        if not isinstance(json.loads(answer.read(10**6)), dict):
            raise ValueError("the answer is not ComfyUI's")


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, ValueError):
        return "what answers is not ComfyUI"
    return (getattr(cause, "strerror", None) or str(cause) or "no answer").lower()


def _too_little(folder: Path, free: int, needed: int) -> Refusal:
    return Refusal(
        f"Only {free // 10**6} MB are free where {folder} lies; LlamaSketch needs "
        f"{needed // 10**6} MB."
    )
