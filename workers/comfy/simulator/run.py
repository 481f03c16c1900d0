"""The execution of one prompt, node by node."""

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workers.comfy.simulator.bench import Bench, Interrupted, Models, OutOfMemory, Stopped
from workers.comfy.simulator.cache import CachedResult, NodeCache
from workers.comfy.simulator.catalogue import Catalogue
from workers.comfy.simulator.faults import Faults
from workers.comfy.simulator.folders import Folders
from workers.comfy.simulator.graph import ExecutionList, is_link
from workers.comfy.simulator.nodes import run_node
from workers.comfy.simulator.options import Options
from workers.comfy.simulator.progress import ProgressBoard
from workers.comfy.simulator.prompt_queue import Outcome, QueuedPrompt
from workers.comfy.simulator.sockets import JsonMessage, PreviewMessage, Sockets

_OOM_TIPS = (
    "This error means you ran out of memory on your GPU.\n\nTIPS: If the workflow worked before "
    "you might have accidentally set the batch_size to a large number."
)
_LAST_EVENTS = {"executed", "execution_success"}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all prompts of one server share."""

    options: Options
    folders: Folders
    faults: Faults
    catalogue: Catalogue
    sockets: Sockets
    cache: NodeCache
    models: Models
    drop_sockets: Callable[[], None]


class PromptRun:
    """One execution of one prompt."""

    def __init__(
        self,
        prompt: QueuedPrompt,
        surroundings: Surroundings,
        *,
        interrupt: threading.Event,
        stopping: threading.Event,
        is_silent: bool,
    ) -> None:
        self._prompt = prompt
        self._graph = prompt.graph
        self._around = surroundings
        self._client_id: str | None = prompt.extra_data.get("client_id")
        self._is_silent = is_silent
        self._cache = surroundings.cache
        self._sockets = surroundings.sockets
        self._progress = ProgressBoard(prompt.prompt_id)
        self._messages: list[tuple[str, dict[str, Any]]] = []
        self._outputs: dict[str, Any] = {}
        self._executed: list[str] = []
        self._inputs: dict[str, Any] = {}
        self._bench = Bench(
            options=surroundings.options,
            folders=surroundings.folders,
            faults=surroundings.faults,
            models=surroundings.models,
            graph=prompt.graph,
            extra_data=prompt.extra_data,
            interrupt=interrupt,
            stopping=stopping,
            drop_sockets=surroundings.drop_sockets,
            report=self._report,
        )
        self.running_node: tuple[str, str] | None = None
        """The client and the node to name to a client that joins again."""

    @property
    def nodes_run(self) -> int:
        """How many nodes were not taken from the cache."""
        return len(self._executed)

    def execute(self) -> Outcome:
        """Run what is not cached, in order; tell the client along the way."""
        self._note("execution_start", {})
        self._cache.begin(self._graph, self._bench.fingerprint)
        cached = [node_id for node_id in self._graph if self._cache.get(node_id) is not None]
        self._note("execution_cached", {"nodes": cached})
        todo = ExecutionList(
            self._graph,
            is_cached=lambda node_id: self._cache.get(node_id) is not None,
            is_output=self._is_output,
        )
        for node_id in self._prompt.outputs:
            todo.add(node_id)
        while (ready := todo.next()) is not None:
            if not self._run_node(ready):
                return self._outcome(is_success=False)
            todo.complete(ready)
        self._note("execution_success", {})
        return self._outcome(is_success=True)

    def _run_node(self, node_id: str) -> bool:
        cached = self._cache.get(node_id)
        if cached is not None:
            self._send_executed(node_id, cached)
            self._send("progress_state", self._progress.finish(node_id))
            return True
        self._send("progress_state", self._progress.start(node_id))
        if self._client_id is not None:
            self.running_node = (self._client_id, node_id)
            where = {"node": node_id, "display_node": node_id}
            self._send("executing", {**where, "prompt_id": self._prompt.prompt_id})
        node = self._graph[node_id]
        self._bench.node_id = node_id
        self._inputs = {}
        try:
            self._bench.check_interrupt()
            self._inputs = self._resolve(node["inputs"])
            node_class = self._around.catalogue.classes[node["class_type"]]
            result = run_node(node_class, self._bench, self._inputs)
        except Stopped:
            raise
        except Interrupted:
            self._note("execution_interrupted", self._where(node_id), is_broadcast=True)
            return False
        except Exception as error:  # noqa: BLE001 - a node may fail in any way; it is reported
            self._note("execution_error", self._describe(node_id, error))
            if isinstance(error, OutOfMemory):
                self._around.models.are_loaded = False
            return False
        self._cache.put(node_id, result)
        self._executed.append(node_id)
        if result.ui is not None:
            self._send_executed(node_id, result)
        self._send("progress_state", self._progress.finish(node_id))
        return True

    def _resolve(self, inputs: dict[str, Any]) -> dict[str, Any]:
        resolved: dict[str, Any] = {}
        for name, value in inputs.items():
            if not is_link(value):
                resolved[name] = value
                continue
            source = self._cache.get(value[0])
            if source is None:
                raise RuntimeError(f"node {value[0]} has not run")
            resolved[name] = source.outputs[value[1]]
        return resolved

    def _report(self, node_id: str, value: int, maximum: int, jpeg: bytes | None) -> None:
        self._send("progress_state", self._progress.update(node_id, value, maximum))
        has_metadata = self._sockets.supports_preview_metadata(self._client_id)
        if jpeg is not None and has_metadata:
            metadata = {
                "node_id": node_id,
                "prompt_id": self._prompt.prompt_id,
                "display_node_id": node_id,
                "parent_node_id": None,
                "real_node_id": node_id,
                "image_type": "image/jpeg",
            }
            self._sockets.post(PreviewMessage(jpeg, metadata), self._client_id)
        counts = {"value": value, "max": maximum}
        self._send("progress", {**counts, "prompt_id": self._prompt.prompt_id, "node": node_id})
        if jpeg is not None and not has_metadata:
            self._sockets.post(PreviewMessage(jpeg), self._client_id)

    def _send(self, kind: str, data: dict[str, Any]) -> None:
        if not (self._is_silent and kind in _LAST_EVENTS):
            self._sockets.post(JsonMessage(kind, data), self._client_id)

    def _send_executed(self, node_id: str, result: CachedResult) -> None:
        if result.ui is not None:
            self._outputs[node_id] = result.ui
        if self._client_id is not None:
            where = {"node": node_id, "display_node": node_id, "output": result.ui}
            self._send("executed", {**where, "prompt_id": self._prompt.prompt_id})

    def _note(self, kind: str, data: dict[str, Any], *, is_broadcast: bool = False) -> None:
        """Send one of the messages that the history keeps."""
        ids = {"prompt_id": self._prompt.prompt_id}
        body = {**data, **ids} if kind == "execution_cached" else {**ids, **data}
        body["timestamp"] = int(time.time() * 1000)
        self._messages.append((kind, body))
        if self._client_id is not None or is_broadcast:
            self._send(kind, body)

    def _where(self, node_id: str) -> dict[str, Any]:
        return {
            "node_id": node_id,
            "node_type": self._graph[node_id]["class_type"],
            "executed": list(self._executed),
        }

    def _describe(self, node_id: str, error: Exception) -> dict[str, Any]:
        tips = _OOM_TIPS if isinstance(error, OutOfMemory) else ""
        return {
            **self._where(node_id),
            "exception_message": f"{error}\n{tips}",
            "exception_type": _type_name(error),
            "traceback": traceback.format_tb(error.__traceback__),
            "current_inputs": {
                name: [value if isinstance(value, str | int | float) else str(value)[:200]]
                for name, value in self._inputs.items()
            },
            "current_outputs": list(self._graph),
        }

    def _is_output(self, node_id: str) -> bool:
        node_class = self._around.catalogue.find(self._graph[node_id]["class_type"])
        return node_class is not None and node_class.is_output

    def _outcome(self, *, is_success: bool) -> Outcome:
        meta = {
            node_id: {
                "node_id": node_id,
                "display_node": node_id,
                "parent_node": None,
                "real_node_id": node_id,
            }
            for node_id in self._outputs
        }
        return Outcome(self._outputs, meta, is_success, self._messages)


def _type_name(error: Exception) -> str:
    if isinstance(error, OutOfMemory):
        return "torch.OutOfMemoryError"
    kind = type(error)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
