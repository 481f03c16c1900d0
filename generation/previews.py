"""Previews and progress of running jobs: in Redis, with a short life, lost without harm."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

import redis
import structlog
from django.conf import settings
from django.core.cache import cache

log = structlog.get_logger(__name__)

WATCH_S = 30  # chosen: a socket says it again every twenty seconds
WATCHED_KEPT_S = 5.0
LIFE_S = 120  # chosen: longer than the pause between two steps on a slow card


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is; `preview` numbers its previews from 1, 0 for none yet."""

    step: int
    steps: int
    preview: int


def progress_put(job_id: UUID, progress: Progress, *, preview: bytes | None = None) -> bool:
    """Keep a job's progress and, where given, its newest preview; False when Redis is away."""
    value = json.dumps([progress.step, progress.steps, progress.preview])
    try:
        with _client().pipeline(transaction=False) as pipe:
            pipe.set(_key(job_id, "progress"), value, ex=LIFE_S)
            if preview is not None:
                pipe.set(_key(job_id, "preview"), preview, ex=LIFE_S)
            pipe.execute()
    except redis.RedisError as error:
        log.warning("progress not kept", job_id=str(job_id), problem=type(error).__name__)
        return False
    return True


def progress_get(job_ids: Iterable[UUID]) -> dict[UUID, Progress]:
    """The progress of those jobs that have one, in one round trip; empty when Redis is away."""
    ids = list(job_ids)
    if not ids:
        return {}
    try:
        values: Any = _client().mget([_key(job_id, "progress") for job_id in ids])
    except redis.RedisError:
        return {}
    found = zip(ids, values, strict=True)
    return {job_id: Progress(*json.loads(value)) for job_id, value in found if value}


def preview_get(job_id: UUID) -> bytes | None:
    """A job's newest preview as a JPEG; None when there is none (any more)."""
    try:
        value = _client().get(_key(job_id, "preview"))
    except redis.RedisError:
        return None
    return value if isinstance(value, bytes) else None


def watch_note(user_id: int) -> None:
    """Note that somebody watches the user's jobs, for `WATCH_S` from now."""
    try:
        _client().set(_watch_key(user_id), 1, ex=WATCH_S)
    except redis.RedisError as error:
        log.warning("watch not noted", problem=type(error).__name__)


def is_watched(user_id: int) -> bool:
    """Whether previews of the user's jobs would be seen; not while Redis is away.

    Who watched a moment ago still does: each prompt asks.
    """
    key = _watch_key(user_id)
    if cache.get(key):
        return True
    try:
        found = bool(_client().exists(key))
    except redis.RedisError:
        return False
    if found:
        cache.set(key, "yes", WATCHED_KEPT_S)
    return found


def _watch_key(user_id: int) -> str:
    return f"llamasketch:watch:{user_id}"


def _key(job_id: UUID, what: str) -> str:
    return f"llamasketch:{what}:{job_id}"


@lru_cache(maxsize=1)
def _client() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=1, health_check_interval=15
    )
