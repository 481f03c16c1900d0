"""The caller's own account over HTTP, and for staff what all callers used together."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from usage.counts import STATS_DAYS, usage_stats
from usage.models import User
from usage.payloads import (
    CountPayload,
    UsagePayload,
    UsageStatsPayload,
    usage_payload,
    usage_stats_payload,
)
from usage.quota import usage_of


class UsageSerializer(serializers.Serializer[UsagePayload]):
    """What the caller has used; null where there is no limit."""

    used_today = serializers.IntegerField()
    total = serializers.IntegerField()
    limit = serializers.IntegerField(allow_null=True)
    remaining = serializers.IntegerField(allow_null=True)
    resets_at = serializers.DateTimeField()


class MeSerializer(serializers.Serializer[User]):
    """Who is calling."""

    email = serializers.EmailField()
    is_staff = serializers.BooleanField()


class CountSerializer(serializers.Serializer[CountPayload]):
    """Generations that were accepted, and from how many callers."""

    accepted = serializers.IntegerField()
    distinct_callers = serializers.IntegerField()


class DayCountSerializer(CountSerializer):
    """The counts of one UTC day."""

    day = serializers.DateField()


class UsageStatsSerializer(serializers.Serializer[UsageStatsPayload]):
    """What all callers used together; it names none of them."""

    today = CountSerializer()
    days = DayCountSerializer(many=True, help_text=f"{STATS_DAYS} days, today last.")
    total_accepted = serializers.IntegerField()


class UsageView(APIView):
    """The caller's own count."""

    @extend_schema(operation_id="usage_get", responses=UsageSerializer)
    def get(self, request: Request) -> Response:
        """Return today's and the total number of images."""
        return Response(usage_payload(usage_of(caller(request))))


class UsageStatsView(APIView):
    """What all callers used together.

    For staff: how busy the server is, and how many come to it, is its operator's business.
    """

    permission_classes = [IsAdminUser]

    @extend_schema(operation_id="usage_stats", responses=UsageStatsSerializer)
    def get(self, request: Request) -> Response:  # noqa: ARG002 - DRF's signature
        """Return the counts of today, of the last 30 days and of all; for staff alone."""
        return Response(usage_stats_payload(usage_stats()))


class MeView(APIView):
    """The caller."""

    @extend_schema(operation_id="me_get", responses=MeSerializer)
    def get(self, request: Request) -> Response:
        """Return the caller's address and rights."""
        user = caller(request)
        return Response({"email": user.email, "is_staff": user.is_staff})


def caller(request: Request) -> User:
    """The signed-in user of an authenticated request."""
    assert isinstance(request.user, User)
    return request.user
