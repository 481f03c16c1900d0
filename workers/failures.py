"""Failures of an attempt: what is counted, how often it may happen, and what the owner reads."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from generation.models import Job
from workers.comfy.errors import Refused
from workers.comfy.records import PromptErrorKind, Verdict


class FailureKind(StrEnum):
    """What an attempt's failure counts as; each has its own limit."""

    INFRASTRUCTURE = "infrastructure"  # the node, the network or the disk
    MEMORY = "memory"  # the GPU had too little of it
    BLANK = "blank"  # the node made an empty picture
    REFUSED = "refused"  # the node lacks a model or a node class
    NONE = "none"  # an operator's doing: not counted


# How many failures of a kind end the job: after that many attempts there is no further one.
FAILURES_MAX = {
    FailureKind.INFRASTRUCTURE: 3,
    FailureKind.MEMORY: 2,
    FailureKind.BLANK: 2,
    FailureKind.REFUSED: 3,
}
# Refusals of somebody in between, or of a machine that cannot even take a file.
NOT_COMFYUI = frozenset({"login_required", "forbidden", "bad_upload"})
BACKOFF = timedelta(seconds=1)  # chosen: long enough for a node to be noticed as gone

MESSAGES = {
    "node_failed": "The image machine broke off three times. Nothing was charged; try again.",
    "out_of_memory": (
        "The image machine ran out of memory. Nothing was charged; try a smaller size."
    ),
    "blank_image": "The image machine made an empty picture twice. Nothing was charged; try again.",
    "no_model": (
        "No image machine has the model that this needs. Nothing was charged; "
        "tell whoever runs this server."
    ),
    "graph_refused": (
        "The image machine refused this request. Nothing was charged; "
        "try other settings or a new drawing."
    ),
    "sketch_unreadable": (
        "The image machine could not read your drawing. Nothing was charged; send it again."
    ),
    "sketch_missing": "Your drawing is gone from the server. Nothing was charged; send it again.",
    "storage_full": "The server could not keep the image. Nothing was charged; try again later.",
    "waited_too_long": (
        "No image machine was free for too long. Nothing was charged; try again later."
    ),
}


class Failure(Exception):
    """An attempt that ended without an image.

    Args:
        code: what the owner reads, should the job end with it; see `MESSAGES`.
        problem: for the log.
        kind: what it counts as; None ends the job at once.
        avoids_node: whether the next attempt goes to another node, where there is one.
        prompt_may_live: whether the node may still be working on the prompt: it is cancelled.
    """

    def __init__(
        self,
        code: str,
        problem: str,
        kind: FailureKind | None = None,
        *,
        avoids_node: bool = False,
        prompt_may_live: bool = False,
    ) -> None:
        super().__init__(problem)
        self.code = code
        self.problem = problem
        self.kind = kind
        self.avoids_node = avoids_node
        self.prompt_may_live = prompt_may_live

    def is_final_for(self, job: Job) -> bool:
        """Whether the job ends with this failure."""
        if self.kind is None:
            return True
        if self.kind is FailureKind.NONE:
            return False
        failures = {
            FailureKind.INFRASTRUCTURE: job.infrastructure_failures,
            FailureKind.MEMORY: job.memory_failures,
            FailureKind.BLANK: job.blank_failures,
            FailureKind.REFUSED: job.refused_failures,
        }
        return failures[self.kind] + 1 >= FAILURES_MAX[self.kind]


def failure_of_refusal(error: Refused) -> Failure:
    """What a node's refusal of an upload or a graph means for the job."""
    if error.lacks_something:
        return Failure("no_model", str(error), FailureKind.REFUSED, avoids_node=True)
    if error.reason in NOT_COMFYUI or error.missing_input is not None:
        # A proxy, or a disk that does not have what was uploaded a moment ago: not the job's doing.
        return Failure("node_failed", str(error), FailureKind.INFRASTRUCTURE, avoids_node=True)
    return Failure("graph_refused", str(error))


def failure_of_verdict(verdict: Verdict) -> Failure:
    """What a prompt that ended without images means for the job."""
    error = verdict.error
    problem = error.message if error else verdict.status.value
    if error is not None and error.kind is PromptErrorKind.OUT_OF_MEMORY:
        return Failure("out_of_memory", problem, FailureKind.MEMORY)
    if error is not None and error.kind is PromptErrorKind.UNREADABLE_INPUT:
        return Failure("sketch_unreadable", problem, FailureKind.INFRASTRUCTURE, avoids_node=True)
    if error is not None and error.kind is PromptErrorKind.BLANK:
        return Failure("blank_image", problem, FailureKind.BLANK, avoids_node=True)
    return Failure("node_failed", problem, FailureKind.INFRASTRUCTURE, avoids_node=True)
