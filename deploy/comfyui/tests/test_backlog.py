"""The backlog: room, order, and its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from deploy.comfyui.llamasketch_nodes.backlog import Backlog, BacklogClosed
from deploy.comfyui.tests.fakes import PATIENCE_S, until

MakeBacklog = Callable[..., Backlog]


class StillFull(Exception):
    """Raised by a caller that looks up from waiting for room."""


def give_up() -> None:
    raise StillFull


def wait() -> None:
    """Go on waiting."""


@pytest.fixture
def make_backlog() -> Iterator[MakeBacklog]:
    made: list[Backlog] = []

    def make(*, threads: int = 1, jobs_max: int = 10, bytes_max: int = 1000) -> Backlog:
        made.append(Backlog(threads=threads, jobs_max=jobs_max, bytes_max=bytes_max))
        return made[-1]

    yield make
    for backlog in made:
        backlog.close(timeout_s=PATIENCE_S)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Holds the jobs of a test; open at its end, so that nothing hangs."""
    gate = threading.Event()
    yield gate
    gate.set()


def test_jobs_begin_in_the_order_in_which_they_came(make_backlog: MakeBacklog) -> None:
    backlog = make_backlog()
    done: list[int] = []

    for number in range(10):
        backlog.put(partial(done.append, number), size_bytes=1, look=wait)

    until(lambda: len(done) == 10)
    assert done == list(range(10))


@pytest.mark.parametrize(
    "limits",
    [{"jobs_max": 2}, {"bytes_max": 20}],
    ids=["by their number", "by their size"],
)
def test_only_so_much_is_unfinished_at_a_time(
    make_backlog: MakeBacklog, gate: threading.Event, limits: dict[str, int]
) -> None:
    backlog = make_backlog(**limits)
    for _ in range(2):
        backlog.put(gate.wait, size_bytes=10, look=give_up)

    with pytest.raises(StillFull):
        backlog.put(wait, size_bytes=10, look=give_up)

    # A place is free when a job is done, not when it has begun.
    is_done = threading.Event()
    putting = threading.Thread(
        target=lambda: backlog.put(is_done.set, size_bytes=10, look=wait), daemon=True
    )
    putting.start()
    assert not is_done.is_set()
    gate.set()
    assert is_done.wait(PATIENCE_S)
    putting.join(PATIENCE_S)


def test_a_job_larger_than_all_room_is_taken_when_nothing_else_is(
    make_backlog: MakeBacklog,
) -> None:
    backlog = make_backlog(bytes_max=10)
    is_done = threading.Event()

    backlog.put(is_done.set, size_bytes=10**9, look=give_up)

    assert is_done.wait(PATIENCE_S)


def test_several_threads_work_at_once(make_backlog: MakeBacklog) -> None:
    backlog = make_backlog(threads=3)
    together = threading.Barrier(3)
    passed: list[int] = []

    for _ in range(3):
        backlog.put(lambda: passed.append(together.wait(PATIENCE_S)), size_bytes=1, look=wait)

    until(lambda: len(passed) == 3)


def test_a_job_that_breaks_takes_no_thread_and_no_room_with_it(
    make_backlog: MakeBacklog, caplog: pytest.LogCaptureFixture
) -> None:
    backlog = make_backlog(jobs_max=1)
    is_done = threading.Event()

    backlog.put(give_up, size_bytes=1, look=wait)
    backlog.put(is_done.set, size_bytes=1, look=wait)

    assert is_done.wait(PATIENCE_S)
    assert "StillFull" in caplog.text


def test_a_closed_backlog_takes_nothing_and_drops_what_waits(
    make_backlog: MakeBacklog, gate: threading.Event
) -> None:
    backlog = make_backlog()
    has_begun, is_done = threading.Event(), threading.Event()

    def begin() -> None:
        has_begun.set()
        gate.wait()

    backlog.put(begin, size_bytes=1, look=wait)
    backlog.put(is_done.set, size_bytes=1, look=wait)
    assert has_begun.wait(PATIENCE_S)

    backlog.close(timeout_s=0)
    gate.set()
    backlog.close(timeout_s=PATIENCE_S)

    with pytest.raises(BacklogClosed):
        backlog.put(wait, size_bytes=1, look=wait)
    assert not is_done.is_set()
