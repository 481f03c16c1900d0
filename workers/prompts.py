"""Prompts that are no longer wanted, and what they leave behind on a node."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import UUID

import structlog

from workers.comfy.client import ComfyClient
from workers.comfy.errors import ComfyError
from workers.comfy.records import PromptStatus

log = structlog.get_logger(__name__)

STOP_S = 15.0  # a node that does not let go in this time never will; its result cannot get in


def prompt_stop(client: ComfyClient, prompt_id: UUID, *, is_over: Callable[[], bool]) -> None:
    """Ask a node to drop a prompt until it has, until it clearly never will, or until `is_over`."""
    deadline = time.monotonic() + STOP_S
    pause_s = 0.05
    while time.monotonic() < deadline and not is_over():
        try:
            client.cancel(prompt_id)
            status = client.verdict(prompt_id).status
            if status.is_terminal or status is PromptStatus.UNKNOWN:
                return
        except ComfyError as error:
            log.info("cancel not heard", problem=str(error))
        time.sleep(pause_s)
        pause_s = min(1.0, pause_s * 2)


def prompt_supersede(client: ComfyClient, prompt_id: UUID) -> None:
    """Ask once that a node drop a prompt: its result could not get in any more."""
    try:
        client.cancel(prompt_id)
    except ComfyError as error:
        log.info("superseded prompt not cancelled", problem=str(error))


def prompt_runs(client: ComfyClient, prompt_id: UUID) -> bool:
    """Whether a node still works on a prompt."""
    try:
        return client.verdict(prompt_id).status is PromptStatus.RUNNING
    except ComfyError:
        return False


def memory_free(client: ComfyClient) -> None:
    """Ask a node to unload its models once nothing runs."""
    try:
        client.free()
    except ComfyError as error:
        log.info("memory not freed", problem=str(error))
