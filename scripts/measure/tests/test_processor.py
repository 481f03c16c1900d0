"""What a process has used of the processor."""

from __future__ import annotations

import os
import time

import pytest

from scripts.measure.processor import processor_ms, used_ms


def test_work_is_seen_and_waiting_is_not() -> None:
    own = {"own": os.getpid()}
    before = processor_ms(own)
    if not before:
        pytest.skip("needs /proc")
    began = time.process_time()
    while time.process_time() - began < 0.1:
        pass

    used = used_ms(before, processor_ms(own))["own"]

    assert 80 <= used <= 2000


def test_a_process_that_is_not_there_has_used_nothing_that_could_be_read() -> None:
    assert processor_ms({"nobody": 2**22 + 1}) == {}


def test_only_what_both_looks_saw_is_told() -> None:
    assert used_ms({"web": 10.0, "gone": 1.0}, {"web": 35.0, "new": 5.0}) == {"web": 25.0}
