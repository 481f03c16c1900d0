"""The checks that a graph passes before it is queued, with ComfyUI's own error bodies."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from workers.comfy.simulator.catalogue import Catalogue, Input, NodeClass
from workers.comfy.simulator.graph import Graph
from workers.comfy.simulator.options import ServerVersion

_LONG_LIST = 20  # ComfyUI leaves longer lists of choices out of its messages


@dataclass(frozen=True, slots=True)
class Validated:
    """The outcome: `error` is None when at least one output can run."""

    error: dict[str, Any] | None
    node_errors: dict[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()


class Validator:
    """Checks graphs against the catalogue and the uploaded files."""

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        file_exists: Callable[[str], bool],
        version: ServerVersion,
    ) -> None:
        self._catalogue = catalogue
        self._file_exists = file_exists
        self._version = version

    def validate(self, graph: Graph) -> Validated:
        """Check a graph. Numbers given as text are converted in place, as ComfyUI does."""
        outputs: list[str] = []
        for node_id, node in graph.items():
            class_type = node.get("class_type") if isinstance(node, dict) else None
            node_class = self._catalogue.find(class_type)
            if node_class is None:
                return Validated(self._unknown_class(node_id, node, class_type))
            if node_class.is_output:
                outputs.append(node_id)
        if not outputs:
            return Validated(_error("prompt_no_outputs", "Prompt has no outputs"))
        return self._validate_outputs(graph, outputs)

    def _validate_outputs(self, graph: Graph, outputs: list[str]) -> Validated:
        good: list[str] = []
        direct: list[str] = []
        node_errors: dict[str, Any] = {}
        validated: dict[str, tuple[bool, list[dict[str, Any]]]] = {}
        for output in outputs:
            is_valid, reasons = self._validate_node(graph, output, validated, ())
            if is_valid:
                good.append(output)
                continue
            direct.extend(f"{reason['message']}: {reason['details']}" for reason in reasons)
            for node_id, (node_is_valid, node_reasons) in validated.items():
                if node_is_valid or not node_reasons:
                    continue
                entry = node_errors.setdefault(
                    node_id,
                    {
                        "errors": node_reasons,
                        "dependent_outputs": [],
                        "class_type": graph[node_id]["class_type"],
                    },
                )
                entry["dependent_outputs"].append(output)
        if good:
            return Validated(None, node_errors, tuple(good))
        error = _error(
            "prompt_outputs_failed_validation",
            "Prompt outputs failed validation",
            "\n".join(direct),
        )
        return Validated(error, node_errors)

    def _validate_node(
        self,
        graph: Graph,
        node_id: str,
        validated: dict[str, tuple[bool, list[dict[str, Any]]]],
        path: tuple[str, ...],
    ) -> tuple[bool, list[dict[str, Any]]]:
        if node_id in validated:
            return validated[node_id]
        node = graph[node_id]
        node_class = self._catalogue.classes[node["class_type"]]
        inputs = node.setdefault("inputs", {})
        errors: list[dict[str, Any]] = []
        is_valid = True
        for item in node_class.inputs:
            if item.name not in inputs:
                if item.required:
                    errors.append(
                        _error(
                            "required_input_missing",
                            "Required input is missing",
                            item.name,
                            {"input_name": item.name},
                        )
                    )
                continue
            value = inputs[item.name]
            if isinstance(value, list):
                error = self._check_link(graph, item, value, (*path, node_id))
                if error is not None:
                    errors.append(error)
                elif not self._validate_node(graph, value[0], validated, (*path, node_id))[0]:
                    is_valid = False
                continue
            error = self._check_value(node_class, item, inputs)
            if error is not None:
                errors.append(error)
        validated[node_id] = (is_valid and not errors, errors)
        return validated[node_id]

    def _check_link(
        self, graph: Graph, item: Input, link: list[Any], path: tuple[str, ...]
    ) -> dict[str, Any] | None:
        info = {"input_name": item.name, "input_config": item.as_reported}
        if len(link) != 2:
            return _error(
                "bad_linked_input",
                "Bad linked input, must be a length-2 list of [node_id, slot_index]",
                item.name,
                {**info, "received_value": link},
            )
        source = self._catalogue.find(graph.get(link[0], {}).get("class_type"))
        if source is None or not isinstance(link[1], int) or link[1] >= len(source.outputs):
            return _error(
                "exception_during_inner_validation",
                "Exception when validating inner node",
                repr(link[0]) if source is None else "tuple index out of range",
                {
                    **info,
                    "exception_message": repr(link[0]),
                    "exception_type": "KeyError" if source is None else "IndexError",
                    "traceback": [],
                    "linked_node": link,
                },
            )
        if link[0] in path:
            return _error(
                "dependency_cycle",
                "Dependency cycle detected",
                f"{item.name}, {' -> '.join((*path, link[0]))}",
                {**info, "linked_node": link},
            )
        received = source.outputs[link[1]]
        if received != item.type and "*" not in {received, item.type}:
            return _error(
                "return_type_mismatch",
                "Return type mismatch between linked nodes",
                f"{item.name}, received_type({received}) mismatch input_type({item.type})",
                {**info, "received_type": received, "linked_node": link},
            )
        return None

    def _check_value(
        self, node_class: NodeClass, item: Input, inputs: dict[str, Any]
    ) -> dict[str, Any] | None:
        value = inputs[item.name]
        info = {"input_name": item.name, "input_config": item.as_reported}
        try:
            value = inputs[item.name] = _convert(item.type, value)
        except (TypeError, ValueError, OverflowError) as error:
            return _error(
                "invalid_input_type",
                f"Failed to convert an input value to a {item.type} value",
                f"{item.name}, {value}, {error}",
                {**info, "received_value": value, "exception_message": str(error)},
            )
        if item.config.get("image_upload") and node_class.name.startswith("LoadImage"):
            if isinstance(value, str) and self._file_exists(value):
                return None
            return _error(
                "custom_validation_failed",
                "Custom validation failed for node",
                f"{item.name} - Invalid image file: {value}",
                {"input_name": item.name},
            )
        if "min" in item.config and value < item.config["min"]:
            return _error(
                "value_smaller_than_min",
                f"Value {value} smaller than min of {item.config['min']}",
                item.name,
                {**info, "received_value": value},
            )
        if "max" in item.config and value > item.config["max"]:
            return _error(
                "value_bigger_than_max",
                f"Value {value} bigger than max of {item.config['max']}",
                item.name,
                {**info, "received_value": value},
            )
        choices = item.choices
        if choices is not None and value not in choices:
            is_long = len(choices) > _LONG_LIST
            listed = f"(list of length {len(choices)})" if is_long else str(choices)
            return _error(
                "value_not_in_list",
                "Value not in list",
                f"{item.name}: {value!r} not in {listed}",
                {
                    "input_name": item.name,
                    "input_config": None if is_long else item.as_reported,
                    "received_value": value,
                },
            )
        return None

    def _unknown_class(self, node_id: str, node: object, class_type: object) -> dict[str, Any]:
        details = f"Node ID '#{node_id}'"
        if self._version is ServerVersion.V0_8:
            message = (
                "Cannot execute because a node is missing the class_type property."
                if class_type is None
                else f"Cannot execute because node {class_type} does not exist."
            )
            return _error("invalid_prompt", message, details)
        meta = node.get("_meta", {}) if isinstance(node, dict) else {}
        title = meta.get("title") or class_type or node_id
        message = (
            f"Node '{title}' has no class_type. The workflow may be corrupted or a custom node "
            "is missing."
            if class_type is None
            else f"Node '{title}' not found. The custom node may not be installed."
        )
        info = {"node_id": node_id, "class_type": class_type, "node_title": title}
        return _error("missing_node_type", message, details, info)


def _convert(kind: object, value: Any) -> Any:
    if kind == "INT":
        return int(value)
    if kind == "FLOAT":
        return float(value)
    if kind == "STRING":
        return str(value)
    if kind == "BOOLEAN":
        return bool(value)
    return value


def _error(
    kind: str, message: str, details: str = "", info: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {"type": kind, "message": message, "details": details, "extra_info": info or {}}
