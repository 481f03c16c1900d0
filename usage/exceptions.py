"""What can go wrong for a caller, as a tree.

    DomainError              code, message, extra; knows no HTTP
    └── QuotaExhausted       quota_exhausted      the day's images are used up

Other packages hang their own errors under `DomainError`.
"""

from __future__ import annotations

from collections.abc import Mapping


class DomainError(Exception):
    """A refusal that the caller can act on.

    `code` is stable and part of the interface; `message` is a sentence for a person; `extra` holds
    JSON values that a program may use.
    """

    code = "error"

    def __init__(self, message: str, *, extra: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.extra: dict[str, object] = dict(extra or {})


class QuotaExhausted(DomainError):
    """More images were asked for than are left; `retry_after_s` until the count resets."""

    code = "quota_exhausted"

    def __init__(self, *, limit: int, remaining: int, retry_after_s: int) -> None:
        left = "none are" if remaining == 0 else "one is" if remaining == 1 else f"{remaining} are"
        super().__init__(
            f"You can make {limit} images a day and {left} left today. "
            "Nothing was started and nothing was charged; the count starts again at midnight UTC.",
            extra={"limit": limit, "remaining": remaining},
        )
        self.retry_after_s = retry_after_s
