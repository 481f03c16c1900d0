"""Nodes: which GPU hosts there are, what is known of them, and who may take a job.

Health goes one way round: whoever was not healthy a moment ago (new, back from silence, stuck, or
quarantined) makes a canary image first, for rented GPUs are sometimes broken in ways that only the
pixels show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.core.cache import cache
from django.db import connection, transaction
from django.db.models import Count, F, Q, QuerySet
from django.db.models.functions import Now

from generation.events import node_publish
from generation.models import Node, NodeDuty, NodeHealth
from generation.params import ENLARGING, JobParams
from generation.states import ON_NODE
from usage.statements import Select

log = structlog.get_logger(__name__)

FAILURES_MAX = 3  # a job that fails everywhere spoils one attempt a node, and no node
BLANK_IMAGES_MAX = 2  # one may be the picture; two in a row are the GPU
CANARY_LIFE = timedelta(seconds=15)  # renewed by its maker; then another may make one
LARGE_MEMORY_MB = 40_000  # of a card that holds four decodes of a megapixel beside the weights
# Pixels of all variations of a prompt together: chosen so that 24 GB are enough for the smaller.
SMALL_PIXELS, LARGE_PIXELS = 4 * 512 * 688, 4 * 1024 * 1024
OFFERED_KEPT_S = 5.0
CANARY_AGAIN = timedelta(seconds=60)  # chosen: a broken GPU is not asked all the time


def nodes_sync(urls: Sequence[str]) -> None:
    """Make a row for each address of the environment; retire rows whose address has gone.

    A node that still holds jobs keeps its row until its jobs are given back.
    """
    with transaction.atomic():
        for url in urls:
            taken = Node.objects.exclude(url=url).filter(name=_name(url)).exists()
            name = url[:80] if taken else _name(url)
            Node.objects.get_or_create(
                url=url, defaults={"name": name, "is_from_environment": True}
            )
        named = Node.objects.filter(is_from_environment=True)
        back = named.filter(url__in=urls, duty=NodeDuty.RETIRED)
        back.update(duty=NodeDuty.ACTIVE, health=NodeHealth.UNKNOWN)
        gone = named.exclude(url__in=urls)
        gone.update(duty=NodeDuty.RETIRED)
        idle = gone.annotate(held=_held()).filter(held=0).values_list("pk", flat=True)
        Node.objects.filter(pk__in=list(idle)).delete()


def nodes_usable() -> QuerySet[Node]:
    """Nodes that may take jobs, full or not."""
    return Node.objects.filter(duty=NodeDuty.ACTIVE, health=NodeHealth.HEALTHY)


def _locked() -> QuerySet[Node]:
    # Not a lock on the key: a transaction that refers to a node by foreign key must not wait for
    # this one, which may be waiting for it.
    rows = nodes_usable().select_for_update(no_key=connection.features.has_select_for_no_key_update)
    return rows.order_by("pk")


_LOCKED = Select(_locked)
_OFFERED = Select(lambda: nodes_usable().values_list("workflows"))


def nodes_lock() -> list[Node]:
    """The nodes that may take jobs, full or not, their rows locked.

    Call inside a transaction, and ask what they hold after it. The lock makes two claims see each
    other's jobs; it is held for one claim, a few milliseconds.
    """
    return _LOCKED.objects()


def nodes_with_room(nodes: Sequence[Node], held: Mapping[int, int]) -> list[Node]:
    """Those of the nodes that may take a prompt, the emptiest first; `held` counts prompts."""
    free = {node.pk: node.depth - held.get(node.pk, 0) for node in nodes}
    with_room = (node for node in nodes if free[node.pk] > 0)
    return sorted(with_room, key=lambda node: (-free[node.pk], node.pk))


def nodes_room() -> int:
    """How many prompts the nodes could take right now."""
    rows = nodes_usable().annotate(held=_held()).values_list("depth", "held")
    return sum(max(0, depth - held) for depth, held in rows)


def node_set_duty(node_id: int, duty: NodeDuty) -> None:
    """Do what the operator wants of a node. One that was disabled proves itself anew."""
    rows = Node.objects.exclude(duty=duty)
    fields: dict[str, Any] = {"duty": duty}
    if duty == NodeDuty.ACTIVE and Node.objects.filter(pk=node_id, duty=NodeDuty.DISABLED).exists():
        fields["health"] = NodeHealth.UNKNOWN
    _set(node_id, rows, **fields)


def node_seen(node_id: int, *, version: str, gpu: str, memory_mb: int | None) -> None:
    """Note that a node answers, and what it is."""
    Node.objects.filter(pk=node_id).update(
        version=_line(version, 40), gpu=_line(gpu, 120), memory_mb=memory_mb, probed_at=Now()
    )


def images_fit(node: Node, params: JobParams) -> int:
    """How many variations the node can make in one prompt, at least 1.

    What grows with each is the VAE's decode: some 2.5 GB for a megapixel, beside 16 GB of weights.
    """
    if params.mode in ENLARGING:
        return 1
    pixels = LARGE_PIXELS if (node.memory_mb or 0) >= LARGE_MEMORY_MB else SMALL_PIXELS
    return max(1, min(node.images_per_prompt, pixels // (params.width * params.height)))


def workflows_offered() -> frozenset[str] | None:
    """The kinds of image that usable nodes can make; None while there is no such node."""
    found = _OFFERED.rows()
    return frozenset(name for (names,) in found for name in names) if found else None


def is_offered(workflow: str) -> bool:
    """Whether a usable node can make this kind of image; while there is none at all, it may come.

    What was offered a moment ago still is: that changes seldom, and each submission asks.
    """
    key = f"offered/{workflow}"
    if cache.get(key):
        return True
    offered = workflows_offered()
    if offered is None:
        return True
    if workflow in offered:
        cache.set(key, "yes", OFFERED_KEPT_S)
    return workflow in offered


def node_prove(node_id: int, *, is_idle: bool) -> bool:
    """Begin the canary of a node that answers and is not healthy; True for the one who makes it.

    A stuck node is given time until its queue is empty, a quarantined one until its canary is due,
    and a canary that somebody makes until it must have died with its maker.
    """
    due = Q(canary_due_at__isnull=True) | Q(canary_due_at__lte=Now())
    waits = Q(health__in=[NodeHealth.UNKNOWN, NodeHealth.UNREACHABLE])
    if is_idle:
        waits |= Q(health=NodeHealth.STUCK)
    waits |= Q(health__in=[NodeHealth.QUARANTINED, NodeHealth.PROVING]) & due
    return _set(
        node_id,
        Node.objects.filter(waits),
        health=NodeHealth.PROVING,
        canary_due_at=Now() + CANARY_LIFE,
    )


def node_proving(node_id: int) -> bool:
    """Go on with a canary; False when the node is not being proved any more."""
    rows = Node.objects.filter(pk=node_id, health=NodeHealth.PROVING)
    return bool(rows.update(canary_due_at=Now() + CANARY_LIFE))


def node_proved(node_id: int, *, workflows: Sequence[str], abilities: dict[str, Any]) -> None:
    """Admit a node whose canary was good, with what it can make."""
    _set(
        node_id,
        Node.objects.filter(health=NodeHealth.PROVING),
        health=NodeHealth.HEALTHY,
        workflows=list(workflows),
        abilities=abilities,
        problem="",
        blank_images=0,
        failures=0,
        canary_due_at=None,
    )


def node_lost(node_id: int, *, problem: str) -> None:
    """Note that a node does not answer."""
    # A stuck one stays stuck: it is well again once its queue is empty, not after a hiccup.
    rows = Node.objects.exclude(health__in=[NodeHealth.UNREACHABLE, NodeHealth.STUCK])
    Node.objects.filter(pk=node_id).update(probed_at=Now())
    _set(node_id, rows, health=NodeHealth.UNREACHABLE, problem=problem, canary_due_at=None)


def node_stuck(node_id: int, *, problem: str) -> None:
    """Note that a node answers while its prompts do not move."""
    rows = Node.objects.exclude(health=NodeHealth.STUCK)
    _set(node_id, rows, health=NodeHealth.STUCK, problem=problem, canary_due_at=None)


def node_quarantine(node_id: int, *, problem: str) -> None:
    """Give a node no jobs until its next canary, a minute from now, is good."""
    _set(
        node_id,
        Node.objects.exclude(health=NodeHealth.UNREACHABLE),
        health=NodeHealth.QUARANTINED,
        problem=problem,
        canary_due_at=Now() + CANARY_AGAIN,
    )


def node_made_image(node_id: int) -> None:
    """Note a good image: what went wrong before it was no row."""
    counted = Node.objects.filter(Q(blank_images__gt=0) | Q(failures__gt=0), pk=node_id)
    counted.update(blank_images=0, failures=0)


def node_made_blank(node_id: int) -> None:
    """Count a blank image, and quarantine the node at the second in a row."""
    Node.objects.filter(pk=node_id).update(blank_images=F("blank_images") + 1)
    if Node.objects.filter(pk=node_id, blank_images__gte=BLANK_IMAGES_MAX).exists():
        node_quarantine(node_id, problem=f"{BLANK_IMAGES_MAX} blank images in a row")


def node_failed(node_id: int, *, problem: str) -> None:
    """Count an attempt that the node spoiled, and quarantine the node at the third in a row."""
    Node.objects.filter(pk=node_id).update(failures=F("failures") + 1)
    if Node.objects.filter(pk=node_id, failures__gte=FAILURES_MAX).exists():
        node_quarantine(node_id, problem=f"{FAILURES_MAX} failures in a row: {problem}")


def _set(node_id: int, rows: QuerySet[Node], **fields: Any) -> bool:
    """Change a node's health if its row is one of `rows`; tell staff."""
    if "problem" in fields:
        fields["problem"] = _line(fields["problem"], 300)
    with transaction.atomic():
        if not rows.filter(pk=node_id).update(**fields):
            return False
        node = Node.objects.get(pk=node_id)
        log.info("node changed", node=node.name, health=node.health, problem=node.problem)
        transaction.on_commit(lambda: node_publish(node))
    return True


def _held() -> Count:
    """Prompts, not jobs: variations that were claimed together are one."""
    return Count("jobs__prompt_id", filter=Q(jobs__state__in=ON_NODE), distinct=True)


def _name(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"[:80]


def _line(text: str, length: int) -> str:
    """What a node said, as text that every database and socket takes."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return printable.encode("utf-8", "replace").decode("utf-8")[:length]
