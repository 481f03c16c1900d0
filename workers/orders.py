"""Orders: what a node is asked to make for a job, with its pictures uploaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from generation.models import Job
from workers.workflows.order import Anchor, Model, Order, Workflow


def order_for(jobs: Sequence[Job], prompt_id: UUID, upload: Callable[[str], str]) -> Order:
    """Say what jobs that are variations without a gap are, and upload what they are made from.

    `upload` takes a picture's name in storage and returns what the node calls it.
    """
    lead = jobs[0]
    params = lead.parameters
    return Order(
        prompt_id=prompt_id,
        workflow=Workflow(params.mode),
        model=Model(params.model),
        sketch=upload(lead.sketch),
        prompt=params.prompt,
        negative=params.negative_prompt,
        denoise=params.denoise,
        steps=params.steps,
        seed=params.seed,
        first=params.variation,
        count=len(jobs),
        width=params.width,
        height=params.height,
        references=tuple(upload(name) for name in params.references),
        anchor=(
            Anchor(image=upload(params.anchor_image), mask=upload(params.anchor_mask))
            if params.anchor_image
            else None
        ),
    )
