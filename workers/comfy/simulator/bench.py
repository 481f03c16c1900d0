"""What a node may use while it runs: folders, faults, time, and the way to report progress."""

import hashlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workers.comfy.simulator.faults import FaultKind, Faults
from workers.comfy.simulator.folders import Folders
from workers.comfy.simulator.graph import Graph
from workers.comfy.simulator.options import Options, PreviewMethod

CRASH_EXIT_CODE = 1


class Interrupted(Exception):
    """The running prompt was interrupted."""


class Stopped(Exception):
    """The process is ending."""


class OutOfMemory(RuntimeError):
    """The stand-in for torch.OutOfMemoryError."""


@dataclass(slots=True)
class Models:
    """Whether the models are in (no) memory. Loading takes `Options.load_s`."""

    are_loaded: bool = False


@dataclass(slots=True)
class Bench:
    """The surroundings of one prompt's nodes."""

    options: Options
    folders: Folders
    faults: Faults
    models: Models
    graph: Graph
    extra_data: dict[str, Any]
    interrupt: threading.Event
    stopping: threading.Event
    drop_sockets: Callable[[], None]
    report: Callable[[str, int, int, bytes | None], None]
    node_id: str = ""

    def fingerprint(self, node_id: str) -> str:
        """Tell what a node reads besides its inputs: the hash of a loader's file."""
        node = self.graph[node_id]
        if not node["class_type"].startswith("LoadImage"):
            return ""
        path = self.folders.input_path(str(node.get("inputs", {}).get("image", "")))
        return hashlib.sha256(path.read_bytes()).hexdigest() if path else "missing"

    def preview_method(self) -> PreviewMethod:
        """The prompt's own choice, or the server's."""
        chosen = self.extra_data.get("preview_method")
        try:
            return PreviewMethod(chosen) if chosen else self.options.preview
        except ValueError:
            return self.options.preview  # "default", or a name from another version

    def check_interrupt(self) -> None:
        """Raise Interrupted when the prompt was interrupted since it started."""
        if self.interrupt.is_set():
            raise Interrupted

    def wait_until(self, moment_s: float) -> None:
        """Wait until time.monotonic() reaches a moment; raise Stopped when the process ends."""
        if self.stopping.wait(max(0.0, moment_s - time.monotonic())):
            raise Stopped

    def wait(self, duration_s: float) -> None:
        """Wait for a while; raise Stopped when the process ends."""
        self.wait_until(time.monotonic() + duration_s)

    def fail_in_sampler(self) -> float:
        """Apply the faults that strike in a sampler; return how much slower its steps are."""
        if self.faults.strikes(FaultKind.HANG):
            self.stopping.wait()
            raise Stopped
        if self.faults.strikes(FaultKind.OUT_OF_MEMORY):
            self.wait(self.options.step_s)
            raise OutOfMemory("CUDA out of memory. Tried to allocate 2.00 GiB (stand-in)")
        if self.faults.strikes(FaultKind.NODE_ERROR):
            self.wait(self.options.step_s)
            raise RuntimeError("CUDA error: an illegal memory access was encountered (stand-in)")
        slow = self.faults.strikes(FaultKind.SLOW)
        return slow.factor if slow else 1.0

    def fail_after_first_step(self) -> None:
        """Apply the faults that strike in the middle of a prompt."""
        if self.faults.strikes(FaultKind.CRASH):
            os._exit(CRASH_EXIT_CODE)
        if self.faults.strikes(FaultKind.DROPPED_SOCKET):
            self.drop_sockets()
