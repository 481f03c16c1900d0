"""The processes of LlamaSketch: what each is called, how it is run, and when it answers."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripts.launcher import valkey
from scripts.launcher.places import VENV_PYTHON
from scripts.launcher.supervisor import Service

PYTHON = str(VENV_PYTHON)
# Every step of the simulator takes this long: about what one of a real model does on a small GPU.
SIMULATED_STEP_S = 0.2
BEAT_TASK = "generation.wake_waiting"  # what beat sends most often: every two seconds


@dataclass(frozen=True, slots=True)
class Ready:
    """A service with the question whether it answers."""

    service: Service
    answers: Callable[[], bool]


def valkey_service(server: str, *, port: int, data_dir: Path) -> Ready:
    """Redis: messages between the processes."""
    folder = data_dir / "valkey"
    folder.mkdir(parents=True, exist_ok=True)
    command = valkey.server_command(server, port=port, folder=folder)
    return Ready(Service("valkey", command, is_server=True), lambda: valkey.answers(port))


def simulator_service(
    *,
    port: int,
    data_dir: Path,
    step_s: float = SIMULATED_STEP_S,
    name: str = "simulator",
    options: tuple[str, ...] = (),
) -> Ready:
    """ComfyUI without a GPU."""
    command = _python(
        "-m",
        "workers.comfy.simulator",
        *("--port", str(port)),
        *("--data-dir", str(data_dir / name)),
        *("--step-seconds", str(step_s)),
        "--pack",
        *options,
    )
    return Ready(Service(name, command, is_server=True), lambda: _gets(port, "/system_stats"))


def web_service(*, port: int, name: str = "web") -> Ready:
    """HTTP and WebSockets. Without a log of requests: it would keep the callers' addresses."""
    command = _python(
        *(
            "-m",
            "daphne",
            "-v",
            "0",
            "-b",
            "127.0.0.1",
            "-p",
            str(port),
            "llamasketch.asgi:application",
        )
    )
    # The second address asks the database too.
    return Ready(
        Service(name, command), lambda: _gets(port, "/healthz") and _gets(port, "/api/config")
    )


def worker_service(*, concurrency: int, worker_name: str) -> Service:
    """The Celery worker: each job waits in a thread while ComfyUI works.

    Whether it answers is `celery_probe.py`'s question.
    """
    command = _python(
        *("-m", "celery", "-A", "llamasketch", "worker"),
        *("-Q", "generation,maintenance", "-P", "threads", "-c", str(concurrency)),
        *("-n", worker_name, "-l", "INFO", "--without-gossip", "--without-mingle"),
    )
    return Service("worker", command)


def beat_service(*, data_dir: Path) -> Ready:
    """The clock: it wakes what waits.

    It listens nowhere and cannot be asked; `WorkerPing.beat_answers` sees what it sends arrive.
    """
    command = _python(
        *("-m", "celery", "-A", "llamasketch", "beat"),
        *("-s", str(data_dir / "celerybeat-schedule"), "--pidfile=", "-l", "INFO"),
    )
    return Ready(Service("beat", command), lambda: True)


def _python(*arguments: str) -> tuple[str, ...]:
    return (PYTHON, *arguments)


def _gets(port: int, path: str) -> bool:
    # Not urllib: it would ask a proxy for our own address, where one is set.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
