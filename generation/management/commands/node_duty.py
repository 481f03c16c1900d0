"""`manage.py node_duty`: say what a node is to do."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from generation.models import Node, NodeDuty
from generation.nodes import node_set_duty
from generation.publisher import publisher_flush
from generation.states import ON_NODE

DUTIES = (NodeDuty.ACTIVE, NodeDuty.DRAINING, NodeDuty.DISABLED)


class Command(BaseCommand):
    """Sets a node's duty."""

    help = "Let a node take jobs, let it finish what it has, or take its jobs back."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name the node and its duty."""
        parser.add_argument("name", help="as `manage.py queue` shows it")
        parser.add_argument("duty", choices=[duty.value for duty in DUTIES])

    def handle(self, *_args: Any, **options: Any) -> None:
        """Set it, and say what the node holds."""
        node = Node.objects.filter(name=options["name"]).first()
        if node is None:
            names = ", ".join(Node.objects.order_by("name").values_list("name", flat=True))
            raise CommandError(f"There is no node {options['name']}. There are: {names or 'none'}.")
        if node.duty == NodeDuty.RETIRED:
            raise CommandError(
                f"{node.name} is retired: its address has gone from PENCIL_COMFYUI_URL. "
                "Name it there again first."
            )
        duty = NodeDuty(options["duty"])
        node_set_duty(node.pk, duty)
        publisher_flush()
        node.refresh_from_db()
        held = node.jobs.filter(state__in=ON_NODE).count()
        self.stdout.write(
            f"{node.name}: {node.duty} ({NodeDuty(node.duty).label}); {node.health}; holds {held}."
        )
