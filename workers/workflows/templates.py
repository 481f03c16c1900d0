"""The templates that graphs are put together from.

`templates/NAME.vN.json` is either a whole graph, in the form that `POST /prompt` takes, or a part
that changes one:
    nodes    what it adds and changes, as a JSON Merge Patch (RFC 7396): null takes an input away
    inserts  links to put nodes into: the input `takes` gets what `into` had, and `into` gets the
             output that the part `gives`
$name stands for a value of the order, and may stand within a text. Another shape is another
version, beside the one before, so that what made an image stays known.
"""

import json
import string
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

Graph = dict[str, dict[str, Any]]

OUTPUT = "save"  # the node that every graph ends in


def graph_compose(names: Iterable[str]) -> Graph:
    """Read a graph's template, then apply parts to it; its values are still to be filled in.

    A part that may occur more than once says {n} in its names: its number, from 1.
    """
    first, *parts = names
    graph: Graph = json.loads(_text(first))
    for index, name in enumerate(parts):
        _apply(graph, _text(name).replace("{n}", str(parts[:index].count(name) + 1)))
    return graph


def graph_fill(graph: Graph, values: Mapping[str, object]) -> Graph:
    """Put an order's values into their places. What is put in is not looked at again."""
    return {
        node_id: {
            **node,
            "inputs": {name: _filled(value, values) for name, value in node["inputs"].items()},
        }
        for node_id, node in graph.items()
    }


def graph_bypass(graph: Graph, node_id: str, *, takes: str) -> Graph:
    """Leave a node out, linking what it took to whoever took from it.

    What no output needs any more is left out as well.
    """
    taken = graph[node_id]["inputs"][takes]
    linked = {
        other_id: {
            **node,
            "inputs": {
                name: taken if value == [node_id, 0] else value
                for name, value in node["inputs"].items()
            },
        }
        for other_id, node in graph.items()
    }
    needed = _ancestors(linked, OUTPUT)
    return {other_id: node for other_id, node in linked.items() if other_id in needed}


def _apply(graph: Graph, text: str) -> None:
    part = json.loads(text)
    for node_id, changes in part["nodes"].items():
        graph[node_id] = _merged(graph.get(node_id, {}), changes)
    for insert in part.get("inserts", ()):
        (into, into_input), (taker, taker_input) = insert["into"], insert["takes"]
        graph[taker]["inputs"][taker_input] = graph[into]["inputs"][into_input]
        graph[into]["inputs"][into_input] = insert["gives"]


def _merged(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    result = dict(target)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            result[name] = _merged(target.get(name, {}), value)
        else:
            result[name] = value
    return result


def _filled(value: object, values: Mapping[str, object]) -> object:
    if not isinstance(value, str) or "$" not in value:
        return value
    if value.startswith("$"):
        return values[value.removeprefix("$")]
    return string.Template(value).substitute(values)


def _ancestors(graph: Graph, node_id: str) -> set[str]:
    found: set[str] = set()
    waiting = [node_id]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            inputs = graph[current]["inputs"].values()
            waiting += [value[0] for value in inputs if isinstance(value, list)]
    return found


@cache
def _text(name: str) -> str:
    path = Path(__file__).with_name("templates") / f"{name}.json"
    return path.read_text(encoding="utf-8")
