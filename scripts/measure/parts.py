"""The parts of a run: each measures something on a rig and says it in rows."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from scripts.havoc.cluster import Cluster
from scripts.launcher.services import PYTHON
from scripts.launcher.stop_signal import StopSignal
from scripts.measure.alone import Lane, Timed, alone
from scripts.measure.bare import BareClient
from scripts.measure.caller import Caller
from scripts.measure.claims import claims_measure
from scripts.measure.crowd import crowd
from scripts.measure.figures import (
    foreign_count,
    makespan_ratio,
    makespan_s,
    overhead_ms,
    spread,
    stages_ms,
)
from scripts.measure.gpu import images_per_second
from scripts.measure.naive import NaiveClient
from scripts.measure.orders import Client, Made, orders_of
from scripts.measure.processor import processor_ms, used_ms
from scripts.measure.records import execution_of, has_pack
from scripts.measure.report import Budget, Row
from scripts.measure.rig import Rig, rig
from scripts.measure.submissions import burst

USERS = 8
CROWD = 30
WHEEL = 30  # colours; measured: the painter keeps them apart at the denoise of a crowd's orders
ENCODE_S = 0.1
WARM_UP = 15  # chosen: a few connections in each process, which take turns, have met all statements
IDLE_S = 10.0  # five of beat's most frequent ticks
OURS = ("web", "worker", "beat", "postgres", "valkey")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    alone: int
    naive_every: int
    rounds: int
    encoder_jobs: int
    waiting: tuple[int, int]
    claims: int
    burst_s: float
    gpu_prompts: int


FULL = Size(40, 5, 3, 16, (1_000, 100_000), 60, 10.0, 32)
QUICK = Size(10, 5, 1, 8, (1_000, 10_000), 20, 4.0, 8)

Found = tuple[list[Row], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Bench:
    """What the parts need: where databases and files may be, how much, a real node's address."""

    cluster: Cluster
    folder: Path
    size: Size
    stop: StopSignal
    comfyui_url: str | None

    @contextmanager
    def rig(
        self, *, node_options: tuple[str, ...] = (), comfyui_url: str | None = None
    ) -> Iterator[Rig]:
        """Run a platform over an empty database."""
        with rig(
            self.folder / uuid4().hex,
            database_url=self.database(),
            users=USERS,
            stop=self.stop,
            node_options=node_options,
            comfyui_url=comfyui_url,
        ) as running:
            yield running

    def database(self) -> str:
        """Make an empty database; return its URL."""
        name = f"bench_{uuid4().hex[:12]}"
        with psycopg.connect(self.cluster.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.cluster.url.rpartition("/")[0] + f"/{name}"


def overhead(bench: Bench, running: Rig) -> Found:
    """One job at a time: what each client adds to the node's own time."""
    size = bench.size
    with _open(
        Caller(running.address, running.tokens[0]),
        BareClient(running.other_node),
        NaiveClient(running.other_node),
    ) as (caller, bare, naive):
        lanes = {
            "here": Lane(caller, running.node),
            "bare": Lane(bare, running.other_node),
            "naive": Lane(naive, running.other_node, every=size.naive_every),
        }
        orders = orders_of(WARM_UP + size.alone, wheel=WHEEL)
        pids = {**running.stack.supervisor.pids(), **bench.cluster.pids()}
        idle = processor_ms(pids)
        bench.stop.pause(IDLE_S)
        before, began_at = processor_ms(pids), time.monotonic()
        timed = alone(lanes, orders, warm_up=WARM_UP, pause=lambda: bench.stop.pause(0.01))
        used, took_s = used_ms(before, processor_ms(pids)), time.monotonic() - began_at
    idle_ms_s = {name: ms / IDLE_S for name, ms in used_ms(idle, before).items()}
    a_job = {name: (used[name] - idle_ms_s[name] * took_s) / len(orders) for name in used}
    samples = {
        name: [overhead_ms(one.made, one.execution) for one in timed[name]] for name in lanes
    }
    here, bare_, naive_ = (spread(samples[name]) for name in lanes)
    stages = _stages(timed["here"])
    late = spread(_lateness_ms([one.made for one in timed["here"]]))
    rows = [
        Row("overhead, p50", "ms", here.p50, bare_.p50, naive_.p50, Budget(most=40)),
        Row("overhead, p95", "ms", here.p95, bare_.p95, naive_.p95, Budget(most=80)),
        *(Row(f"  stage: {name}", "ms", median) for name, median in stages.items()),
        *(Row(f"  processor a job: {name}", "ms", a_job[name]) for name in OURS if name in a_job),
        Row("processor without jobs", "ms/s", sum(idle_ms_s.get(name, 0.0) for name in OURS)),
        Row("event to client, p95", "ms", late.p95, budget=Budget(most=100)),
    ]
    return rows, {"overhead_ms": samples, "stages_ms": stages, "processor_a_job_ms": a_job}


def makespan(bench: Bench, running: Rig) -> Found:
    """Thirty jobs of eight users at once, and whose sketches they were made from."""
    ratios: dict[str, list[float]] = {"here": [], "bare": []}
    foreign = {"here": 0, "bare": 0, "naive": 0}
    rounds = bench.size.rounds
    # Three of six steps: the painter keeps a sketch's colour better than with three of four.
    orders = orders_of(CROWD * (rounds + 1), wheel=WHEEL, denoise=0.5, steps=6)
    for number in range(rounds):
        own = orders[number * CROWD : (number + 1) * CROWD]
        with _callers(running) as callers:
            made = crowd(callers, own)
        ratios["here"].append(_ratio(made, running.node))
        foreign["here"] += foreign_count(made, wheel=WHEEL)
        bench.stop.pause(0.01)
        with _open(*(BareClient(running.other_node) for _ in range(USERS))) as clients:
            made = crowd(clients, own)
        ratios["bare"].append(_ratio(made, running.other_node))
        foreign["bare"] += foreign_count(made, wheel=WHEEL)
        bench.stop.pause(0.01)
    with _open(*(NaiveClient(running.other_node) for _ in range(USERS))) as clients:
        made = crowd(clients, orders[-CROWD:])
    foreign["naive"] = foreign_count(made, wheel=WHEEL)
    failed = sum(not one.image for one in made)
    here, bare = (statistics.median(ratios[name]) for name in ("here", "bare"))
    total = CROWD * rounds
    rows = [
        Row(
            f"makespan of {CROWD} ÷ execution", "", here, bare, None,
            Budget(most=round(bare, 2), decimals=2), decimals=4,
        ),
        Row(
            f"foreign sketches of {total} (naive: of {CROWD})", "",
            foreign["here"], foreign["bare"], foreign["naive"], Budget(most=0),
        ),
    ]  # fmt: skip
    return rows, {"makespan_ratios": ratios, "foreign": foreign, "naive_failed": failed}


def encoder(bench: Bench) -> Found:
    """A node that is slow to write its files, with the node pack where there is one."""
    options = ("--encode-seconds", str(ENCODE_S), *(("--pack",) if _simulator_has_pack() else ()))
    orders = orders_of(bench.size.encoder_jobs * bench.size.rounds, wheel=WHEEL)
    seconds: dict[str, list[float]] = {"here": [], "bare": []}
    with bench.rig(node_options=options) as running:
        with_pack = has_pack(running.node)
        for number in range(bench.size.rounds):
            own = orders[number * bench.size.encoder_jobs :][: bench.size.encoder_jobs]
            with _callers(running) as callers:
                seconds["here"].append(makespan_s(crowd(callers, own)) / len(own))
            with _open(*(BareClient(running.other_node) for _ in range(USERS))) as clients:
                seconds["bare"].append(makespan_s(crowd(clients, own)) / len(own))
            bench.stop.pause(0.01)
    here, bare = (statistics.median(seconds[name]) for name in ("here", "bare"))
    node = "node pack" if with_pack else "no node pack there"
    row = Row(f"slow encoder ({node})", "s/image", here, bare)
    if with_pack:
        # Half of what the pack takes off the execution thread: the rest may go to a busy processor.
        row = replace(row, budget=Budget(most=round(bare - ENCODE_S / 2, 3)))
    return [row], {"seconds_per_image": seconds, "has_pack": with_pack}


def claims(bench: Bench, running: Rig) -> Found:
    """What a claim takes with few jobs waiting and with many."""
    environment = {
        **running.stack.environment,
        "PENCIL_DATABASE_URL": bench.database(),
        "PENCIL_DATA_DIR": str(bench.folder / "claims"),
        "DJANGO_SETTINGS_MODULE": "llamasketch.settings",
    }
    samples = claims_measure(environment, bench.size.waiting, times=bench.size.claims)
    rows = []
    for size, took in samples.items():
        found = spread(took)
        rows += [
            Row(f"claim with {size:,} waiting, p50", "ms", found.p50, budget=Budget(most=5)),
            Row(f"claim with {size:,} waiting, p95", "ms", found.p95),
        ]
    return rows, {"claim_ms": samples}


def submissions(bench: Bench, running: Rig) -> Found:
    """What is accepted in a second. Leaves a full queue behind: the last part on its rig."""
    running.stack.kill("worker")  # what is measured is the accepting
    orders = orders_of(300, wheel=WHEEL)
    with _callers(running) as callers:
        found = burst(callers, orders, seconds=bench.size.burst_s)
    took = spread(found.took_ms)
    rows = [
        Row("submissions accepted", "/s", found.per_second, budget=Budget(least=150)),
        Row("submission, p99", "ms", took.p99, budget=Budget(most=100)),
    ]
    return rows, {"per_second": found.per_second, "spread_ms": asdict(took)}


def gpu(bench: Bench) -> Found:
    """Images a second on a real node."""
    budget = Budget(least=10)
    what = "images/s on a GPU, 512², variations"
    url = bench.comfyui_url
    if url is None:
        why = "no GPU; name a ComfyUI with --comfyui-url"
        return [Row(what, "/s", budget=budget, why_not=why)], {}
    prompts = bench.size.gpu_prompts
    with (
        bench.rig(comfyui_url=url) as running,
        _open(Caller(running.address, running.tokens[0])) as (caller,),
    ):
        here = {}
        for side_px in (512, 1024):
            for number, order in enumerate(orders_of(2, wheel=WHEEL)):
                count = 2 if number == 0 else prompts  # the first ones warm it up
                caller.send_all(replace(order, side_px=side_px), count=count)
                made = [caller.take() for _ in range(count)]
            here[side_px] = len(made) / makespan_s(made)
    rows = []
    for side_px in (512, 1024):
        bare = images_per_second(url, side_px=side_px, batch=1, prompts=prompts)
        many = images_per_second(url, side_px=side_px, batch=4, prompts=max(2, prompts // 4))
        name = what if side_px == 512 else what.replace("512", "1024")
        limit = budget if side_px == 512 else None
        rows += [
            Row(name, "/s", here[side_px], bare, budget=limit),
            Row(f"  {side_px}², stock output node, four a prompt", "/s", bare=many),
        ]
    return rows, {"has_pack": has_pack(url)}


@contextmanager
def _open(*clients: Client) -> Iterator[Any]:
    """Give the clients, and close them whatever comes."""
    with ExitStack() as stack:
        for client in clients:
            stack.callback(client.close)
        yield clients


def _callers(running: Rig) -> Any:
    return _open(*(Caller(running.address, token) for token in running.tokens))


def _ratio(made: Sequence[Made], node: str) -> float:
    return makespan_ratio(made, [execution_of(node, one.prompt_id) for one in made])


def _stages(timed: Sequence[Timed]) -> dict[str, float]:
    """The median of each stage."""
    all_stages = [stages_ms(one.made, one.execution) for one in timed]
    return {name: statistics.median(one[name] for one in all_stages) for name in all_stages[0]}


def _lateness_ms(made: Sequence[Made]) -> list[float]:
    """From the moment in the row to the event's arrival; one clock, since all is one machine."""
    return [(one.moments["job.succeeded"] - one.ended_at) * 1000 for one in made]


def _simulator_has_pack() -> bool:
    """Whether the simulator knows how to show the node pack."""
    command = [PYTHON, "-m", "workers.comfy.simulator", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return "--pack" in done.stdout
