"""What the API answers with."""

from __future__ import annotations

from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation


class AlwaysTheSame(DefaultContentNegotiation):
    """The first renderer, whatever the caller accepts: each address has one kind of answer.

    DRF would refuse whoever asks for a picture with `Accept: image/png`.
    """

    def select_renderer(
        self,
        request: Any,  # noqa: ARG002 - DRF's signature
        renderers: Any,
        format_suffix: str | None = None,  # noqa: ARG002 - DRF's signature
    ) -> tuple[Any, str]:
        """Take the first renderer."""
        return renderers[0], renderers[0].media_type
