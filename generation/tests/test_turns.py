"""Turns of the submissions that come at one moment."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from generation.api.turns import AT_ONCE, turn


def test_a_few_go_on_and_the_others_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation.api.turns.WITHIN_S", 30.0)
    lock, here, most = threading.Lock(), 0, 0

    def work() -> None:
        nonlocal here, most
        with turn():
            with lock:
                here += 1
                most = max(most, here)
            time.sleep(0.02)
            with lock:
                here -= 1

    with ThreadPoolExecutor(5 * AT_ONCE) as pool:
        for done in [pool.submit(work) for _ in range(5 * AT_ONCE)]:
            done.result(30)

    assert most == AT_ONCE


def test_who_waits_long_holds_nobody_up_and_takes_nobodys_turn() -> None:
    leave, inside = threading.Event(), threading.Barrier(AT_ONCE + 1)

    def stay() -> None:
        with turn():
            inside.wait(30)
            leave.wait(30)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        stays = [pool.submit(stay) for _ in range(AT_ONCE)]
        inside.wait(30)
        began = time.monotonic()
        with turn():
            waited_s = time.monotonic() - began
        leave.set()
        for stayed in stays:
            stayed.result(30)

    assert 0.2 < waited_s < 10
    with ThreadPoolExecutor(AT_ONCE) as pool:  # all turns are free again
        quick = threading.Barrier(AT_ONCE)

        def meet() -> None:
            with turn():
                quick.wait(30)

        for met in [pool.submit(meet) for _ in range(AT_ONCE)]:
            met.result(30)


def test_a_request_that_fails_gives_its_turn_back() -> None:
    for _ in range(AT_ONCE + 1):
        with pytest.raises(ValueError, match="no"), turn():
            raise ValueError("no")

    began = time.monotonic()
    with turn():
        assert time.monotonic() - began < 0.2
