"""`manage.py nodes_sync`: rows for the nodes of the environment, and what they say and can."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from generation.models import Node
from workers.canary import node_canary
from workers.health import nodes_probe


class Command(BaseCommand):
    """Makes the nodes of PENCIL_COMFYUI_URL known and asks each how it is."""

    help = "Make the nodes of PENCIL_COMFYUI_URL known, ask each how it is, and print it."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Print one line a node."""
        for node_id in nodes_probe():
            node_canary(node_id)
        for node in Node.objects.order_by("name"):
            self.stdout.write(f"{node.name}\t{node.url}\t{node.health}\t{node.problem}")
