"""A whole LlamaSketch on free ports, as scripts/start runs it, each process mortal."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import requests

from scripts.launcher import services, valkey
from scripts.launcher.places import ROOT
from scripts.launcher.ports import HeldPorts
from scripts.launcher.services import PYTHON, Ready
from scripts.launcher.stop_signal import StopSignal
from scripts.launcher.supervisor import Service, Supervisor
from scripts.launcher.waiting import WorkerPing, wait_until_ready
from tests.process.api import Api

STEP_S = 0.05
NODE = "simulator"  # the only one, or the first of several: simulator-2 and so on


class Stack:
    """Valkey, simulators as nodes, the web server, a worker and beat, over one data directory."""

    def __init__(
        self,
        folder: Path,
        *,
        database_url: str | None = None,
        nodes: int = 1,
        step_s: float = STEP_S,
        settings: Mapping[str, str] | None = None,
        simulator_options: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder
        self._ports = HeldPorts()
        self.port, self._valkey_port = self._ports.take(), self._ports.take()
        names = (NODE, *(f"{NODE}-{number}" for number in range(2, nodes + 1)))
        self._node_ports = {name: self._ports.take() for name in names}
        self._worker_name = f"worker-{self.port}@llamasketch"
        kept = {name: text for name, text in os.environ.items() if not name.startswith("PENCIL_")}
        self.environment = {
            **kept,
            "PENCIL_ENVIRONMENT": "local",
            "PENCIL_PORT": str(self.port),
            "PENCIL_DATA_DIR": str(folder),
            "PENCIL_REDIS_URL": f"redis://127.0.0.1:{self._valkey_port}/0",
            "PENCIL_COMFYUI_URL": ",".join(self.node_url(name) for name in names),
            "PENCIL_COMFYUI_SIMULATED": "true",
            "PYTHONUNBUFFERED": "1",
            **({"PENCIL_DATABASE_URL": database_url} if database_url else {}),
            **(settings or {}),
        }
        self.supervisor = Supervisor(self.environment, logs=folder / "logs")
        self.stop_signal = StopSignal()
        self._tokens: dict[str, str] = {}
        server = valkey.find_server()
        self._ready: dict[str, Ready] = {
            ready.service.name: ready
            for ready in (
                services.valkey_service(server, port=self._valkey_port, data_dir=folder),
                *(
                    services.simulator_service(
                        port=port,
                        data_dir=folder,
                        step_s=step_s,
                        name=name,
                        options=simulator_options,
                    )
                    for name, port in self._node_ports.items()
                ),
                services.web_service(port=self.port),
                services.beat_service(data_dir=folder),
            )
        }

    def __enter__(self) -> Stack:
        try:
            self.manage("migrate", "--no-input", "-v", "0")
            for ready in self._ready.values():
                self.supervisor.start(ready.service)
            self.supervisor.start(self._worker)
            with self._ping() as ping:
                questions = {name: ready.answers for name, ready in self._ready.items()}
                questions |= {"worker": ping.answers, "beat": ping.beat_answers}
                self._wait(questions)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def wait_for_death(self, name: str) -> None:
        """Wait until a process has ended by itself."""
        for _ in range(600):
            dead = self.supervisor.dead()
            if dead is not None and dead[0] == name:
                return
            self.stop_signal.pause(0.05)
        raise AssertionError(f"{name} did not die")

    @property
    def address(self) -> str:
        """The web server's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def simulator(self) -> str:
        """The first simulator's address."""
        return self.node_url(NODE)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of the simulators."""
        return tuple(self._node_ports)

    def node_url(self, node: str) -> str:
        """A simulator's address."""
        return f"http://127.0.0.1:{self._node_ports[node]}"

    def kill(self, name: str) -> None:
        """Kill a process as a power cut would."""
        self.supervisor.kill(name)

    def freeze(self, name: str) -> None:
        """Stop a process where it is; its connections stay open, and nobody answers on them."""
        os.killpg(self.supervisor.pids()[name], signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a frozen process go on."""
        os.killpg(self.supervisor.pids()[name], signal.SIGCONT)

    def start_again(self, name: str) -> None:
        """Start a killed process and wait until it answers."""
        if name == "worker":
            self.supervisor.start(self._worker)
            with self._ping() as ping:
                self._wait({name: ping.answers})
            return
        ready = self._ready[name]
        self.supervisor.start(ready.service)
        self._wait({name: ready.answers})

    def start_beside(self, ready: Ready, settings: Mapping[str, str]) -> Supervisor:
        """Start one more process with other settings; the caller stops what is returned."""
        other = Supervisor({**self.environment, **settings}, logs=self.folder / "logs")
        other.start(ready.service)
        try:
            wait_until_ready({ready.service.name: ready.answers}, other, self.stop_signal)
        except BaseException:
            other.stop()
            raise
        return other

    def manage(self, *command: str) -> str:
        """Run one of Django's commands; return what it printed."""
        done = subprocess.run(
            [PYTHON, "manage.py", *command],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"manage.py {command[0]} failed:\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def user(self, name: str) -> Api:
        """A user's way in, with a token from the command line; made at the first call."""
        if name not in self._tokens:
            output = self.manage("token_create", f"{name}@example.com", "--create")
            self._tokens[name] = output.splitlines()[-1].strip()
        return Api(self.address, self._tokens[name])

    def users(self, *names: str) -> list[Api]:
        """Several users at once."""
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(self.user, names))

    def operator(self) -> Api:
        """Somebody of the staff."""
        api = self.user("operator")
        change = "User.objects.filter(email='operator@example.com').update(is_staff=True)"
        self.manage("shell", "-v", "0", "-c", f"from usage.models import User; {change}")
        return api

    def fault(self, kind: str, *, node: str = NODE, **fields: object) -> None:
        """Put a fault of a simulator in force."""
        body = {"kind": kind, **fields}
        answer = requests.post(f"{self.node_url(node)}/simulator/fault", json=body, timeout=5)
        assert answer.status_code == 200, answer.text

    def end_faults(self) -> None:
        """End all faults."""
        for node in self.nodes:
            answer = requests.delete(f"{self.node_url(node)}/simulator/fault", timeout=5)
            answer.raise_for_status()

    def readmit_nodes(self) -> None:
        """Have every node that is not healthy prove itself now rather than when it is due."""
        code = (
            "from generation.models import Node; from workers.canary import node_canary; "
            "from workers.health import nodes_probe; "
            "Node.objects.exclude(health='healthy').update(health='unknown'); "
            "[node_canary(node_id) for node_id in nodes_probe()]; "
            "assert not Node.objects.exclude(health='healthy').exists()"
        )
        self.manage("shell", "-v", "0", "-c", code)

    def simulator_state(self, node: str = NODE) -> dict[str, Any]:
        """What a simulator has run and runs."""
        answer = requests.get(f"{self.node_url(node)}/simulator/state", timeout=5)
        state: dict[str, Any] = answer.json()
        return state

    def held(self, node: str) -> set[str]:
        """The prompts that a node works on or has waiting, as its own queue says."""
        queue = requests.get(f"{self.node_url(node)}/queue", timeout=5).json()
        return {entry[1] for part in ("queue_running", "queue_pending") for entry in queue[part]}

    def _stop(self) -> None:
        self.supervisor.stop()
        self._ports.release()

    @property
    def _worker(self) -> Service:
        return services.worker_service(concurrency=8, worker_name=self._worker_name)

    def _ping(self) -> WorkerPing:
        return WorkerPing(
            redis_url=self.environment["PENCIL_REDIS_URL"], worker_name=self._worker_name
        )

    def _wait(self, questions: Mapping[str, Callable[[], bool]]) -> None:
        wait_until_ready(questions, self.supervisor, self.stop_signal)
