"""The publisher: messages reach their user's group, in order, from any thread."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from channels.layers import get_channel_layer

from generation.publisher import publish, publisher_drain, user_group
from generation.tests.processes import REDIS_AWAY, python_run


async def listener(user_id: int) -> tuple[Any, str]:
    """A channel that hears what is published for a user."""
    layer: Any = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(user_group(user_id), channel)
    return layer, channel


async def heard(layer: Any, channel: str) -> dict[str, Any]:
    """The next message."""
    async with asyncio.timeout(10):
        message: dict[str, Any] = await layer.receive(channel)
        return message


async def numbers(layer: Any, channel: str, count: int) -> list[int]:
    """The numbers of the next messages."""
    return [(await heard(layer, channel))["number"] for _ in range(count)]


@pytest.mark.asyncio
async def test_messages_reach_their_user_in_order() -> None:
    layer, channel = await listener(101)

    for number in range(20):
        publish(101, {"type": "job.event", "number": number})

    assert await numbers(layer, channel, 20) == list(range(20))
    await layer.flush()


@pytest.mark.asyncio
async def test_nobody_hears_what_is_for_somebody_else() -> None:
    layer, channel = await listener(102)

    publish(103, {"type": "job.event", "number": "for 103"})
    publish(102, {"type": "job.event", "number": "for 102"})

    assert (await heard(layer, channel))["number"] == "for 102"
    await layer.flush()


@pytest.mark.asyncio
async def test_any_thread_may_publish() -> None:
    layer, channel = await listener(104)

    threads = [
        threading.Thread(target=publish, args=(104, {"type": "job.event", "number": number}))
        for number in range(10)
    ]
    for thread in threads:
        thread.start()
    found = await numbers(layer, channel, len(threads))
    for thread in threads:
        thread.join()

    assert sorted(found) == list(range(10))
    await layer.flush()


@pytest.mark.asyncio
async def test_what_is_urgent_takes_what_came_before_it_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer, channel = await listener(106)
    publisher_drain()
    monkeypatch.setattr("generation.publisher.LINGER_S", 30.0)

    publish(106, {"type": "job.event", "number": 1})
    publish(106, {"type": "job.event", "number": 2})
    publish(106, {"type": "job.event", "number": 3}, is_urgent=True)

    assert await numbers(layer, channel, 3) == [1, 2, 3]
    await layer.flush()


@pytest.mark.asyncio
async def test_what_is_not_urgent_lingers_once_for_all_that_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer, channel = await listener(107)
    publisher_drain()
    monkeypatch.setattr("generation.publisher.LINGER_S", 0.2)

    began = time.monotonic()
    for number in range(20):
        publish(107, {"type": "job.event", "number": number})
    found = await numbers(layer, channel, 20)

    assert found == list(range(20))
    assert 0.2 <= time.monotonic() - began < 20 * 0.2
    await layer.flush()


def test_draining_waits_until_everything_is_sent() -> None:
    for number in range(50):
        publish(105, {"type": "job.event", "number": number})

    publisher_drain()
    publisher_drain()  # nothing is left, so nothing is waited for


WITHOUT_REDIS = """
import time, django
django.setup()
from generation.publisher import publish
began = time.monotonic()
for number in range(5000):
    publish(1, {"type": "job.event", "number": number})
print(time.monotonic() - began)
"""


def test_without_redis_publishing_neither_raises_nor_waits(tmp_path: object) -> None:
    process = python_run("-c", WITHOUT_REDIS, DATA_DIR=str(tmp_path), REDIS_URL=REDIS_AWAY)

    assert process.returncode == 0, process.stderr
    assert float(process.stdout) < 3
    assert "Traceback" not in process.stderr
