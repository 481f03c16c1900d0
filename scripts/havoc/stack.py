"""The processes: three nodes, a web server, two workers and beat, each of them mortal."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import requests

from scripts.havoc.accounts import accounts_make
from scripts.havoc.plan import BROKER_WAYS, CUTTABLE_NODES, NODES, WORKERS
from scripts.havoc.proxy import Proxy
from scripts.launcher import services, valkey
from scripts.launcher.places import ROOT
from scripts.launcher.ports import HeldPorts
from scripts.launcher.refusal import StepFailed
from scripts.launcher.run_dir import born_at
from scripts.launcher.services import PYTHON, Ready
from scripts.launcher.stop_signal import StopSignal
from scripts.launcher.supervisor import Service, Supervisor
from scripts.launcher.waiting import WorkerPing, wait_until_ready

STEP_S = 0.3  # chosen: with the usual load the nodes are busy most of the time
CONCURRENCY = 6  # each of two workers could drive all three nodes alone
SETTINGS = {
    "PENCIL_STALL_TIMEOUT_S": "4",
    "PENCIL_RUN_TIMEOUT_S": "20",
    "PENCIL_QUEUE_TIMEOUT_S": "120",
    "PENCIL_DAILY_LIMIT": "100000",
}


class Stack:
    """Everything but the database, which has a life of its own."""

    def __init__(self, folder: Path, *, database_url: str) -> None:
        self.folder = folder
        self._ports = HeldPorts()
        self.port, self.valkey_port = self._ports.take(), self._ports.take()
        self.node_ports = {name: self._ports.take() for name in NODES}
        self.proxy = Proxy()
        self._supervisor = Supervisor(self._environment(database_url), logs=folder / "logs")
        ways = {name: self.proxy.add(name, self.valkey_port) for name in BROKER_WAYS}
        self._redis_urls = {name: f"redis://127.0.0.1:{port}/0" for name, port in ways.items()}
        self._ready = {ready.service.name: ready for ready in self._servers()}
        self._workers = {name: self._worker(name) for name in WORKERS}

    @property
    def address(self) -> str:
        """The web server's address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, stop: StopSignal) -> None:
        """Start everything and wait until it answers.

        Raises:
            StepFailed: a process did not come up.
        """
        self.manage("migrate", "--no-input", "-v", "0")
        for name in (*self._ready, *self._workers):
            self.start_again(name)
        questions: dict[str, Callable[[], bool]] = {
            name: ready.answers for name, ready in self._ready.items()
        }
        with ExitStack() as pings:
            for name in WORKERS:
                ping = pings.enter_context(
                    WorkerPing(redis_url=self._direct_url, worker_name=self._celery_name(name))
                )
                questions[name] = ping.answers
            wait_until_ready(questions, self._supervisor, stop)

    def accounts(self, users: int) -> list[tuple[int, str]]:
        """Make users; return the id and a token of each."""
        return accounts_make(self.manage, users)

    def kill(self, name: str) -> None:
        """Kill a process, if it runs."""
        if name in self._supervisor.pids():
            self._supervisor.kill(name)

    def start_again(self, name: str) -> None:
        """Start a process unless it runs."""
        if name not in self._supervisor.pids():
            ready = self._ready.get(name)
            self._supervisor.start(ready.service if ready else self._workers[name])

    def freeze(self, name: str) -> None:
        """Stop a process where it is; its connections stay."""
        os.killpg(self._supervisor.pids()[name], signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a process go on."""
        os.killpg(self._supervisor.pids()[name], signal.SIGCONT)

    def dead(self) -> list[str]:
        """The processes that have ended by themselves."""
        return [name for name, pid in self._supervisor.pids().items() if born_at(pid) is None]

    def answers(self, name: str) -> bool:
        """Whether a server answers."""
        return self._ready[name].answers()

    def fault(self, node: str, kind: str) -> None:
        """Put a fault of the simulator in force."""
        body: dict[str, object] = {"kind": kind}
        requests.post(self._control(node, "fault"), json=body, timeout=5).raise_for_status()

    def end_faults(self, node: str) -> None:
        """End all faults of a simulator."""
        requests.delete(self._control(node, "fault"), timeout=5).raise_for_status()

    def node_state(self, node: str) -> dict[str, object]:
        """What a simulator has run since its start, and runs."""
        state: dict[str, object] = requests.get(self._control(node, "state"), timeout=5).json()
        return state

    def stop(self) -> None:
        """End everything."""
        for name, pid in self._supervisor.pids().items():
            if born_at(pid) is not None and name in NODES:
                self.thaw(name)
        self._supervisor.stop()
        self.proxy.close()
        self._ports.release()

    def manage(self, *command: str) -> str:
        """Run one of Django's commands; return what it printed.

        Raises:
            StepFailed: it failed.
        """
        done = subprocess.run(
            [PYTHON, "manage.py", *command],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode != 0:
            tail = (done.stdout + done.stderr)[-3000:]
            raise StepFailed(f"manage.py {command[0]} failed.", log=self.folder, tail=tail)
        return done.stdout

    def _environment(self, database_url: str) -> dict[str, str]:
        lines = {name: self.proxy.add(name, self.node_ports[name]) for name in CUTTABLE_NODES}
        node_ports = {**self.node_ports, **lines}
        kept = {name: text for name, text in os.environ.items() if not name.startswith("PENCIL_")}
        self.environment = {
            **kept,
            **SETTINGS,
            "PENCIL_ENVIRONMENT": "local",
            "PENCIL_SECRET_KEY": secrets.token_urlsafe(48),
            "PENCIL_PORT": str(self.port),
            "PENCIL_DATA_DIR": str(self.folder),
            "PENCIL_DATABASE_URL": database_url,
            "PENCIL_REDIS_URL": self._direct_url,
            "PENCIL_COMFYUI_URL": ",".join(f"http://127.0.0.1:{node_ports[n]}" for n in NODES),
            "PENCIL_COMFYUI_SIMULATED": "true",
            "PYTHONUNBUFFERED": "1",
        }
        return self.environment

    @property
    def _direct_url(self) -> str:
        return f"redis://127.0.0.1:{self.valkey_port}/0"

    def _servers(self) -> list[Ready]:
        server = valkey.find_server()
        nodes = [
            services.simulator_service(port=port, data_dir=self.folder, step_s=STEP_S, name=name)
            for name, port in self.node_ports.items()
        ]
        users = [services.web_service(port=self.port), services.beat_service(data_dir=self.folder)]
        return [
            services.valkey_service(server, port=self.valkey_port, data_dir=self.folder),
            *nodes,
            *(replace(ready, service=self._by(ready.service, "web-to-valkey")) for ready in users),
        ]

    def _worker(self, name: str) -> Service:
        service = services.worker_service(
            concurrency=CONCURRENCY, worker_name=self._celery_name(name)
        )
        return self._by(replace(service, name=name), "workers-to-valkey")

    def _by(self, service: Service, way: str) -> Service:
        """The service, reaching Valkey by a way that can be cut."""
        setting = f"PENCIL_REDIS_URL={self._redis_urls[way]}"
        return replace(service, command=("env", setting, *service.command))

    def _celery_name(self, name: str) -> str:
        return f"{name}-{self.port}@llamasketch"

    def _control(self, node: str, what: str) -> str:
        return f"http://127.0.0.1:{self.node_ports[node]}/simulator/{what}"
