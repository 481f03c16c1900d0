"""The canary: a picture that a node makes before it is trusted with anybody's."""

from __future__ import annotations

import io
import secrets
import time
from contextlib import suppress
from uuid import UUID, uuid4

import structlog
from django.conf import settings

from generation.exceptions import InvalidImage
from generation.images import image_check, is_blank
from generation.models import Node
from generation.nodes import node_lost, node_proved, node_proving, node_quarantine
from generation.presets import preset_list, preset_png
from workers.clients import client_for
from workers.comfy.client import ComfyClient
from workers.comfy.errors import ComfyError, FileError, NodeUnreachable
from workers.comfy.records import PromptStatus, Verdict
from workers.workflows.abilities import CLASSES, MODEL_INPUTS, Abilities
from workers.workflows.build import Unsupported, graph_build
from workers.workflows.order import Model, Order, Workflow

log = structlog.get_logger(__name__)

SIDE_PX = 512
STEPS = 4
DENOISE = 0.75
PROMPT = "a canary on a branch"
POLL_S = 0.2
RENEW_S = 5.0
IMAGE_BYTES_MAX = 16 * 1024 * 1024
FETCH_PAUSES_S = (0.2, 0.5, 1.0)


class CanaryDied(Exception):
    """The node lacks something, or its picture is not one; the message is for the operator."""


def node_canary(node_id: int) -> None:
    """Have a node that is being proved make a picture, look at it, and decide."""
    node = Node.objects.filter(pk=node_id).first()
    if node is None:
        return
    client = client_for(node.url)
    try:
        abilities = abilities_ask(client)
        _check_picture(client, node_id, abilities)
    except _Superseded:
        return
    except NodeUnreachable as error:
        node_lost(node_id, problem=str(error))
    except (CanaryDied, ComfyError, InvalidImage) as error:
        node_quarantine(node_id, problem=str(error))
    else:
        node_proved(node_id, workflows=abilities.offers(), abilities=abilities.as_json())


def abilities_ask(client: ComfyClient) -> Abilities:
    """Ask a node for everything that our graphs may use.

    Raises:
        ComfyError: it did not answer all of it.
    """
    classes = {name: client.node_class(name) for name in sorted(CLASSES)}
    models = {
        (class_name, input_name, file)
        for class_name, input_name in sorted(MODEL_INPUTS)
        if (found := classes[class_name]) is not None
        for file in found.options(input_name)
    }
    there = frozenset(name for name, found in classes.items() if found is not None)
    saver = classes["LlamaSketchSaveImage"]
    formats = frozenset(saver.options("format") if saver is not None else ())
    return Abilities(classes=there, models=frozenset(models), formats=formats)


def _check_picture(client: ComfyClient, node_id: int, abilities: Abilities) -> None:
    sketch = preset_png(preset_list()[0].id)
    assert sketch is not None
    prompt_id = uuid4()
    order = Order(
        prompt_id=prompt_id,
        workflow=Workflow.PAINT,
        # A node may have the base model alone.
        model=Model.BASE if "paint" not in abilities.offers() else Model.DISTILLED,
        sketch=client.upload_image(sketch).reference,
        prompt=PROMPT,
        denoise=DENOISE,
        steps=STEPS,
        # Another each time: a server gives back what it made before for the same graph.
        seed=secrets.randbelow(2**32),
        width=SIDE_PX,
        height=SIDE_PX,
    )
    try:
        graph = graph_build(order, abilities).graph
    except Unsupported as error:
        raise CanaryDied(f"It lacks {error.lacks}.") from error
    client.submit(graph, prompt_id=prompt_id, preview="none")
    try:
        verdict = _wait(client, prompt_id, node_id)
    except CanaryDied:
        with suppress(ComfyError):
            client.cancel(prompt_id)
        raise
    image = image_check(_fetch(client, verdict), width=SIDE_PX, height=SIDE_PX)
    if is_blank(image.pixels):
        raise CanaryDied("Its canary image is blank.")


def _wait(client: ComfyClient, prompt_id: UUID, node_id: int) -> Verdict:
    started_at = renewed_at = time.monotonic()
    while time.monotonic() - started_at < settings.PENCIL.run_timeout_s:
        verdict = client.verdict(prompt_id)
        if verdict.status is PromptStatus.COMPLETED:
            return verdict
        if verdict.status.is_terminal:
            raise CanaryDied(verdict.error.message if verdict.error else "Its canary failed.")
        if time.monotonic() - renewed_at > RENEW_S:
            renewed_at = time.monotonic()
            if not node_proving(node_id):
                raise _Superseded
        time.sleep(POLL_S)
    raise CanaryDied("Its canary image was not made in time.")


def _fetch(client: ComfyClient, verdict: Verdict) -> bytes:
    if not verdict.files:
        raise CanaryDied("Its canary left no file.")
    for pause_s in FETCH_PAUSES_S:
        buffer = io.BytesIO()
        with suppress(FileError):
            client.fetch(verdict.files[0], buffer, max_bytes=IMAGE_BYTES_MAX)
            return buffer.getvalue()
        time.sleep(pause_s)
    raise CanaryDied("Its canary image could not be fetched whole.")


class _Superseded(Exception):
    """The node's health was changed by somebody else meanwhile."""
