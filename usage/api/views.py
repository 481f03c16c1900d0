"""The caller's own account over HTTP."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from usage.models import User
from usage.payloads import UsagePayload, usage_payload
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


class UsageView(APIView):
    """The caller's own count."""

    @extend_schema(operation_id="usage_get", responses=UsageSerializer)
    def get(self, request: Request) -> Response:
        """Return today's and the total number of images."""
        return Response(usage_payload(usage_of(caller(request))))


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
