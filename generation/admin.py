"""Jobs, images and nodes in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from generation.models import GeneratedImage, Job, Node, NodeDuty
from generation.nodes import node_set_duty
from generation.services import jobs_cancel
from generation.states import ON_NODE


@admin.register(Node)
class NodeAdmin(ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """GPU hosts: add, disable, see what was last heard of them."""

    list_display = [
        "name",
        "url",
        "health",
        "duty",
        "depth",
        "version",
        "gpu",
        "problem",
        "probed_at",
    ]
    list_filter = ["health", "duty"]
    readonly_fields = [
        "is_from_environment",
        "health",
        "workflows",
        "version",
        "gpu",
        "memory_mb",
        "problem",
        "probed_at",
    ]

    actions = ["activate", "drain", "disable"]

    @admin.action(description="Let the selected nodes take jobs")
    def activate(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        """Give a node jobs again."""
        self._set_duty(request, queryset, NodeDuty.ACTIVE)

    @admin.action(description="Drain the selected nodes: finish what they have")
    def drain(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        """Give a node nothing new."""
        self._set_duty(request, queryset, NodeDuty.DRAINING)

    @admin.action(description="Disable the selected nodes: take their jobs back")
    def disable(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        """Give a node nothing new and take back, uncounted, what it has."""
        self._set_duty(request, queryset, NodeDuty.DISABLED)

    def _set_duty(self, request: HttpRequest, queryset: QuerySet[Node], duty: NodeDuty) -> None:
        nodes = list(queryset)
        for node in nodes:
            node_set_duty(node.pk, duty)
        messages.success(request, f"{len(nodes)} now {duty.value}.")

    def save_model(self, request: Any, obj: Node, form: Any, change: bool) -> None:  # noqa: ARG002, FBT001
        """Write what was changed alone: a probe may be writing the rest."""
        obj.save(update_fields=form.changed_data if change else None)

    def has_delete_permission(self, request: HttpRequest, obj: Node | None = None) -> bool:
        """Keep a node that holds jobs: they would have nobody to ask. Disable it first."""
        allowed = bool(super().has_delete_permission(request, obj))
        return allowed and (obj is None or not obj.jobs.filter(state__in=ON_NODE).exists())

    def formfield_for_dbfield(
        self, db_field: models.Field[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Read an address without a scheme as http: ComfyUI itself speaks no TLS."""
        if db_field.name == "url":
            kwargs["assume_scheme"] = "http"
        return super().formfield_for_dbfield(db_field, request, **kwargs)


@admin.register(Job)
class JobAdmin(ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Jobs, to look at and to cancel; only the services write them.

    Prompts and sketches are their owners' and are not shown.
    """

    list_display = [
        "id",
        "user",
        "state",
        "lane",
        "attempt",
        "node",
        "error_code",
        "created_at",
        "finished_at",
    ]
    list_select_related = ["user", "node"]
    list_filter = ["state", "lane", "node", "error_code"]
    search_fields = ["id", "batch__id", "user__email", "prompt_id"]
    date_hierarchy = "created_at"
    show_full_result_count = False
    exclude = ["params", "sketch"]
    actions = ["cancel"]

    @admin.action(description="Cancel the selected jobs")
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Cancel as the owner would: nothing is charged."""
        jobs = list(queryset)
        jobs_cancel(jobs)
        messages.success(request, f"{len(jobs)} asked to stop.")

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False


@admin.register(GeneratedImage)
class GeneratedImageAdmin(ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Which images there are; not what they show."""

    list_display = ["id", "job", "width", "height", "size_bytes", "created_at"]
    search_fields = ["id", "job__id"]
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False
