"""Records: what a node itself says of the prompts that it ran."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import requests

from scripts.measure.orders import NotMade

WRITTEN_WITHIN_S = 2.0
OUTPUT_CLASS = "LlamaSketchSaveImage"  # of the node pack


@dataclass(frozen=True, slots=True)
class Execution:
    """When a node's execution thread began and ended, in seconds since 1970 by its clock."""

    began_at: float
    ended_at: float

    @property
    def seconds(self) -> float:
        """How long it took, which is nobody's overhead."""
        return self.ended_at - self.began_at


def execution_of(url: str, prompt_id: UUID) -> Execution:
    """Read a prompt's record, which is written a moment after its last event.

    Raises:
        NotMade: the node knows no such prompt, or it did not succeed.
    """
    ends_at = time.monotonic() + WRITTEN_WITHIN_S
    while (entry := _entry(url, prompt_id)) is None:
        if time.monotonic() > ends_at:
            raise NotMade("The node has no record of a prompt: it was tried again, or never ran.")
        time.sleep(0.05)
    moments = {name: data["timestamp"] / 1000 for name, data in entry["status"]["messages"]}
    if "execution_success" not in moments:
        raise NotMade("A prompt did not succeed.")
    return Execution(moments["execution_start"], moments["execution_success"])


def has_pack(url: str) -> bool:
    """Whether a node has the pack's output node, which encodes beside the execution thread."""
    answer = requests.get(f"{url}/object_info/{OUTPUT_CLASS}", timeout=30)
    return answer.status_code == 200 and OUTPUT_CLASS in answer.json()


def _entry(url: str, prompt_id: UUID) -> dict[str, Any] | None:
    answer = requests.get(f"{url}/history/{prompt_id}", timeout=30).json()
    entry: dict[str, Any] | None = answer.get(str(prompt_id))
    return entry
