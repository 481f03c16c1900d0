"""What a server says about itself: its version, its memory, its node classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workers.comfy.json_object import JsonObject


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU, or the CPU, that a server computes on."""

    name: str
    type: str
    vram_total_bytes: int
    vram_free_bytes: int


@dataclass(frozen=True, slots=True)
class SystemStats:
    """A server's version and memory. Decide nothing by the version: ask what the server knows."""

    version: str
    pytorch_version: str
    ram_total_bytes: int
    ram_free_bytes: int
    devices: tuple[Device, ...]
    arguments: tuple[str, ...]

    @property
    def vram_total_bytes(self) -> int:
        """Memory of all devices."""
        return sum(device.vram_total_bytes for device in self.devices)

    @property
    def vram_free_bytes(self) -> int:
        """Free memory of all devices."""
        return sum(device.vram_free_bytes for device in self.devices)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What an input of a node class takes.

    `type` is a type name that other nodes put out (IMAGE, SIGMAS), or STRING, INT, FLOAT,
    BOOLEAN, or COMBO, whose `options` are all that it takes.
    """

    type: str
    options: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class NodeClass:
    """A node class that a server has."""

    name: str
    required: Mapping[str, InputSpec]
    optional: Mapping[str, InputSpec]
    outputs: tuple[str, ...]
    is_output: bool

    def options(self, input_name: str) -> tuple[str, ...]:
        """Return what a COMBO input offers; nothing for an input that is none."""
        spec = self.required.get(input_name) or self.optional.get(input_name)
        return spec.options if spec is not None else ()


def stats_from_reply(reply: JsonObject) -> SystemStats:
    """Read `/system_stats`."""
    system = reply.child("system")
    devices = (JsonObject(entry, where="device") for entry in reply.items("devices"))
    return SystemStats(
        version=system.text("comfyui_version", ""),
        pytorch_version=system.text("pytorch_version", ""),
        ram_total_bytes=system.optional_integer("ram_total") or 0,
        ram_free_bytes=system.optional_integer("ram_free") or 0,
        devices=tuple(
            Device(
                name=device.text("name", ""),
                type=device.text("type", ""),
                vram_total_bytes=device.optional_integer("vram_total") or 0,
                vram_free_bytes=device.optional_integer("vram_free") or 0,
            )
            for device in devices
        ),
        arguments=tuple(str(argument) for argument in system.items("argv")),
    )


def node_class_from_reply(name: str, reply: JsonObject) -> NodeClass | None:
    """Read `/object_info/{name}`, which is `{}` for a class that does not exist."""
    if name not in reply:
        return None
    info = reply.child(name)
    inputs = info.child("input")
    return NodeClass(
        name=name,
        required=_inputs(inputs.child("required")),
        optional=_inputs(inputs.child("optional")),
        outputs=tuple(str(output) for output in info.items("output")),
        is_output=info.boolean("output_node", default=False),
    )


def _inputs(inputs: JsonObject) -> dict[str, InputSpec]:
    return {name: _input(inputs.items(name), where=name) for name in inputs.names()}


def _input(spec: list[Any], *, where: str) -> InputSpec:
    """Read `[type, {…}]`; a choice is `[[options], {…}]` or `["COMBO", {"options": […]}]`."""
    kind = spec[0] if spec else ""
    limits = JsonObject(spec[1] if len(spec) > 1 else {}, where=where)
    if isinstance(kind, list):
        return InputSpec("COMBO", options=_texts(kind))
    if kind == "COMBO":
        return InputSpec("COMBO", options=_texts(limits.items("options")))
    return InputSpec(
        str(kind),
        minimum=limits.number("min") if "min" in limits else None,
        maximum=limits.number("max") if "max" in limits else None,
    )


def _texts(values: list[Any]) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str))
