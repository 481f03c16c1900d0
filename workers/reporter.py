"""The reporter: a prompt's events as progress for its jobs' owner, at most four a second each."""

from __future__ import annotations

import time

from generation.events import progress_publish
from generation.previews import Progress as JobProgress
from generation.previews import progress_put
from workers.comfy.mailboxes import Follower
from workers.comfy.protocol import (
    Disconnected,
    Finished,
    OutputFile,
    OutputReady,
    Preview,
    Progress,
    Reconnected,
    Started,
    Succeeded,
)
from workers.members import Members

REPORT_EVERY_S = 0.25
PREVIEW_BYTES_MAX = 4 * 1024 * 1024  # chosen: a 1536² PNG; Redis holds these in memory


class Reporter:
    """What has been seen and told of one prompt.

    Attributes:
        has_started: the node has begun.
        has_lost_events: the socket broke; events of this prompt may never come again.
        files: what the node has named so far.
        execution_s: how long it worked, by its clock; None until it has told that all went well.
    """

    def __init__(self, members: Members, *, steps: int) -> None:
        self.has_started = False
        self.has_lost_events = False
        self.files: list[OutputFile] = []
        self.execution_s: float | None = None
        self._started_ms: float | None = None
        self._members = members
        self._step = 0
        self._steps = max(1, steps)
        self._preview: bytes | None = None
        self._previews = 0
        self._is_stale = False
        self._reported_at = 0.0
        self._looked_at = time.monotonic()

    @property
    def is_near_end(self) -> bool:
        """Whether no more than a step is left, as far as is known: a second pass begins anew."""
        return self.has_started and self._step >= self._steps - 1

    def take(self, follower: Follower, poll_s: float) -> bool:
        """Wait for one event and report it; True when it is time to ask for the verdict."""
        wait_s = max(0.0, self._looked_at + poll_s - time.monotonic())
        if self._is_stale:
            wait_s = min(wait_s, max(0.0, self._reported_at + REPORT_EVERY_S - time.monotonic()))
        event = follower.next(wait_s)
        looks_now = time.monotonic() - self._looked_at >= poll_s
        match event:
            case None:
                pass
            case Started(at_ms=at_ms):
                self.has_started = True
                self._started_ms = at_ms
            case Succeeded(at_ms=at_ms):
                if at_ms is not None and self._started_ms is not None:
                    self.execution_s = max(0.0, (at_ms - self._started_ms) / 1000)
            case Progress(step=step, steps=steps):
                self.has_started = True
                self._step, self._steps = step, max(1, steps)
                self._is_stale = True
            case Preview(data=data):
                # A server sends a step's preview just before its progress: they go out together.
                self.has_started = True
                self._preview = data if len(data) <= PREVIEW_BYTES_MAX else None
            case Disconnected() | Reconnected():
                self.has_lost_events = True
                looks_now = True
            case OutputReady(files=files):
                # The record does not say that it is complete before the end is told.
                self.files.extend(files)
            case Finished():
                looks_now = True
        if self._is_stale and time.monotonic() - self._reported_at >= REPORT_EVERY_S:
            self._report()
        if looks_now:
            self._looked_at = time.monotonic()
        return looks_now

    def _report(self) -> None:
        if self._preview is not None:
            self._previews += 1
        for job in self._members.jobs:
            # A preview shows the first of the prompt's images, so it is that job's alone.
            is_shown = job.prompt_index == 0
            preview = self._preview if is_shown else None
            progress = JobProgress(self._step, self._steps, self._previews if is_shown else 0)
            if not progress_put(job.id, progress, preview=preview):
                break  # Redis is away, and each try takes its time
            progress_publish(job, progress)
        self._preview = None
        self._is_stale = False
        self._reported_at = time.monotonic()
