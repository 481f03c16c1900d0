"""The order in which the nodes of a graph run."""

from collections.abc import Callable
from typing import Any, TypeAlias

Graph: TypeAlias = dict[str, Any]
"""A workflow in API form: node id → {"class_type", "inputs"}."""


def is_link(value: object) -> bool:
    """Say whether an input's value is a link: [node id, output slot]."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int | float)
    )


class ExecutionList:
    """The nodes still to run for some outputs, least surprising first.

    ComfyUI's own rules: nodes are discovered depth first from the outputs, cached ones are left
    out, and of those that can run, an output is taken first, then what leads to an output in one
    or two links, then whatever was discovered first. The recorded orders depend on all of it.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        is_cached: Callable[[str], bool],
        is_output: Callable[[str], bool],
    ) -> None:
        self._graph = graph
        self._is_cached = is_cached
        self._is_output = is_output
        self._blocked_by: dict[str, set[str]] = {}
        self._blocking: dict[str, dict[str, None]] = {}

    def add(self, node_id: str) -> None:
        """Add an output and everything it needs."""
        stack = [node_id]
        links: list[tuple[str, str]] = []
        while stack:
            current = stack.pop()
            if current in self._blocked_by:
                continue
            self._blocked_by[current] = set()
            self._blocking[current] = {}
            for value in self._graph[current]["inputs"].values():
                if is_link(value) and not self._is_cached(value[0]):
                    stack.append(value[0])
                    links.append((value[0], current))
        for source, target in links:
            self._blocked_by[target].add(source)
            self._blocking[source][target] = None

    def next(self) -> str | None:
        """Name the node to run now, None when all are done."""
        ready = [node for node, blockers in self._blocked_by.items() if not blockers]
        for node in ready:
            if self._is_output(node):
                return node
        for node in ready:
            if any(self._is_output(target) for target in self._blocking[node]):
                return node
        for node in ready:
            for target in self._blocking[node]:
                if any(self._is_output(last) for last in self._blocking[target]):
                    return node
        return ready[0] if ready else None

    def complete(self, node_id: str) -> None:
        """Take a node that has run off the list."""
        del self._blocked_by[node_id]
        for target in self._blocking.pop(node_id):
            self._blocked_by[target].discard(node_id)
