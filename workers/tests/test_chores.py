"""What is left to do once a job has ended."""

from __future__ import annotations

from functools import partial

import pytest

from workers.chores import chores_do


def test_a_chore_that_fails_is_logged_and_keeps_none_of_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done: list[str] = []

    def fail() -> None:
        raise RuntimeError("no such thumbnail")

    chores_do([partial(done.append, "before"), fail, partial(done.append, "after")])

    assert done == ["before", "after"]
    assert "chore not done" in caplog.text
    assert "no such thumbnail" in caplog.text
