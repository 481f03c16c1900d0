"""Nodes: which GPU hosts there are and what was last seen of them."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Now

from generation.models import Node, NodeHealth
from generation.states import ON_NODE


def nodes_sync(urls: Sequence[str]) -> None:
    """Make a row for each address of the environment; retire rows whose address has gone.

    A node that still holds jobs keeps its row, disabled, so that it can be asked about them.
    """
    with transaction.atomic():
        for url in urls:
            Node.objects.get_or_create(
                url=url, defaults={"name": _name(url), "is_from_environment": True}
            )
        gone = Node.objects.filter(is_from_environment=True).exclude(url__in=urls)
        gone.filter(is_enabled=True).update(is_enabled=False)
        idle = gone.annotate(held=_held()).filter(held=0).values_list("pk", flat=True)
        Node.objects.filter(pk__in=list(idle)).delete()


def nodes_usable() -> QuerySet[Node]:
    """Nodes that may take jobs, full or not."""
    bad = [NodeHealth.UNREACHABLE, NodeHealth.STUCK]
    return Node.objects.filter(is_enabled=True).exclude(health__in=bad)


def nodes_with_room() -> list[Node]:
    """Nodes that may take a job right now, the emptiest first, their rows locked.

    Call inside a transaction. The lock makes two claims see each other's jobs; it is held for one
    claim, a few milliseconds.
    """
    locked = {node.pk: node for node in nodes_usable().select_for_update().order_by("pk")}
    counts = Node.objects.filter(pk__in=locked).annotate(held=_held()).values_list("pk", "held")
    free = {pk: locked[pk].depth - held for pk, held in counts}
    return sorted(
        (node for node in locked.values() if free[node.pk] > 0), key=lambda n: -free[n.pk]
    )


def nodes_room() -> int:
    """How many jobs the nodes could take right now."""
    rows = nodes_usable().annotate(held=_held()).values_list("depth", "held")
    return sum(max(0, depth - held) for depth, held in rows)


def node_seen(node_id: int, *, version: str, gpu: str, queue_remaining: int) -> None:
    """Note that a node answers. A stuck one is well again only once its queue is empty."""
    row = Node.objects.filter(pk=node_id)
    if queue_remaining:
        row = row.exclude(health=NodeHealth.STUCK)
    row.update(
        health=NodeHealth.HEALTHY, version=version[:40], gpu=gpu[:120], problem="", probed_at=Now()
    )


def node_lost(node_id: int, *, problem: str) -> None:
    """Note that a node does not answer; it gets no jobs until a probe succeeds."""
    Node.objects.filter(pk=node_id).update(
        health=NodeHealth.UNREACHABLE, problem=problem[:300], probed_at=Now()
    )


def node_stuck(node_id: int, *, problem: str) -> None:
    """Note that a node answers while its prompts do not move; it gets no jobs until it is empty."""
    Node.objects.filter(pk=node_id).update(
        health=NodeHealth.STUCK, problem=problem[:300], probed_at=Now()
    )


def _held() -> Count:
    return Count("jobs", filter=Q(jobs__state__in=ON_NODE))


def _name(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
