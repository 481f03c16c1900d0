"""How far each node of the running prompt is, in the shape of progress_state."""

from typing import Any


class ProgressBoard:
    """The nodes that have started, in the order in which they did.

    Counts start as floats and become whole numbers with the first step: so do ComfyUI's.
    """

    def __init__(self, prompt_id: str) -> None:
        self._prompt_id = prompt_id
        self._nodes: dict[str, dict[str, Any]] = {}

    def start(self, node_id: str) -> dict[str, Any]:
        """Mark a node as running; return the message."""
        self._nodes[node_id] = self._entry(node_id, 0.0, 1.0, "running")
        return self._message()

    def update(self, node_id: str, value: int, maximum: int) -> dict[str, Any]:
        """Set a running node's count; return the message."""
        self._nodes[node_id] = self._entry(node_id, value, maximum, "running")
        return self._message()

    def finish(self, node_id: str) -> dict[str, Any]:
        """Mark a node as finished, started or not; return the message."""
        entry = self._nodes.setdefault(node_id, self._entry(node_id, 1, 1, "running"))
        self._nodes[node_id] = {**entry, "value": entry["max"], "state": "finished"}
        return self._message()

    def _entry(self, node_id: str, value: float, maximum: float, state: str) -> dict[str, Any]:
        return {
            "value": value,
            "max": maximum,
            "state": state,
            "node_id": node_id,
            "prompt_id": self._prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }

    def _message(self) -> dict[str, Any]:
        return {"prompt_id": self._prompt_id, "nodes": dict(self._nodes)}
