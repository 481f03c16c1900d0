"""What a ComfyUI server sends over its WebSocket.

Text messages are `{"type", "data"}`. Binary frames begin with a big-endian u32, the kind:

    1  preview      u32 image format, bytes                            whose it is, nobody says
    3  text         u32 length of the node id, node id, text
    4  preview      u32 length of the JSON, JSON with prompt_id, bytes

Everything is checked here; what follows relies on the types. Unknown messages are normal (servers
grow) and parse to None; malformed ones raise BadReply.
"""

import json
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from workers.comfy.errors import BadReply
from workers.comfy.json_object import JsonObject

# The first message on every connection: without it previews come without the prompt that they
# belong to.
FEATURE_FLAGS = json.dumps(
    {"type": "feature_flags", "data": {"supports_preview_metadata": True}}, separators=(",", ":")
)

_UNATTRIBUTED_PREVIEW, _TEXT, _PREVIEW = 1, 3, 4
_IMAGE_TYPES = {1: "image/jpeg", 2: "image/png"}
_U32 = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file that a graph node wrote on the server; `type` is output, temp or input."""

    name: str
    subfolder: str
    type: str
    node_id: str


@dataclass(frozen=True, slots=True)
class Started:
    """The execution thread has taken the prompt up, at a moment of the server's clock in ms."""

    at_ms: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Progress:
    """A graph node has done `step` of its `steps`."""

    step: int
    steps: int
    node_id: str


@dataclass(frozen=True, slots=True)
class Preview:
    """A rough picture of the step just done."""

    image_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class OutputReady:
    """A graph node has written its files; the prompt may still be running."""

    files: tuple[OutputFile, ...]


@dataclass(frozen=True, slots=True)
class Succeeded:
    """All graph nodes are done, at a moment of the server's clock in ms; the record comes next."""

    at_ms: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Finished:
    """The prompt has ended, one way or another, and the server's record of it says how."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The socket is gone: from here on only asking for the verdict tells anything."""


@dataclass(frozen=True, slots=True)
class Reconnected:
    """There is a socket again, and events may have been missed: ask for the verdict now."""


PromptEvent = (
    Started | Progress | Preview | OutputReady | Succeeded | Finished | Disconnected | Reconnected
)


@dataclass(frozen=True, slots=True)
class Message:
    """A message about one prompt; `event` is None where it only shows that the prompt is alive."""

    prompt_id: str
    event: PromptEvent | None


@dataclass(frozen=True, slots=True)
class UnattributedPreview:
    """Binary frame 1: a preview of whichever prompt is running."""

    image_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class NodeText:
    """Binary frame 3: a line of text that a graph node shows."""

    node_id: str
    text: str


@dataclass(frozen=True, slots=True)
class PromptPreview:
    """Binary frame 4: a preview, with the prompt that it belongs to."""

    prompt_id: str
    node_id: str
    image_type: str
    data: bytes


Frame = UnattributedPreview | NodeText | PromptPreview


def parse_message(text: str) -> Message | None:
    """Parse a text message; None where it is about no prompt of interest."""
    if '"progress_state"' in text[:40]:
        # It repeats every graph node at every step: not worth decoding beside `progress`.
        return None
    envelope = JsonObject.parse(text, where="message")
    kind = envelope.text("type")
    if kind not in _PARSERS:
        return None
    data = JsonObject(envelope.raw("data"), where=kind)
    prompt_id = data.optional_text("prompt_id")
    if prompt_id is None:
        # Sent to a socket that joins while a prompt runs; it names a graph node, not a prompt.
        return None
    return Message(prompt_id, _PARSERS[kind](data))


def parse_frame(data: bytes) -> Frame | None:
    """Parse a binary frame; None for a kind that is not known."""
    kind, body = _read_u32(data)
    if kind == _UNATTRIBUTED_PREVIEW:
        image_format, image = _read_u32(body)
        return UnattributedPreview(
            _IMAGE_TYPES.get(image_format, "application/octet-stream"), image
        )
    if kind == _TEXT:
        node_id, text = _read_prefixed(body)
        return NodeText(_decode(node_id), _decode(text))
    if kind == _PREVIEW:
        header, image = _read_prefixed(body)
        metadata = JsonObject.parse(header, where="preview")
        if not image:
            raise BadReply("preview: it has no picture.")
        return PromptPreview(
            prompt_id=metadata.text("prompt_id"),
            node_id=metadata.text("node_id"),
            image_type=metadata.text("image_type"),
            data=image,
        )
    return None


def message_of(frame: Frame | None) -> Message | None:
    """Return what a binary frame says about a prompt.

    A preview that does not say whose it is belongs to nobody: two users' prompts run on one
    server, and a guess would show one user's picture to the other.
    """
    if isinstance(frame, PromptPreview):
        return Message(frame.prompt_id, Preview(frame.image_type, frame.data))
    return None


def parse_files(output: JsonObject, *, node_id: str) -> tuple[OutputFile, ...]:
    """Return the files in a graph node's output, `{"images": [{filename, subfolder, type}]}`."""
    return tuple(
        OutputFile(
            name=item.text("filename"),
            subfolder=item.text("subfolder", ""),
            type=item.text("type", "output"),
            node_id=node_id,
        )
        for item in (JsonObject(entry, where="images") for entry in output.items("images"))
    )


def _executing(data: JsonObject) -> PromptEvent | None:
    # `node: null` comes after the record is written, execution_success before: only the first is
    # an end.
    return Finished() if "node" in data and data.raw("node") is None else None


def _progress(data: JsonObject) -> PromptEvent:
    return Progress(data.integer("value"), data.integer("max"), data.text("node", ""))


def _executed(data: JsonObject) -> PromptEvent | None:
    files = parse_files(data.child("output"), node_id=data.text("node", ""))
    return OutputReady(files) if files else None


def _started(data: JsonObject) -> PromptEvent:
    return Started(_moment(data))


def _succeeded(data: JsonObject) -> PromptEvent:
    return Succeeded(_moment(data))


def _moment(data: JsonObject) -> float | None:
    # An event without one tells all the same what has happened.
    with suppress(BadReply):
        return data.number("timestamp")
    return None


def _alive(_data: JsonObject) -> None:
    return None


_PARSERS: dict[str, Any] = {
    "execution_start": _started,
    "execution_cached": _alive,
    "executing": _executing,
    "progress": _progress,
    "executed": _executed,
    "execution_success": _succeeded,
    "execution_error": _alive,
    "execution_interrupted": _alive,
}


def _read_u32(data: bytes) -> tuple[int, bytes]:
    if len(data) < _U32.size:
        raise BadReply("frame: too short for its header.")
    return _U32.unpack_from(data)[0], data[_U32.size :]


def _read_prefixed(data: bytes) -> tuple[bytes, bytes]:
    length, rest = _read_u32(data)
    if length > len(rest):
        raise BadReply("frame: shorter than its header says.")
    return rest[:length], rest[length:]


def _decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadReply("frame: not UTF-8.") from error
