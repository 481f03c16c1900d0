"""The results of nodes that need not run again."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workers.comfy.simulator.graph import Graph, is_link


@dataclass(frozen=True, slots=True)
class CachedResult:
    """What a node gave: its outputs, and what it showed the user (the files it wrote)."""

    outputs: tuple[object, ...]
    ui: dict[str, Any] | None = None


class NodeCache:
    """Results by signature: a node's class, its values, and the signatures of what it is fed.

    The recordings show when results are dropped: a prompt that fails in its first node leaves
    those of the prompt before it in place, one that gets a node done does not. So the results
    that the running prompt has no use for go when its first node has completed.
    """

    def __init__(self) -> None:
        self._results: dict[str, CachedResult] = {}
        self._signatures: dict[str, str] = {}

    def begin(self, graph: Graph, fingerprint: Callable[[str], str]) -> None:
        """Look at a graph. `fingerprint` tells what a node reads besides its inputs."""
        self._signatures = {}
        for node_id in graph:
            self._sign(graph, node_id, fingerprint)

    def get(self, node_id: str) -> CachedResult | None:
        """Return a node's result from this or an earlier prompt, None when it has to run."""
        return self._results.get(self._signatures[node_id])

    def put(self, node_id: str, result: CachedResult) -> None:
        """Keep a node's result, and drop those of other prompts."""
        wanted = set(self._signatures.values())
        self._results = {key: kept for key, kept in self._results.items() if key in wanted}
        self._results[self._signatures[node_id]] = result

    def clear(self) -> None:
        """Drop everything."""
        self._results.clear()

    def _sign(self, graph: Graph, node_id: str, fingerprint: Callable[[str], str]) -> str:
        known = self._signatures.get(node_id)
        if known is not None:
            return known
        # Until it is known: nodes that no output needs may form a cycle, or name what is not there.
        self._signatures[node_id] = "unfinished"
        node = graph[node_id]
        inputs = {
            name: ["link", self._sign(graph, value[0], fingerprint), value[1]]
            if is_link(value) and value[0] in graph
            else ["value", value]
            for name, value in sorted(node.get("inputs", {}).items())
        }
        text = json.dumps([node["class_type"], fingerprint(node_id), inputs], sort_keys=True)
        signature = self._signatures[node_id] = hashlib.sha256(text.encode()).hexdigest()
        return signature
