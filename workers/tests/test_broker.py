"""What Redis says of Celery, and what is said when it says nothing."""

from __future__ import annotations

import pytest
import redis
from django.conf import settings as django_settings
from pytest_django import Settings

from workers.broker import broker_look


def test_messages_are_counted_and_a_missing_worker_is_missing() -> None:
    with redis.Redis.from_url(django_settings.REDIS_URL) as client:
        client.delete("generation", "maintenance")
        client.rpush("generation", "a", "b")
        look = broker_look(answers_s=0.1)
        client.delete("generation")

    assert (look.problem, look.messages, look.workers) == (
        "",
        {"generation": 2, "maintenance": 0},
        [],
    )


@pytest.mark.parametrize(
    "url", ["redis://user:secret@127.0.0.1:9/0", "redis://nowhere.invalid:6379/0"]
)
def test_an_absent_redis_is_a_sentence_without_its_address(settings: Settings, url: str) -> None:
    settings.REDIS_URL = url

    look = broker_look(answers_s=0.1)

    assert look.problem.startswith("Redis does not answer")
    assert "secret" not in look.problem
    assert (look.messages, look.workers) == (None, None)
