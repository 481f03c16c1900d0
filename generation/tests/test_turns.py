"""Turns of the submissions that come at one moment."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.test import Client

from generation.api.turns import NEW_CROWD_S, WITHIN_S, Turns, turn

MOST = 4


def turns(*, within_s: float = 30.0, new_crowd_s: float = 30.0) -> Turns:
    return Turns(MOST, within_s=within_s, new_crowd_s=new_crowd_s)


def crowd(of: Turns, count: int = 5 * MOST) -> list[int]:
    """Let a crowd come at once; return how many were in turn at the moment each began."""
    lock, here, seen = threading.Lock(), 0, []
    together = threading.Barrier(count, timeout=30)

    def work() -> None:
        nonlocal here
        together.wait()
        with of.turn():
            with lock:
                here += 1
                seen.append(here)
            time.sleep(0.02)
            with lock:
                here -= 1

    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(work) for _ in range(count)]:
            done.result(30)
    return seen


def test_the_first_goes_alone_and_the_others_follow_a_few_at_a_time() -> None:
    seen = crowd(turns())

    assert seen[:2] == [1, 1]
    assert max(seen) == MOST


def test_a_crowd_that_comes_later_begins_with_one_again() -> None:
    ours = turns(new_crowd_s=0.05)
    crowd(ours)
    time.sleep(0.1)

    assert crowd(ours)[:2] == [1, 1]


def test_a_stream_without_a_pause_keeps_its_room() -> None:
    ours = turns()
    crowd(ours)
    inside = threading.Barrier(MOST, timeout=10)

    def meet() -> None:
        with ours.turn():
            inside.wait()

    with ThreadPoolExecutor(MOST) as pool:
        for met in [pool.submit(meet) for _ in range(MOST)]:
            met.result(30)


def test_who_waits_long_holds_nobody_up_and_takes_nobodys_turn() -> None:
    ours = turns(within_s=1.0)
    leave, inside = threading.Event(), threading.Event()

    def stay() -> None:
        with ours.turn():
            inside.set()
            leave.wait(30)

    with ThreadPoolExecutor(1) as pool:
        stayed = pool.submit(stay)
        assert inside.wait(30)
        began = time.monotonic()
        with ours.turn():
            waited_s = time.monotonic() - began
        with ours.turn():  # there is room for one more since
            again_s = time.monotonic() - began - waited_s
        leave.set()
        stayed.result(30)

    assert 1.0 <= waited_s < 20
    assert again_s < 1.0
    assert max(crowd(ours)) == MOST  # all turns are free again


def test_a_request_that_fails_gives_its_turn_back() -> None:
    ours = turns()
    for _ in range(MOST + 1):
        with pytest.raises(ValueError, match="no"), ours.turn():
            raise ValueError("no")

    assert max(crowd(ours)) == MOST


def test_a_submission_waits_for_its_turn_before_its_caller_is_looked_for(client: Client) -> None:
    time.sleep(2 * NEW_CROWD_S)  # a new crowd, so that this is the only turn there is
    with turn():
        began = time.monotonic()
        answer = client.post("/api/generate", "{}", content_type="application/json")
        waited_s = time.monotonic() - began

    assert answer.status_code == 401
    assert waited_s >= WITHIN_S
