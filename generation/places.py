"""Places: how many jobs go before a waiting one, and when its image will be there."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count

from generation.models import Job, Share
from generation.nodes import nodes_usable
from generation.pace import pace_mean
from generation.states import ON_NODE, JobState, Lane

SHAPE_LIFE_S = 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a waiting job stands: 1 is next; `eta_s` until its image, in seconds."""

    position: int
    eta_s: float


def queue_places(jobs: Iterable[Job]) -> dict[UUID, Place]:
    """The places of those of the jobs, all of one user, that wait.

    What will go before a job is reckoned as the claims will: everything in a lane before its own,
    the user's earlier jobs, and of each other user as many as start before it in virtual time.
    """
    waiting = [job for job in jobs if job.state == JobState.QUEUED]
    waiting.sort(key=lambda job: (job.lane, job.created_at, job.id))
    if not waiting:
        return {}
    shape = queue_shape()
    places: dict[UUID, Place] = {}
    for lane in Lane:
        own = [job for job in waiting if job.lane == lane]
        before = sum(line.count for line in shape.lines if line.lane < lane)
        for index, job in enumerate(own):
            position = 1 + before + index + shape.ahead(job.user_id, lane, index)
            places[job.id] = Place(position, round(shape.eta_s(position), 1))
    return places


def queue_shape() -> QueueShape:
    """Who waits for how much, at most a second old: sockets ask this every two seconds each."""
    return _shape_kept.get()


def queue_shape_forget() -> None:
    """Look again at the next question."""
    _shape_kept.forget()


@dataclass(frozen=True, slots=True)
class Line:
    """A user's waiting jobs in one lane.

    `virtual_s` is where their first one will start: after the user's jobs in the lanes before.
    """

    user_id: int
    lane: Lane
    count: int
    virtual_s: float
    weight: int


@dataclass(frozen=True, slots=True)
class QueueShape:
    """Who waits for how much, and how fast it goes."""

    lines: tuple[Line, ...]
    on_nodes: int
    nodes: int
    seconds_per_job: float

    def ahead(self, user_id: int, lane: Lane, index: int) -> int:
        """How many jobs of others in the lane start before the user's job number `index`."""
        lines = [line for line in self.lines if line.lane == lane]
        own = next((line for line in lines if line.user_id == user_id), None)
        if own is None:
            return 0
        starts_at = own.virtual_s + index * self.seconds_per_job / own.weight
        ahead = 0
        for line in lines:
            if line.user_id == user_id:
                continue
            stride = self.seconds_per_job / line.weight
            # On a tie the smaller user id goes first, as in the claim.
            started = (starts_at - line.virtual_s) / stride
            first = math.floor(started) + 1 if line.user_id < user_id else math.ceil(started)
            ahead += min(line.count, max(0, first))
        return ahead

    def eta_s(self, position: int) -> float:
        """Seconds until the job at this place is done; those on nodes are halfway on average."""
        return (self.on_nodes / 2 + position) * self.seconds_per_job / max(1, self.nodes)


def _shape_now() -> QueueShape:
    counts = (
        Job.objects.filter(state=JobState.QUEUED)
        .values("user_id", "lane")
        .annotate(count=Count("id"))
        .values_list("user_id", "lane", "count")
    )
    rows = list(counts)
    shares = {
        user_id: (virtual_s, weight or 1)
        for user_id, virtual_s, weight in Share.objects.filter(
            user_id__in={user_id for user_id, _, _ in rows}
        ).values_list("user_id", "virtual_s", "user__plan__weight")
    }
    seconds_per_job = pace_mean()
    lines = []
    for user_id, lane, count in sorted(rows, key=lambda row: row[1]):
        virtual_s, weight = shares.get(user_id, (0.0, 1))
        lines.append(Line(user_id, Lane(lane), count, virtual_s, weight))
        shares[user_id] = (virtual_s + count * seconds_per_job / weight, weight)
    return QueueShape(
        lines=tuple(lines),
        on_nodes=Job.objects.filter(state__in=ON_NODE).count(),
        nodes=nodes_usable().count(),
        seconds_per_job=seconds_per_job,
    )


class _Kept:
    """A value that is made anew once it is older than a second."""

    def __init__(self, make: Callable[[], QueueShape]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._value: QueueShape | None = None
        self._made_at = 0.0

    def get(self) -> QueueShape:
        with self._lock:
            if self._value is None or time.monotonic() - self._made_at > SHAPE_LIFE_S:
                self._value = self._make()
                self._made_at = time.monotonic()
            return self._value

    def forget(self) -> None:
        with self._lock:
            self._value = None


_shape_kept = _Kept(_shape_now)
