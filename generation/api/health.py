"""Whether the server is well: little for everybody, nodes and queue for staff."""

from __future__ import annotations

from django.db.models import Count
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from generation.models import Job, Node
from generation.states import ACTIVE


class HealthView(APIView):
    """Liveness, and more for staff."""

    permission_classes = (AllowAny,)

    @extend_schema(operation_id="health_get", responses={200: dict})
    def get(self, request: Request) -> Response:
        """Say that the server answers; tell staff what the nodes and the queue do."""
        if not getattr(request.user, "is_staff", False):
            return Response({"status": "ok"})
        counts = Job.objects.filter(state__in=ACTIVE).values_list("state").annotate(Count("id"))
        nodes = [
            {
                "name": node.name,
                "health": node.health,
                "duty": node.duty,
                "version": node.version,
                "gpu": node.gpu,
                "problem": node.problem,
                "probed_at": node.probed_at,
            }
            for node in Node.objects.order_by("name")
        ]
        return Response({"status": "ok", "nodes": nodes, "jobs": dict(counts)})
