"""The command scripts/bench."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from llamasketch.process import process_tune
from scripts.havoc.cluster import Cluster
from scripts.launcher.progress import Progress
from scripts.launcher.refusal import Interrupted, Refusal, StepFailed
from scripts.launcher.stop_signal import StopSignal
from scripts.measure import page, parts
from scripts.measure.machine import load, machine
from scripts.measure.orders import NotMade
from scripts.measure.report import Part, as_json, missed, table
from scripts.suite.debian import find_postgres


class Name(StrEnum):
    """The parts of a run, in their order."""

    OVERHEAD = "overhead"
    MAKESPAN = "makespan"
    CLAIMS = "claims"
    SUBMISSIONS = "submissions"
    ENCODER = "encoder"
    GPU = "gpu"


_ON_ONE_RIG = {
    Name.OVERHEAD: parts.overhead,
    Name.MAKESPAN: parts.makespan,
    Name.CLAIMS: parts.claims,
    Name.SUBMISSIONS: parts.submissions,  # the last: it leaves a full queue
}
_ON_THEIR_OWN = {Name.ENCODER: parts.encoder, Name.GPU: parts.gpu}


SETTLE_S = 5.0  # chosen: the canary has been made by then, and the imports are over


@dataclass(frozen=True, slots=True)
class Flags:
    """What was asked for."""

    size: parts.Size
    only: tuple[Name, ...]
    comfyui_url: str | None
    json: Path | None
    writes_docs: bool


def bench(arguments: Sequence[str]) -> int:
    """Measure, show the table, and return the exit status: 0 whatever the numbers are."""
    flags = flags_from(arguments)
    process_tune()  # or the clients would wait for each other's threads
    stop = StopSignal().listen()
    try:
        return _run(flags, stop)
    except StepFailed as failure:
        print(f"{failure.tail}\n\n✗ {failure}", file=sys.stderr)
        return 2
    except (Refusal, NotMade) as refusal:
        print(f"✗ {refusal}", file=sys.stderr)
        return 2
    except Interrupted:
        print("Stopped.")
        return 130


def flags_from(arguments: Sequence[str]) -> Flags:
    """Read the flags; ends the process where one makes no sense."""
    parser = argparse.ArgumentParser(
        prog="./scripts/bench",
        description="Measure how long things take, beside bare clients of the same node. "
        "Exits 0 when it could measure, whatever the numbers are.",
    )
    parser.add_argument("--quick", action="store_true", help="two minutes, with fewer samples")
    parser.add_argument(
        "--only", action="append", default=[], choices=[*Name], metavar="PART",
        help="measure one part, or several: " + ", ".join(Name),
    )  # fmt: skip
    parser.add_argument("--comfyui-url", metavar="URL", help="a real ComfyUI, for the part gpu")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there")
    parser.add_argument(
        "--write-docs", action="store_true", help="write docs/benchmarks.md; needs a whole run"
    )
    read = parser.parse_args(arguments)
    if read.write_docs and (read.quick or read.only):
        parser.error("--write-docs: needs a whole run, so neither --quick nor --only")
    return Flags(
        size=parts.QUICK if read.quick else parts.FULL,
        only=tuple(name for name in Name if not read.only or name in read.only),
        comfyui_url=read.comfyui_url,
        json=read.json,
        writes_docs=read.write_docs,
    )


def _run(flags: Flags, stop: StopSignal) -> int:
    programs = find_postgres()
    if programs is None:
        raise Refusal("There is no PostgreSQL server here; install the package postgresql.")
    where = machine()  # first, so that the load is not our own
    folder = Path(tempfile.mkdtemp(prefix="llamasketch-bench-"))
    cluster = Cluster(programs, is_durable=True)
    try:
        cluster.create()
        cluster.start()
        measured = _measure(
            flags, parts.Bench(cluster, folder, flags.size, stop, flags.comfyui_url)
        )
    finally:
        cluster.stop()
        cluster.remove()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{table(measured)}\n")
    print("  ".join(f"{key}: {value}" for key, value in where.items()))
    print("load: " + ", ".join(f"{p.name} {p.load[0]} → {p.load[1]}" for p in measured))
    for row in missed(measured):
        print(f"✗ over budget: {row.what.strip()}")
    if flags.json is not None:
        flags.json.write_text(json.dumps(as_json(where, measured), indent=1) + "\n")
    if flags.writes_docs:
        page.PATH.write_text(page.page(where, measured), encoding="utf-8")
        print(f"Written: {page.PATH}")
    return 0


def _measure(flags: Flags, bench: parts.Bench) -> list[Part]:
    progress = Progress()
    measured = []

    def take(name: Name, measure: Callable[[], parts.Found]) -> None:
        before = load()
        with progress.step(name, f"measuring: {name}"):
            rows, samples = measure()
        measured.append(Part(name, tuple(rows), samples, (before, load())))

    on_one_rig = [name for name in flags.only if name in _ON_ONE_RIG]
    if on_one_rig:
        with bench.rig() as running:
            bench.stop.pause(SETTLE_S)
            for name in on_one_rig:
                take(name, partial(_ON_ONE_RIG[name], bench, running))
    for name in flags.only:
        if name in _ON_THEIR_OWN:
            take(name, partial(_ON_THEIR_OWN[name], bench))
    return measured
