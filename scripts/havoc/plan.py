"""The plan of the faults: which, where, when and for how long, decided by the seed alone."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

NODES = ("node-1", "node-2", "node-3")
# The first node is reached directly: what refuses a connection looks different from what is silent.
CUTTABLE_NODES = NODES[1:]
WORKERS = ("worker-1", "worker-2")
BROKER_WAYS = ("workers-to-valkey", "web-to-valkey")

FIRST_AT_S = 3.0
GAP_S = (3.0, 6.0)  # chosen: several faults overlap, and a job meets about two
# A short run packs them closer, so that a minute still plays every kind; never closer than
# this part of the usual gap, or all nodes were gone all the time and nothing would be made.
GAP_PART_MIN = 0.5
GAPS_SHARE = 0.85  # of the span; what is left is for faults that wait for their target


class Kind(StrEnum):
    """What is done to the system."""

    WORKER_KILL = "worker-kill"
    WEB_KILL = "web-kill"
    BEAT_KILL = "beat-kill"
    VALKEY_KILL = "valkey-kill"
    NODE_KILL = "node-kill"
    POSTGRES_KILL = "postgres-kill"
    NODE_FREEZE = "node-freeze"
    NODE_CUT = "node-cut"  # half open: no byte passes, no connection closes
    VALKEY_CUT = "valkey-cut"
    DISK_FULL = "disk-full"
    MESSAGES_DOUBLED = "messages-doubled"
    MESSAGES_DROPPED = "messages-dropped"
    ADOPT_DOUBLED = "adopt-doubled"
    BLACK_IMAGES = "black-images"
    NODE_CRASH = "node-crash"
    NODE_HANG = "node-hang"
    TRUNCATED_FILE = "truncated-file"
    LOST_PROMPT = "lost-prompt"
    LOST_EVENT = "lost-event"
    DROPPED_SOCKET = "dropped-socket"
    NO_ANSWER = "no-answer"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Where a fault may strike, and the shortest and longest time in seconds that it lasts."""

    targets: tuple[str, ...]
    lasts_s: tuple[float, float]


RECIPES = {
    Kind.WORKER_KILL: Recipe(WORKERS, (0.5, 8.0)),
    Kind.WEB_KILL: Recipe(("web",), (0.5, 4.0)),
    Kind.BEAT_KILL: Recipe(("beat",), (0.5, 8.0)),
    Kind.VALKEY_KILL: Recipe(("valkey",), (0.5, 6.0)),
    Kind.NODE_KILL: Recipe(NODES, (1.0, 10.0)),
    Kind.POSTGRES_KILL: Recipe(("postgres",), (0.5, 5.0)),
    Kind.NODE_FREEZE: Recipe(NODES, (3.0, 20.0)),
    Kind.NODE_CUT: Recipe(CUTTABLE_NODES, (3.0, 20.0)),
    Kind.VALKEY_CUT: Recipe(BROKER_WAYS, (3.0, 12.0)),
    Kind.DISK_FULL: Recipe(("disk",), (3.0, 8.0)),
    Kind.MESSAGES_DOUBLED: Recipe(("messages",), (2.0, 4.0)),
    Kind.MESSAGES_DROPPED: Recipe(("messages",), (2.0, 6.0)),
    Kind.ADOPT_DOUBLED: Recipe(("messages",), (1.0, 2.0)),
    Kind.BLACK_IMAGES: Recipe(NODES, (4.0, 10.0)),
    Kind.NODE_CRASH: Recipe(NODES, (4.0, 10.0)),
    Kind.NODE_HANG: Recipe(NODES, (8.0, 15.0)),
    Kind.TRUNCATED_FILE: Recipe(NODES, (4.0, 10.0)),
    Kind.LOST_PROMPT: Recipe(NODES, (2.0, 5.0)),
    Kind.LOST_EVENT: Recipe(NODES, (4.0, 10.0)),
    Kind.DROPPED_SOCKET: Recipe(NODES, (3.0, 8.0)),
    Kind.NO_ANSWER: Recipe(NODES, (3.0, 8.0)),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; times in seconds since the load began.

    `forgets` says of a cut that its connections do not live on: what was under way is gone.
    """

    kind: Kind
    target: str
    begins_s: float
    ends_s: float
    forgets: bool = False


def faults_plan(seed: int, *, span_s: float, kinds: Collection[Kind]) -> tuple[Fault, ...]:
    """Plan faults until `span_s`: every kind once before any comes again, in random order.

    A target has one fault at a time; a kind whose targets are all busy waits for the first of them.
    """
    rng = random.Random(f"faults {seed}")
    free_at: dict[str, float] = {}
    deck: list[Kind] = []
    plan: list[Fault] = []
    at_s = FIRST_AT_S
    part = _gap_part(span_s, kinds=len(kinds))
    while kinds and at_s < span_s:
        if not deck:
            deck = sorted(kinds)
            rng.shuffle(deck)
        kind = deck.pop()
        recipe = RECIPES[kind]
        free = [target for target in recipe.targets if free_at.get(target, 0.0) <= at_s]
        target = rng.choice(free or [min(recipe.targets, key=lambda name: free_at[name])])
        begins_s = max(at_s, free_at.get(target, 0.0))
        ends_s = begins_s + rng.uniform(*recipe.lasts_s)
        forgets = rng.random() < 0.5
        if begins_s < span_s:
            plan.append(Fault(kind, target, round(begins_s, 2), round(ends_s, 2), forgets))
            # A process that has just come back gets a moment before the next fault.
            free_at[target] = ends_s + 2.0
        at_s += rng.uniform(*GAP_S) * part
    return tuple(sorted(plan, key=lambda fault: fault.begins_s))


def _gap_part(span_s: float, *, kinds: int) -> float:
    """What part of the usual gap lets every kind be played once within the span; 1 if all does."""
    needed_s = max(1, kinds) * sum(GAP_S) / 2
    return min(1.0, max(GAP_PART_MIN, GAPS_SHARE * (span_s - FIRST_AT_S) / needed_s))
