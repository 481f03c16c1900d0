"""Faults that the simulator is asked to show."""

import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class FaultKind(StrEnum):
    """What can go wrong, and when it is decided."""

    OUT_OF_MEMORY = "out-of-memory"  # in the sampler: execution_error, models unloaded
    NODE_ERROR = "node-error"  # in the sampler: execution_error of another kind
    BLACK_IMAGE = "black-image"  # in the decoder: success, an all-black PNG
    NAN_IMAGE = "nan-image"  # in the sampler: black previews, success, an all-black PNG
    SLOW = "slow"  # in the sampler: every step takes `factor` times as long
    HANG = "hang"  # in the sampler: the execution thread never returns, HTTP lives on
    CRASH = "crash"  # in the sampler, after its first step: the process is gone
    REFUSE = "refuse"  # at POST /prompt: 400
    LOST_PROMPT = "lost-prompt"  # at POST /prompt: 200, and the prompt is forgotten
    NO_ANSWER = "no-answer"  # at POST /prompt: queued, the reply never comes
    LOST_EVENT = "lost-event"  # at the prompt's start: its last events are never sent
    DROPPED_SOCKET = "dropped-socket"  # in the sampler, after its first step: sockets cut
    TRUNCATED_FILE = "truncated-file"  # at GET /view or the pack's file: half of it, with 200
    MISSING_FILE = "missing-file"  # at GET /view or the pack's file: 404
    FAILED_WRITE = "failed-write"  # after LlamaSketchSaveImage: success, the file never comes
    SLOW_FILE = "slow-file"  # at both: the second half comes `factor` / 4 seconds late


class UnknownFault(ValueError):
    """The fault was not written as KIND, KIND:once, KIND:every=N or KIND:count=N."""


@dataclass(slots=True)
class FaultRule:
    """How often one fault strikes. `left` is None for ever."""

    kind: FaultKind
    every: int = 1
    left: int | None = None
    factor: float = 8.0
    occasions: int = 0
    struck: int = 0

    def strikes(self) -> bool:
        """Count one occasion, and say whether the fault strikes at it."""
        if self.left == 0:
            return False
        self.occasions += 1
        if self.occasions % self.every:
            return False
        if self.left is not None:
            self.left -= 1
        self.struck += 1
        return True


def parse_fault(text: str) -> FaultRule:
    """Read `KIND`, `KIND:once`, `KIND:every=N`, `KIND:count=N` or `slow:factor=N`.

    Several are joined with commas: `slow:every=3,factor=5`.
    """
    kind, _, rest = text.partition(":")
    fields: dict[str, Any] = {"kind": kind}
    for part in filter(None, rest.split(",")):
        name, _, value = part.partition("=")
        fields[name] = value if value else 1
    return fault_from_fields(fields)


def fault_from_fields(fields: dict[str, Any]) -> FaultRule:
    """Build a rule from {"kind", "once", "every", "count", "factor"}."""
    allowed = ", ".join(FaultKind)
    try:
        kind = FaultKind(str(fields.get("kind", "")))
    except ValueError:
        raise UnknownFault(f"{fields.get('kind')!r} is not a fault: use {allowed}.") from None
    extra = set(fields) - {"kind", "once", "every", "count", "factor"}
    if extra:
        raise UnknownFault(f"{kind} takes once, every=N, count=N or factor=N, not {min(extra)}.")
    try:
        every = int(fields.get("every", 1))
        left = int(fields["count"]) if fields.get("count") is not None else None
        factor = float(fields.get("factor", 8.0))
    except (TypeError, ValueError):
        raise UnknownFault(f"{kind}: every, count and factor take a number.") from None
    if every < 1 or (left is not None and left < 0) or factor <= 0:
        raise UnknownFault(f"{kind}: every and factor are above 0, count is 0 or more.")
    return FaultRule(kind, every, 1 if fields.get("once") else left, factor)


class Faults:
    """The rules in force. Thread-safe: the event loop and the execution thread both ask."""

    def __init__(self, rules: list[FaultRule] | None = None) -> None:
        self._lock = threading.Lock()
        self._rules = {rule.kind: rule for rule in rules or []}

    def set(self, rule: FaultRule) -> None:
        """Put a rule in force, in place of the kind's earlier one."""
        with self._lock:
            self._rules[rule.kind] = rule

    def clear(self) -> None:
        """End all faults. A thread that hangs already keeps hanging."""
        with self._lock:
            self._rules.clear()

    def strikes(self, kind: FaultKind) -> FaultRule | None:
        """Count an occasion for a fault; return its rule when it strikes now."""
        with self._lock:
            rule = self._rules.get(kind)
            return rule if rule is not None and rule.strikes() else None

    def snapshot(self) -> list[dict[str, Any]]:
        """Describe the rules."""
        with self._lock:
            return [
                {
                    "kind": rule.kind.value,
                    "every": rule.every,
                    "left": rule.left,
                    "occasions": rule.occasions,
                    "struck": rule.struck,
                }
                for rule in self._rules.values()
            ]
