"""A real simulator as a node, and attempts that end quickly."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import requests

from generation.models import Node, NodeHealth
from generation.scheduling import Claim
from workers.adoption import attempt_adopt
from workers.attempt import attempt_run
from workers.canary import abilities_ask
from workers.chores import chores_do
from workers.clients import client_for, clients_close

ROOT = Path(__file__).resolve().parents[2]


def attempt(claim: Claim) -> None:
    """Make claimed jobs' images, with all that is left to do afterwards."""
    chores_do(attempt_run(claim))


def adopt(job_id: UUID) -> bool:
    """Take up a job whose worker has died; whether there was one to take up."""
    chores = attempt_adopt(job_id)
    chores_do(chores or ())
    return chores is not None


class Simulator:
    """A simulator process on a port of its own."""

    def __init__(self, *arguments: str) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="llamasketch-simulator-")
        command = [sys.executable, "-m", "workers.comfy.simulator", "--port", "0"]
        command += ["--data-dir", self.folder.name, *arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[-1]

    def state(self) -> dict[str, Any]:
        """What it has run, by its own count."""
        answer = requests.get(f"{self.url}/simulator/state", timeout=5)
        state: dict[str, Any] = answer.json()
        return state

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.folder.cleanup()


@pytest.fixture(scope="session")
def well() -> Iterator[Simulator]:
    """A simulator without faults, shared."""
    simulator = Simulator("--step-seconds", "0.02")
    yield simulator
    simulator.stop()


@pytest.fixture
def simulated() -> Iterator[Callable[..., Simulator]]:
    """Make simulators with options; they end with the test."""
    started: list[Simulator] = []

    def start(*options: str, step_s: float = 0.02) -> Simulator:
        started.append(Simulator("--step-seconds", str(step_s), *options))
        return started[-1]

    yield start
    for simulator in started:
        simulator.stop()


@pytest.fixture
def faulty(simulated: Callable[..., Simulator]) -> Callable[..., Simulator]:
    """Make simulators with faults; they end with the test."""

    def start(*faults: str, step_s: float = 0.02) -> Simulator:
        options = [part for fault in faults for part in ("--fault", fault)]
        return simulated(*options, step_s=step_s)

    return start


@pytest.fixture(autouse=True)
def _fresh_clients() -> Iterator[None]:
    """Close what the test's attempts opened."""
    yield
    clients_close()


@pytest.fixture
def impatient(settings: Any) -> None:
    """Notice a prompt that does not move after a moment."""
    settings.PENCIL = dataclasses.replace(settings.PENCIL, stall_timeout_s=1.0, run_timeout_s=4.0)


def node_for(simulator: Simulator, name: str = "one") -> Node:
    """The row of a simulator whose canary was good."""
    abilities = abilities_ask(client_for(simulator.url))
    return Node.objects.create(
        name=name,
        url=simulator.url,
        health=NodeHealth.HEALTHY,
        workflows=abilities.offers(),
        abilities=abilities.as_json(),
    )
