"""The page docs/benchmarks.md, written from a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scripts.launcher.places import ROOT
from scripts.measure.report import Part, markdown

PATH = ROOT / "docs" / "benchmarks.md"

_HEAD = """# Benchmarks

Written by `./scripts/bench --write-docs`; do not edit by hand. `./scripts/bench --quick` takes two
minutes and measures less.

"""

_BUSY = (
    "**The machine was busy with other work: all times are too long, and a budget that is not\n"
    "kept says little.** What the processor was used for is true all the same.\n\n"
)

_FOOT = """
## What the columns are

- **here**: a user of LlamaSketch with a token, an open event socket and an open HTTP connection.
  Everything between is real: daphne, PostgreSQL that waits for its disk, Celery over Valkey, files
  and their folders synchronised to disk.
- **bare client**: a program of our own that talks to a node itself, as well as that can be done:
  it uploads, submits, listens on the node's socket and fetches. It keeps, checks and limits
  nothing.
- **naive client**: a program that asks the node's history each second and uploads every sketch
  under one name, as simple web interfaces to ComfyUI do. How late it is depends on how a job's
  length falls between two looks.

All work for the same orders on nodes of the same kind, in turn within one run. The node is the
simulator where no GPU is named: a step takes 0.2 s, three of four run. What the node's own record
gives as its execution time is nobody's overhead and is taken off.

## What the rows are

- **overhead**: from the moment before the request to the last byte of the image in the client, one
  job at a time, less the node's execution time. The first fifteen after the start are not counted:
  each connection plans a statement when it first meets it.
- **stage**: where the platform's overhead is spent, medians. They are told by the arrival of its
  events and by the node's record.
- **processor**: what each process used of the processor for one job, one at a time, less what it
  uses without any; and that, of all processes, for a second. A busy machine makes times longer,
  and this hardly.
- **event to client**: from the `finished_at` of the job's row to the arrival of its event.
- **makespan**: 30 jobs of 8 users at once, from the first request to the last image, over the sum
  of their execution times on the one node; median of the rounds. What is over 1 is the way of the
  first to the node and of the last to its user. The budget, the bare client's, counts two decimals.
- **foreign sketches**: of 30 images at once, each from a sketch of another colour, those that have
  the colour of somebody else's.
- **slow encoder**: a node that takes 0.1 s to write a PNG, jobs sent at once, seconds an image. The
  stock output node writes on the execution thread; the node pack's has threads of its own.
- **claim**: one call of `job_claim` with its commit, by how many jobs wait.
- **submissions**: accepted requests a second, each with a sketch of its own; the clients that send
  them share the processor.

The load under the table is the number of processes that wanted to run, before and after each part.
"""


def page(machine: dict[str, Any], parts: Sequence[Part]) -> str:
    """The whole page."""
    where = (
        f"Measured on {machine['day']} at {machine['commit'] or 'an unknown commit'}: "
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"{machine['system']}, Python {machine['python']}, GPU: {machine['gpu']}; "
        f"load before the start {machine['load']}.\n\n"
    )
    if machine["load"] > machine["cores"] / 2:
        where += _BUSY
    loads = ", ".join(f"{part.name} {part.load[0]} → {part.load[1]}" for part in parts)
    return f"{_HEAD}{where}{markdown(parts)}\n\nLoad: {loads}.\n{_FOOT}"
