"""Reasons not to start.

Exception
├── Refusal          something is missing or wrong; the message is for whoever typed the command
│   └── StepFailed   a command that had to succeed did not; carries its last lines
└── Interrupted      somebody asked for the end while we were still preparing
"""

from pathlib import Path


class Refusal(Exception):
    """LlamaSketch cannot start; the message is one sentence that says what to do."""


class StepFailed(Refusal):
    """A command failed; `tail` is the end of what it printed."""

    def __init__(self, message: str, *, log: Path, tail: str) -> None:
        super().__init__(message)
        self.log = log
        self.tail = tail


class Interrupted(Exception):
    """Ctrl-C, or a signal that means the same."""
