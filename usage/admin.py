"""People and quota in the admin."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from usage.models import LedgerEntry, Plan, QuotaDay, User


@admin.register(User)
class UserAdmin(ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Who may sign in, who is staff, who has a limit of their own."""

    list_display = ["email", "is_active", "is_staff", "daily_limit", "date_joined", "last_login"]
    list_filter = ["is_active", "is_staff"]
    search_fields = ["email"]
    ordering = ["-date_joined"]
    fields = [
        "email",
        "is_active",
        "is_staff",
        "is_superuser",
        "groups",
        "plan",
        "daily_limit",
        "date_joined",
        "last_login",
    ]
    readonly_fields = ["date_joined", "last_login"]
    filter_horizontal = ["groups"]

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        """People sign up, or `createsuperuser` makes them; here they would have no password."""
        return False


@admin.register(Plan)
class PlanAdmin(ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """What groups of users may have."""

    list_display = ["name", "weight", "daily_limit", "in_flight_limit", "queue_limit"]


class _ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Rows that only the services may write."""

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:  # noqa: ARG002
        return False


@admin.register(QuotaDay)
class QuotaDayAdmin(_ReadOnlyAdmin):
    """Counts a day."""

    list_display = ["user", "day", "used"]
    list_select_related = ["user"]
    search_fields = ["user__email"]
    date_hierarchy = "day"


@admin.register(LedgerEntry)
class LedgerEntryAdmin(_ReadOnlyAdmin):
    """Why the counts are what they are."""

    list_display = ["created_at", "user", "kind", "amount", "job_id", "day"]
    list_select_related = ["user"]
    list_filter = ["kind"]
    search_fields = ["user__email", "job_id"]
    show_full_result_count = False
