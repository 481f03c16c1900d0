"""Foretold: how a prompt has ended by its events, while its record is asked whether that is so.

Nothing is kept by what events say alone. But asking a node nearby takes as long as writing down
what the record is about to say, so both go on side by side, and the last waits for the first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from workers.comfy.client import ComfyClient
from workers.comfy.errors import ComfyError
from workers.comfy.protocol import OutputFile
from workers.comfy.records import PromptStatus, Verdict
from workers.download import Unsettled

# Chosen: ten times what a node nearby takes, and no more than its user's rows may stay locked.
CONFIRMED_WITHIN_S = 0.03
# Chosen: more than a worker has prompts at once, and each asks one at a time.
_asking = ThreadPoolExecutor(64, thread_name_prefix="verdict")
_took_s: dict[str, float] = {}  # how long each node's record took the last time, by its address


def verdict_ask(client: ComfyClient, prompt_id: UUID) -> Verdict:
    """Ask for the record, and remember how long that takes.

    Raises:
        ComfyError: as `ComfyClient.verdict`.
    """
    began_at = time.monotonic()
    try:
        return client.verdict(prompt_id)
    finally:
        _took_s[client.base_url] = time.monotonic() - began_at


def is_near(client: ComfyClient) -> bool:
    """Whether a node's record came in time when it was last asked for."""
    return _took_s.get(client.base_url, 0.0) < CONFIRMED_WITHIN_S


class Foretold:
    """What a prompt's events said of its end; its record is asked for from now on.

    Attributes:
        files: what it has put out, in order.
        execution_s: how long its node worked on it, by the node's clock.
    """

    def __init__(
        self,
        client: ComfyClient,
        prompt_id: UUID,
        *,
        files: Sequence[OutputFile],
        execution_s: float,
    ) -> None:
        self.files = list(files)
        self.execution_s = execution_s
        self._coming = _asking.submit(verdict_ask, client, prompt_id)

    def verdict(self) -> Verdict:
        """What the record says.

        Raises:
            ComfyError: as `ComfyClient.verdict`.
        """
        return self._coming.result()

    def confirm(self, own: Callable[[Iterable[OutputFile]], list[OutputFile]]) -> None:
        """Wait until the record says the same; `own` picks the prompt's own files.

        Raises:
            Unsettled: it does not, or that is not known in a moment.
        """
        try:
            verdict = self._coming.result(CONFIRMED_WITHIN_S)
        except (ComfyError, TimeoutError) as error:
            raise Unsettled from error
        is_so = (
            verdict.status is PromptStatus.COMPLETED
            and verdict.execution_s == self.execution_s
            and own(verdict.files) == self.files
        )
        if not is_so:
            raise Unsettled
