"""Sending: what a prompt is made from goes up to its node, then the prompt, once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from uuid import UUID

import structlog

from generation.models import Job, Node
from generation.nodes import node_lost
from generation.previews import is_watched
from workers.comfy.client import ComfyClient, PreviewMethod
from workers.comfy.errors import BadReply, NodeUnreachable, OutcomeUnknown, Refused
from workers.comfy.protocol import OutputFile
from workers.comfy.records import PromptStatus
from workers.failures import NOT_COMFYUI, Failure, FailureKind, failure_of_refusal
from workers.orders import order_for
from workers.uploads import picture_upload, uploads_forget
from workers.workflows.abilities import Abilities
from workers.workflows.build import Recipe, Unsupported, graph_build, sampler_steps
from workers.workflows.order import Order

log = structlog.get_logger(__name__)

SETTLE_S = 8.0  # chosen: longer than a hiccup of a tunnel, shorter than patience
SETTLE_PAUSE_S = 1.0


class Sending:
    """The way of one prompt to its node; `jobs` as they were claimed, in the prompt's order."""

    def __init__(
        self, client: ComfyClient, node: Node, jobs: Sequence[Job], prompt_id: UUID
    ) -> None:
        self._client = client
        self._node = node
        self._jobs = jobs
        self._prompt_id = prompt_id
        self._abilities = Abilities.from_json(node.abilities)
        self._recipe: Recipe | None = None
        self.steps = sampler_steps(self._order(lambda name: name))

    @property
    def has_pack(self) -> bool:
        """Whether the node has the pack, which names files before it has written them."""
        return self._abilities.has_pack

    @property
    def files(self) -> list[OutputFile]:
        """The files that the node is likely to name; none where that cannot be told."""
        recipe = self._recipe
        if recipe is None:
            return []
        return [OutputFile(name, recipe.folder, "output", "save") for name in recipe.names]

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Turn what a node or the way to it did wrong into failures. Writes to the database."""
        try:
            yield
        except Refused as error:
            if error.reason in NOT_COMFYUI:
                node_lost(self._node.pk, problem=str(error))
            raise failure_of_refusal(error) from error
        except NodeUnreachable as error:
            node_lost(self._node.pk, problem=str(error))
            raise Failure(
                "node_failed", str(error), FailureKind.INFRASTRUCTURE, avoids_node=True
            ) from error
        except (BadReply, OutcomeUnknown) as error:
            raise Failure(
                "node_failed", str(error), FailureKind.INFRASTRUCTURE, prompt_may_live=True
            ) from error

    def prepare(self) -> None:
        """Upload what the jobs are made from, and build the graph that the node can run.

        Raises:
            Failure: a picture is gone, or the node lacks what the graph needs.
            ComfyError: see `faults`.
        """
        # A server keeps what each graph node put out and takes it again for the same inputs, a
        # black picture too. Another path makes it work anew.
        attempt = max(job.attempt for job in self._jobs)
        try:
            order = self._order(lambda name: picture_upload(self._client, name, attempt=attempt))
        except FileNotFoundError as error:
            raise Failure("sketch_missing", "the sketch is not in storage") from error
        try:
            self._recipe = graph_build(order, self._abilities)
        except Unsupported as error:
            raise Failure("no_model", str(error), FailureKind.REFUSED, avoids_node=True) from error

    def send(self, check: Callable[[], None]) -> None:
        """Submit the graph. `check` raises where nobody wants the prompt any more.

        Raises:
            Failure, ComfyError: as for `prepare`.
        """
        try:
            try:
                self._submit()
            except Refused as error:
                if error.missing_input is None:
                    raise
                uploads_forget(self._client)
                # It was queued nowhere, so it may be sent again, with what the node has lost.
                self.prepare()
                check()
                self._submit()
        except OutcomeUnknown as error:
            log.warning("submission's outcome unknown", problem=str(error))
            self._settle(check)

    def method(self) -> str:
        """How the images are enlarged; nothing where they are not."""
        if self._recipe is None:  # adopted: the graph that the dead worker sent was the same
            with suppress(Unsupported):
                self._recipe = graph_build(self._order(lambda name: name), self._abilities)
        return self._recipe.method if self._recipe else ""

    def _order(self, upload: Callable[[str], str]) -> Order:
        return order_for(self._jobs, self._prompt_id, upload)

    def _submit(self) -> None:
        assert self._recipe is not None
        preview: PreviewMethod = "latent2rgb" if is_watched(self._jobs[0].user_id) else "none"
        self._client.submit(self._recipe.graph, prompt_id=self._prompt_id, preview=preview)

    def _settle(self, check: Callable[[], None]) -> None:
        """Ask whether the node has the prompt; if it has not, this attempt is over.

        Nothing is sent again under this id: the first request may still be on its way.
        """
        deadline = time.monotonic() + SETTLE_S
        while True:
            check()
            try:
                if self._client.verdict(self._prompt_id).status is not PromptStatus.UNKNOWN:
                    return
            except NodeUnreachable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(SETTLE_PAUSE_S)
                continue
            raise OutcomeUnknown("The node does not know the prompt.")
