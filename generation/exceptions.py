"""What can go wrong for somebody who wants an image, as a tree.

DomainError
└── GenerationError
    ├── InvalidInput        invalid                  fields are wrong; extra.fields says which
    ├── BodyTooLarge        body_too_large           the request is longer than we read
    ├── NotFound            not_found                no such thing, or somebody else's
    ├── KeyReused           idempotency_key_reused   the same key with another body
    ├── TooManyWaiting      too_many_waiting         the caller's queue is full
    ├── NotRetryable        not_retryable            the job did not fail
    ├── Busy                busy                     too many sketches are being read
    └── StorageFull         storage_full             the server cannot keep the sketch

InvalidImage (ValueError)   bytes that are not an image we take; services turn it into InvalidInput
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from usage.exceptions import DomainError


class GenerationError(DomainError):
    """The root of this package's refusals."""


class InvalidInput(GenerationError):
    """Fields that are wrong; the message names the first."""

    code = "invalid"

    def __init__(self, fields: Mapping[str, Sequence[str]]) -> None:
        name, messages = next(iter(fields.items()))
        super().__init__(
            f"{name}: {messages[0]}",
            extra={"fields": {key: list(value) for key, value in fields.items()}},
        )


class BodyTooLarge(GenerationError):
    """The request's body is longer than the server reads."""

    code = "body_too_large"

    def __init__(self, *, limit_bytes: int, field: str | None) -> None:
        sentence = f"The request is longer than {limit_bytes // 2**20} MB. Send a smaller image."
        super().__init__(
            f"{field}: {sentence}" if field else sentence,
            extra={"limit_bytes": limit_bytes, "fields": {field: [sentence]} if field else {}},
        )


class NotFound(GenerationError):
    """There is no such thing for this caller."""

    code = "not_found"

    def __init__(self, what: str) -> None:
        super().__init__(f"There is no such {what}.")


class KeyReused(GenerationError):
    """An idempotency key came again with another body."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used with another request. Use a new key for a new request."
        )


class TooManyWaiting(GenerationError):
    """The caller has as many jobs waiting as one person may have."""

    code = "too_many_waiting"
    retry_after_s = 5

    def __init__(self, *, limit: int) -> None:
        super().__init__(
            f"You can have {limit} images waiting at once. Wait for some to finish or cancel some; "
            "nothing was charged.",
            extra={"limit": limit},
        )


class NotRetryable(GenerationError):
    """Only a failed or cancelled job can be tried again."""

    code = "not_retryable"

    def __init__(self) -> None:
        super().__init__("Only a failed or cancelled job can be tried again.")


class Busy(GenerationError):
    """The server is reading as many sketches as it has memory for."""

    code = "busy"
    retry_after_s = 2

    def __init__(self) -> None:
        super().__init__(
            "The server is busy right now. Nothing was started and nothing was charged; "
            "try again in a moment."
        )


class StorageFull(GenerationError):
    """The disk would not take the sketch; the job was not accepted."""

    code = "storage_full"

    def __init__(self) -> None:
        super().__init__(
            "The server cannot keep your sketch right now. Nothing was started and nothing was "
            "charged; try again in a few minutes."
        )


class InvalidImage(ValueError):
    """Bytes that are not an image we take; the message says why and what to send instead."""
