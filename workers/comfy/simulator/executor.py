"""The execution thread: one prompt at a time, as ComfyUI has it."""

import threading
from collections import Counter
from typing import Any

from workers.comfy.simulator.bench import Stopped
from workers.comfy.simulator.faults import FaultKind
from workers.comfy.simulator.prompt_queue import FreeRequest, PromptQueue, QueuedPrompt
from workers.comfy.simulator.run import PromptRun, Surroundings
from workers.comfy.simulator.sockets import JsonMessage


class Executor:
    """Takes prompts from the queue for ever. Its public methods may be called by any thread."""

    def __init__(self, queue: PromptQueue, surroundings: Surroundings) -> None:
        self._queue = queue
        self._around = surroundings
        self._interrupt = threading.Event()
        self._stopping = threading.Event()
        self._executions: Counter[str] = Counter()
        self._nodes_run = 0
        self._run: PromptRun | None = None
        # A daemon, since a thread that hangs must not keep the process.
        self._thread = threading.Thread(target=self._work, name="execution", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, *, timeout_s: float) -> None:
        """End waiting nodes and give the thread a moment."""
        self._stopping.set()
        self._queue.close()
        self._thread.join(timeout_s)

    def interrupt(self) -> None:
        """Interrupt what runs now. A prompt that starts later is not touched."""
        self._interrupt.set()

    def running_node(self) -> tuple[str, str] | None:
        """Name the client and the node of what runs now."""
        run = self._run
        return run.running_node if run is not None else None

    def state(self) -> dict[str, Any]:
        """Count what was executed, by prompt id."""
        executions = dict(self._executions)
        return {
            "executed": sum(executions.values()),
            "nodes_run": self._nodes_run,
            "prompts": executions,
            "models_loaded": self._around.models.are_loaded,
        }

    def _work(self) -> None:
        try:
            while (taken := self._queue.get()) is not None:
                if isinstance(taken, QueuedPrompt):
                    self._execute(taken)
                    taken = self._queue.take_free_request()
                self._free(taken)
        except Stopped:
            return

    def _execute(self, prompt: QueuedPrompt) -> None:
        self._executions[prompt.prompt_id] += 1
        # A cancel that arrives in the moment of the start is lost here, as it is in ComfyUI.
        self._interrupt.clear()
        is_silent = self._around.faults.strikes(FaultKind.LOST_EVENT) is not None
        self._run = PromptRun(
            prompt,
            self._around,
            interrupt=self._interrupt,
            stopping=self._stopping,
            is_silent=is_silent,
        )
        outcome = self._run.execute()
        self._nodes_run += self._run.nodes_run
        self._run = None
        self._queue.finish(prompt, outcome)
        client_id = prompt.extra_data.get("client_id")
        if client_id is not None and not is_silent:
            message = JsonMessage("executing", {"node": None, "prompt_id": prompt.prompt_id})
            self._around.sockets.post(message, client_id)

    def _free(self, request: FreeRequest) -> None:
        if request.unload_models or request.free_memory:
            self._around.models.are_loaded = False
        if request.free_memory:
            self._around.cache.clear()
