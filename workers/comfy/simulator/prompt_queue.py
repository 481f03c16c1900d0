"""The queue of prompts, and the history that they end in."""

import heapq
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from workers.comfy.simulator.graph import Graph

HISTORY_LIMIT = 10_000  # ComfyUI's MAXIMUM_HISTORY_SIZE


@dataclass(frozen=True, slots=True, order=True)
class QueuedPrompt:
    """An accepted prompt. Ordered by its number."""

    number: float
    arrival: int
    prompt_id: str = field(compare=False)
    graph: Graph = field(compare=False)
    extra_data: dict[str, Any] = field(compare=False)
    outputs: tuple[str, ...] = field(compare=False)

    def as_list(self) -> list[Any]:
        """The five-element form of /queue and /history."""
        return [self.number, self.prompt_id, self.graph, self.extra_data, list(self.outputs)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the execution of a prompt came to."""

    outputs: dict[str, Any]
    meta: dict[str, Any]
    is_success: bool
    messages: list[tuple[str, dict[str, Any]]]


@dataclass(slots=True)
class FreeRequest:
    """What POST /free asked for and the execution thread has still to do."""

    unload_models: bool = False
    free_memory: bool = False


class PromptQueue:
    """Pending, running and finished prompts. Thread-safe; `on_change` runs at every change."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._pending: list[QueuedPrompt] = []
        self._running: QueuedPrompt | None = None
        self._history: dict[str, dict[str, Any]] = {}
        self._free = FreeRequest()
        self._is_closed = False
        self._numbers = 0
        self._arrivals = 0

    def close(self) -> None:
        """Let `get` return None from now on."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def take_number(self) -> int:
        """Give out a number. Refused prompts use one up as well."""
        with self._lock:
            self._numbers += 1
            return self._numbers - 1

    def put(
        self,
        prompt_id: str,
        graph: Graph,
        extra_data: dict[str, Any],
        outputs: tuple[str, ...],
        *,
        number: float,
    ) -> None:
        """Queue a prompt. The same id may be queued twice, and runs twice."""
        with self._changed:
            self._arrivals += 1
            extra_data["create_time"] = int(time.time() * 1000)
            prompt = QueuedPrompt(number, self._arrivals, prompt_id, graph, extra_data, outputs)
            heapq.heappush(self._pending, prompt)
            self._on_change()
            self._changed.notify()

    def get(self) -> QueuedPrompt | FreeRequest | None:
        """Wait for the next prompt, or for a request to free memory while there is none.

        None means that the queue was closed.
        """
        with self._changed:
            while not self._pending or self._is_closed:
                if self._is_closed:
                    return None
                if self._free.unload_models or self._free.free_memory:
                    return self.take_free_request()
                self._changed.wait()
            self._running = heapq.heappop(self._pending)
            self._on_change()
            return self._running

    def finish(self, prompt: QueuedPrompt, outcome: Outcome) -> None:
        """Write the running prompt's history entry; an earlier one of the same id is lost."""
        with self._lock:
            self._running = None
            while len(self._history) >= HISTORY_LIMIT:
                self._history.pop(next(iter(self._history)))
            self._history.pop(prompt.prompt_id, None)
            self._history[prompt.prompt_id] = {
                "prompt": prompt.as_list(),
                "outputs": outcome.outputs,
                "status": {
                    "status_str": "success" if outcome.is_success else "error",
                    "completed": outcome.is_success,
                    "messages": [list(message) for message in outcome.messages],
                },
                "meta": outcome.meta,
            }
            self._on_change()

    def remaining(self) -> int:
        """Count what is pending or running."""
        with self._lock:
            return len(self._pending) + (self._running is not None)

    def running(self) -> list[QueuedPrompt]:
        """List the running prompt, if there is one."""
        with self._lock:
            return [self._running] if self._running is not None else []

    def pending(self) -> list[QueuedPrompt]:
        """List the pending prompts in the order in which they will run."""
        with self._lock:
            return sorted(self._pending)

    def delete(self, prompt_id: str) -> bool:
        """Take a pending prompt out; False when it is not pending."""
        with self._lock:
            for prompt in self._pending:
                if prompt.prompt_id == prompt_id:
                    self._pending.remove(prompt)
                    heapq.heapify(self._pending)
                    if not self._pending:
                        self._on_change()  # ComfyUI empties the queue, then reports it once more
                    self._on_change()
                    return True
            return False

    def clear(self) -> None:
        """Take out everything that is pending."""
        with self._lock:
            self._pending.clear()
            self._on_change()

    def history(self, prompt_id: str | None = None) -> dict[str, Any]:
        """Return all history entries, or the one of an id; {} when there is none."""
        with self._lock:
            if prompt_id is None:
                return dict(self._history)
            entry = self._history.get(prompt_id)
            return {} if entry is None else {prompt_id: entry}

    def forget(self, prompt_id: str | None = None) -> None:
        """Remove one history entry, or all."""
        with self._lock:
            if prompt_id is None:
                self._history.clear()
            else:
                self._history.pop(prompt_id, None)

    def request_free(self, *, unload_models: bool, free_memory: bool) -> None:
        """Ask the execution thread to free memory after the running prompt."""
        with self._changed:
            self._free.unload_models |= unload_models
            self._free.free_memory |= free_memory
            self._changed.notify()

    def take_free_request(self) -> FreeRequest:
        """Hand over what was asked to be freed, and forget it."""
        with self._lock:
            taken, self._free = self._free, FreeRequest()
            return taken
