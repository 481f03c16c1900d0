"""A server's record of a prompt, read as a verdict.

`/api/jobs/{id}` is the record of choice. Servers without that route have the same facts in
`/history/{id}` and `/queue`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from workers.comfy.errors import BadReply
from workers.comfy.json_object import JsonObject
from workers.comfy.protocol import OutputFile, parse_files

_MESSAGE_CHARS = 200  # chosen: a line in a log
# The node pack's class, and how its messages about a latent begin; see deploy/comfyui.
_CHECK_CLASS, _BAD_LATENT = "LlamaSketchCheckLatent", "LlamaSketch: the latent is "


class PromptStatus(StrEnum):
    """Where a prompt stands, as its server tells it."""

    UNKNOWN = "unknown"  # never received, deleted while pending, evicted, or lost in a restart
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether it stays like this. UNKNOWN is not: a request may still be on its way."""
        return self in (PromptStatus.COMPLETED, PromptStatus.FAILED, PromptStatus.CANCELLED)


class PromptErrorKind(StrEnum):
    """Why a prompt did not complete, as far as it decides what to do next."""

    OUT_OF_MEMORY = "out_of_memory"
    UNREADABLE_INPUT = "unreadable_input"  # the node that loads the sketch could not read it
    BLANK = "blank"  # the node pack found no picture in what was sampled, before it was decoded
    NODE_ERROR = "node_error"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class PromptError:
    """Why a prompt ended early. `message` is one short line from the server, never a traceback.

    It may name paths on the GPU machine: for logs and operators, not for users.
    """

    kind: PromptErrorKind
    message: str
    node_id: str
    node_type: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a prompt.

    `files` are those of type output, and only of a completed prompt. `execution_s` is the time
    from the execution thread's start on the prompt to its end, by the server's clock.
    """

    status: PromptStatus
    files: tuple[OutputFile, ...] = ()
    error: PromptError | None = None
    execution_s: float | None = None


@dataclass(frozen=True, slots=True)
class QueueState:
    """The prompt ids in a server's queue, in its order."""

    running: tuple[str, ...]
    pending: tuple[str, ...]


class SaveStatus(StrEnum):
    """Where a file stands that the node pack has promised."""

    WAITING = "waiting"
    WRITTEN = "written"
    FAILED = "failed"  # it never comes


@dataclass(frozen=True, slots=True)
class SaveState:
    """What became of a promised file. `error` says why it failed, for logs and operators."""

    state: SaveStatus
    error: str = ""


_STATUSES = {
    "pending": PromptStatus.PENDING,
    "in_progress": PromptStatus.RUNNING,
    "completed": PromptStatus.COMPLETED,
    "failed": PromptStatus.FAILED,
    "cancelled": PromptStatus.CANCELLED,
}


def verdict_from_job(record: JsonObject) -> Verdict:
    """Read a `/api/jobs/{id}` record."""
    word = record.text("status")
    if word not in _STATUSES:
        raise BadReply(f"job: unknown status {word[:40]!r}.")
    status = _STATUSES[word]
    if not status.is_terminal:
        return Verdict(status)
    messages = _messages(record.child("execution_status"))
    error = record.child("execution_error") or messages.get("execution_error")
    return _ended(status, record.child("outputs"), messages, error)


def verdict_from_history(entry: JsonObject) -> Verdict:
    """Read an entry of `/history/{id}`: it exists only once the prompt has ended."""
    status = entry.child("status")
    messages = _messages(status)
    failed = status.text("status_str", "success") == "error"
    word = PromptStatus.FAILED if failed else PromptStatus.COMPLETED
    return _ended(word, entry.child("outputs"), messages, messages.get("execution_error"))


def queue_from_reply(reply: JsonObject) -> QueueState:
    """Read `/queue`; each item is `[number, prompt_id, graph, extra_data, outputs]`."""
    return QueueState(_prompt_ids(reply, "queue_running"), _prompt_ids(reply, "queue_pending"))


def saves_from_reply(reply: JsonObject) -> dict[str, SaveState]:
    """Read the node pack's answer about a subfolder: states by file name."""
    return {name: save_state_from_reply(file) for name, file in reply.child("files").children()}


def save_state_from_reply(file: JsonObject) -> SaveState:
    """Read what the node pack says about one file."""
    word = file.text("state")
    try:
        status = SaveStatus(word)
    except ValueError as error:
        raise BadReply(f"saves: unknown state {word[:40]!r}.") from error
    return SaveState(status, file.text("error", "")[:_MESSAGE_CHARS])


def _ended(
    status: PromptStatus,
    outputs: JsonObject,
    messages: dict[str, JsonObject],
    error: JsonObject | None,
) -> Verdict:
    interrupted = messages.get("execution_interrupted")
    if status is PromptStatus.FAILED and interrupted is not None and not error:
        # Older servers have no word for cancelled.
        status = PromptStatus.CANCELLED
    execution_s = _execution_s(messages)
    if status is PromptStatus.COMPLETED:
        files = tuple(
            file
            for node_id, output in outputs.children()
            for file in parse_files(output, node_id=node_id)
            if file.type == "output"
        )
        return Verdict(status, files=files, execution_s=execution_s)
    if status is PromptStatus.CANCELLED:
        node = interrupted or JsonObject({}, where="interrupted")
        reason = PromptError(
            PromptErrorKind.INTERRUPTED,
            "The prompt was interrupted.",
            node.text("node_id", ""),
            node.text("node_type", ""),
        )
        return Verdict(status, error=reason, execution_s=execution_s)
    return Verdict(status, error=_prompt_error(error), execution_s=execution_s)


def _prompt_error(error: JsonObject | None) -> PromptError:
    if not error:
        return PromptError(PromptErrorKind.NODE_ERROR, "The server gave no reason.", "", "")
    exception_type = error.text("exception_type", "")
    message = error.text("exception_message", "")
    node_type = error.text("node_type", "")
    said = message.lower()
    if "OutOfMemory" in exception_type or "out of memory" in said or "allocation on device" in said:
        kind = PromptErrorKind.OUT_OF_MEMORY
    elif node_type.startswith("LoadImage"):
        kind = PromptErrorKind.UNREADABLE_INPUT
    elif node_type == _CHECK_CLASS and message.startswith(_BAD_LATENT):
        kind = PromptErrorKind.BLANK
    else:
        kind = PromptErrorKind.NODE_ERROR
    lines = message.strip().splitlines() or [exception_type or "The server gave no reason."]
    return PromptError(kind, lines[0][:_MESSAGE_CHARS], error.text("node_id", ""), node_type)


def _messages(status: JsonObject) -> dict[str, JsonObject]:
    """Return the last message of each type from `[[type, data], …]`."""
    messages = {}
    for entry in status.items("messages"):
        if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str):
            messages[entry[0]] = JsonObject(entry[1], where=entry[0])
    return messages


def _execution_s(messages: dict[str, JsonObject]) -> float | None:
    start = messages.get("execution_start")
    ends = ("execution_success", "execution_error", "execution_interrupted")
    end = next((messages[name] for name in ends if name in messages), None)
    if start is None or end is None or "timestamp" not in start or "timestamp" not in end:
        return None
    return max(0.0, (end.number("timestamp") - start.number("timestamp")) / 1000)


def _prompt_ids(reply: JsonObject, name: str) -> tuple[str, ...]:
    def prompt_id(item: Any) -> str:
        if not isinstance(item, list) or len(item) < 2 or not isinstance(item[1], str):
            raise BadReply(f"queue: {name!r} holds something that is not a prompt.")
        return item[1]

    return tuple(prompt_id(item) for item in reply.items(name))
