"""A server's refusal of a graph, read as an error.

A refusal is `{"error": {type, message, details, extra_info}, "node_errors": {node_id:
{class_type, errors}}}`. What matters is whether another server might take the graph (it lacks a
model or a node class), whether the sketch is gone from this one (upload again), or whether the
graph is wrong everywhere.
"""

import re

from workers.comfy.errors import BadReply, NodeProblem, Refused
from workers.comfy.json_object import JsonObject

# Inputs that choose from a list of the server's own code, not of its files.
_NOT_FILES = frozenset({"sampler_name", "scheduler_name"})
# 0.8 refuses an unknown class as invalid_prompt, with this sentence; later ones as
# missing_node_type.
_UNKNOWN_CLASS = re.compile(r"because node (.+) does not exist")


def refusal_from_body(body: bytes, *, status: int) -> Refused:
    """Read the body of a 400; a body of another shape is a plain refusal."""
    try:
        reply = JsonObject.parse(body, where="refusal")
        return refusal_from_reply(reply, status=status)
    except BadReply:
        return Refused(f"The server refused the graph (HTTP {status}).", status=status)


def refusal_from_reply(reply: JsonObject, *, status: int) -> Refused:
    """Read a refusal, or the `node_errors` of an answer that accepted only part of the graph."""
    error = JsonObject(
        reply.raw("error") if isinstance(reply.raw("error"), dict) else {}, where="error"
    )
    error_type = error.text("type", "")
    problems, missing_model, missing_input = _node_problems(reply.child("node_errors"))
    missing_class = _missing_class(error, error_type)
    if missing_class is not None:
        reason, message = "missing_node_class", f"The server has no node class {missing_class!r}."
        missing_model = missing_input = None
    elif missing_model is not None:
        reason, message = "missing_model", f"The server has no model {missing_model!r}."
        missing_input = None
    elif missing_input is not None:
        reason, message = "missing_input", f"The server has no input file {missing_input!r}."
    elif problems:
        first = problems[0]
        reason = "bad_value"
        message = f"{first.class_type}.{first.input_name or '?'}: {first.message}."
    elif error_type == "prompt_no_outputs":
        reason, message = "no_outputs", "The graph has no output node."
    else:
        reason, message = "refused", error.text("message", "") or "The server refused the graph."
    return Refused(
        message,
        reason=reason,
        status=status,
        error_type=error_type,
        node_errors=problems,
        missing_model=missing_model,
        missing_node_class=missing_class,
        missing_input=missing_input,
    )


def _node_problems(
    node_errors: JsonObject,
) -> tuple[tuple[NodeProblem, ...], str | None, str | None]:
    problems: list[NodeProblem] = []
    models: list[str] = []
    inputs: list[str] = []
    for node_id, node in node_errors.children():
        for entry in node.items("errors"):
            error = JsonObject(entry, where="node_errors")
            info = error.child("extra_info")
            problem = NodeProblem(
                node_id=node_id,
                class_type=node.text("class_type", ""),
                type=error.text("type", ""),
                input_name=info.optional_text("input_name"),
                message=error.text("message", ""),
            )
            problems.append(problem)
            received = info.raw("received_value")
            if _is_missing_model(problem):
                models.append(str(received))
            elif _is_missing_input(problem):
                inputs.append(
                    str(received) if received is not None else _file_in(error.text("details", ""))
                )
    return tuple(problems), next(iter(models), None), next(iter(inputs), None)


def _missing_class(error: JsonObject, error_type: str) -> str | None:
    if error_type == "missing_node_type":
        return error.child("extra_info").text("class_type", "?")
    if error_type == "invalid_prompt":
        match = _UNKNOWN_CLASS.search(error.text("message", ""))
        return match[1] if match else None
    return None


def _is_missing_model(problem: NodeProblem) -> bool:
    name = problem.input_name or ""
    return problem.type == "value_not_in_list" and name.endswith("_name") and name not in _NOT_FILES


def _is_missing_input(problem: NodeProblem) -> bool:
    if not problem.class_type.startswith("LoadImage") or problem.input_name != "image":
        return False
    return problem.type in ("custom_validation_failed", "value_not_in_list")


def _file_in(details: str) -> str:
    """Return the file from `image - Invalid image file: llamasketch/sketch.png`."""
    return details.rpartition(": ")[2] or "?"
