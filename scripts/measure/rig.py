"""The rig: a whole platform with its node, and beside it a node of the same kind for the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.havoc.accounts import accounts_make
from scripts.launcher import services
from scripts.launcher.ports import free_port
from scripts.launcher.stop_signal import StopSignal
from tests.process.stack import Stack

STEP_S = services.SIMULATED_STEP_S
_SETTINGS = {"PENCIL_DAILY_LIMIT": "0", "PENCIL_QUEUE_LIMIT": "100000"}


@dataclass(frozen=True, slots=True)
class Rig:
    """Addresses, and a token for each user.

    `node` is the platform's; `other_node` is nobody's but the bare clients'.
    """

    address: str
    node: str
    other_node: str
    tokens: Sequence[str]
    stack: Stack


@contextmanager
def rig(
    folder: Path,
    *,
    database_url: str,
    users: int,
    stop: StopSignal,
    node_options: tuple[str, ...] = (),
    comfyui_url: str | None = None,
) -> Iterator[Rig]:
    """Run a platform over an empty database, with simulated nodes or one real one for all.

    Raises:
        StepFailed: a process did not come up.
        Interrupted: somebody asked for the end.
    """
    settings = dict(_SETTINGS)
    if comfyui_url is not None:
        settings |= {"PENCIL_COMFYUI_URL": comfyui_url, "PENCIL_COMFYUI_SIMULATED": "false"}
    stack = Stack(
        folder,
        database_url=database_url,
        step_s=STEP_S,
        settings=settings,
        simulator_options=node_options,
    )
    stack.stop_signal = stop
    with stack:
        tokens = [token for _, token in accounts_make(stack.manage, users)]
        if comfyui_url is not None:
            yield Rig(stack.address, comfyui_url, comfyui_url, tokens, stack)
            return
        port = free_port()
        other = services.simulator_service(
            port=port, data_dir=folder, step_s=STEP_S, name="other-node", options=node_options
        )
        beside = stack.start_beside(other, {})
        try:
            yield Rig(stack.address, stack.simulator, f"http://127.0.0.1:{port}", tokens, stack)
        finally:
            beside.stop()
