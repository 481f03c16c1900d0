"""What an ended prompt means for its job."""

from __future__ import annotations

import pytest

from workers.comfy.records import PromptError, PromptErrorKind, PromptStatus, Verdict
from workers.failures import MESSAGES, FailureKind, failure_of_verdict


@pytest.mark.parametrize(
    ("kind", "code", "counts_as", "avoids_node"),
    [
        (PromptErrorKind.OUT_OF_MEMORY, "out_of_memory", FailureKind.MEMORY, False),
        (PromptErrorKind.BLANK, "blank_image", FailureKind.BLANK, True),
        (PromptErrorKind.UNREADABLE_INPUT, "sketch_unreadable", FailureKind.INFRASTRUCTURE, True),
        (PromptErrorKind.NODE_ERROR, "node_failed", FailureKind.INFRASTRUCTURE, True),
        (PromptErrorKind.INTERRUPTED, "node_failed", FailureKind.INFRASTRUCTURE, True),
    ],
)
def test_every_kind_of_error_has_its_failure(
    kind: PromptErrorKind, code: str, counts_as: FailureKind, avoids_node: bool
) -> None:
    error = PromptError(kind, "a line from the server", "17", "SomeNode")

    failure = failure_of_verdict(Verdict(PromptStatus.FAILED, error=error))

    assert (failure.code, failure.kind, failure.avoids_node) == (code, counts_as, avoids_node)
    assert failure.problem == "a line from the server"
    assert failure.code in MESSAGES
