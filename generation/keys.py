"""Idempotency keys: a caller's name for a request, under which the first answer is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from generation.exceptions import KeyReused
from generation.models import IdempotencyKey
from usage.upserts import insert_once


@dataclass(frozen=True, slots=True)
class Idempotency:
    """The caller's name for a request, and a digest of its body."""

    key: str
    body_digest: str


def key_take(
    user_id: int, idempotency: Idempotency, answer: dict[str, Any]
) -> dict[str, Any] | None:
    """Keep an answer under a key; None, or the answer that the key has already.

    Call inside the transaction that makes the answer true, before anything else. A parallel request
    with the same key waits here for the first one's commit.

    Raises:
        KeyReused: the key was used with another body.
    """
    digest = idempotency.body_digest
    row = IdempotencyKey(user_id=user_id, key=idempotency.key, body_digest=digest, answer=answer)
    return None if insert_once(row) else key_answer(user_id, idempotency)


def key_answer(user_id: int, idempotency: Idempotency) -> dict[str, Any] | None:
    """The answer that a key has, None where it has none.

    Raises:
        KeyReused: the key was used with another body.
    """
    first = IdempotencyKey.objects.filter(user_id=user_id, key=idempotency.key).first()
    if first is None:
        return None
    if first.body_digest != idempotency.body_digest:
        raise KeyReused
    return cast("dict[str, Any]", first.answer)
