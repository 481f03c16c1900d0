"""The broker as an operator sees it: how many messages wait, and which workers answer."""

from __future__ import annotations

from dataclasses import dataclass

import redis
from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError

QUEUES = ("generation", "maintenance")
PATIENCE_S = 2.0  # chosen: a Redis that is well answers within a millisecond
ANSWERS_S = 1.0  # chosen: workers answer within some 50 ms, however busy their threads are


@dataclass(frozen=True, slots=True)
class BrokerLook:
    """What Redis said; where `problem` is not empty it said nothing, and the rest is None."""

    problem: str
    messages: dict[str, int] | None
    workers: list[str] | None


def broker_look(*, answers_s: float = ANSWERS_S) -> BrokerLook:
    """Ask Redis for the lengths of Celery's queues, then all workers for a sign of life.

    Takes `answers_s` where Redis is well, as nobody knows how many workers there should be.
    """
    try:
        return BrokerLook("", _messages(), _workers(answers_s))
    except (redis.RedisError, OperationalError, OSError) as error:
        # Without the error's text: it may hold the server's address with its password.
        return BrokerLook(f"Redis does not answer ({type(error).__name__}).", None, None)


def _messages() -> dict[str, int]:
    with redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S
    ) as client:
        pipe = client.pipeline(transaction=False)
        for name in QUEUES:
            pipe.llen(name)
        return {name: int(length) for name, length in zip(QUEUES, pipe.execute(), strict=True)}


def _workers(answers_s: float) -> list[str]:
    # A connection of its own: the settings' would wait 15 s for a Redis that freezes just now.
    options = {
        **settings.CELERY_BROKER_TRANSPORT_OPTIONS,
        "socket_timeout": PATIENCE_S + answers_s,
        "socket_connect_timeout": PATIENCE_S,
    }
    with current_app.connection_for_write(transport_options=options) as connection:
        inspect = current_app.control.inspect(timeout=answers_s, connection=connection)
        return sorted(inspect.ping() or {})
