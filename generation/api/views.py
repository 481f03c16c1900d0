"""Jobs over HTTP. A view parses, authorises, calls one service or selector, and serialises."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from generation.api.serializers import (
    ApiErrorSerializer,
    BatchSerializer,
    CancelSerializer,
    GenerateSerializer,
    JobPageSerializer,
    JobSerializer,
    JobsSerializer,
    submission_read,
)
from generation.api.turns import turn
from generation.exceptions import BodyTooLarge, InvalidInput
from generation.keys import Idempotency
from generation.selectors import (
    batch_jobs,
    job_describe,
    job_get,
    job_list,
    jobs_active,
    jobs_by_id,
    jobs_describe,
)
from generation.services import body_digest, job_retry, job_submit, jobs_cancel
from usage.api.views import caller
from usage.counts import caller_hash

IDEMPOTENCY_KEY_CHARS_MAX = 200
_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="Your name for this request: sent again with the same body, it gets its answer.",
)
_REFUSALS = dict.fromkeys((400, 401, 409, 413, 429, 503), ApiErrorSerializer)


class GenerateView(APIView):
    """Where sketches come in."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Take a turn before anything is computed, or read from the database."""
        with turn():
            return super().dispatch(request, *args, **kwargs)

    @extend_schema(
        operation_id="generate",
        request=GenerateSerializer,
        responses={202: BatchSerializer, **_REFUSALS},
        parameters=[_KEY],
    )
    def post(self, request: Request) -> Response:
        """Accept a sketch and answer with the jobs that it became."""
        user = caller(request)
        body = json_body(request, large_field="sketch")
        answer = job_submit(
            user,
            submission_read(body),
            idempotency=_idempotency(request, body),
            caller_hash=caller_hash(request),
        )
        return Response(answer, status=202)


class JobListView(APIView):
    """The caller's jobs."""

    @extend_schema(
        operation_id="job_list",
        responses={200: JobPageSerializer, 400: ApiErrorSerializer},
        parameters=[OpenApiParameter("state", str), OpenApiParameter("cursor", str)],
    )
    def get(self, request: Request) -> Response:
        """Return a page, newest first; `state` may be a state, `active` or `finished`."""
        page = job_list(
            caller(request),
            state=request.query_params.get("state", ""),
            cursor=request.query_params.get("cursor", ""),
        )
        return Response({"next": page.next, "jobs": page.jobs})


class JobView(APIView):
    """One of the caller's jobs."""

    @extend_schema(operation_id="job_get", responses={200: JobSerializer, 404: ApiErrorSerializer})
    def get(self, request: Request, job_id: UUID) -> Response:
        """Return the job as it is right now."""
        return Response(job_describe(job_get(caller(request), job_id)))


class JobCancelView(APIView):
    """Stops one job."""

    @extend_schema(
        operation_id="job_cancel",
        request=None,
        responses={200: JobSerializer, 404: ApiErrorSerializer},
    )
    def post(self, request: Request, job_id: UUID) -> Response:
        """Cancel the job, if it has not ended; answer with the job."""
        user = caller(request)
        jobs_cancel([job_get(user, job_id)])
        return Response(job_describe(job_get(user, job_id)))


class JobRetryView(APIView):
    """Tries a job again."""

    @extend_schema(
        operation_id="job_retry",
        request=None,
        responses={202: JobSerializer, **_REFUSALS},
        parameters=[_KEY],
    )
    def post(self, request: Request, job_id: UUID) -> Response:
        """Queue a new job with the sketch and parameters of one that failed or was cancelled."""
        user = caller(request)
        idempotency = _idempotency(request, {"retry": str(job_id)})
        answer = job_retry(
            user,
            job_get(user, job_id),
            idempotency=idempotency,
            caller_hash=caller_hash(request),
        )
        return Response(answer["jobs"][0], status=202)


class JobsCancelView(APIView):
    """Stops several jobs."""

    @extend_schema(
        operation_id="jobs_cancel",
        request=CancelSerializer,
        responses={200: JobsSerializer, 400: ApiErrorSerializer},
    )
    def post(self, request: Request) -> Response:
        """Cancel all that are active, those of a batch, or those that are named."""
        user = caller(request)
        form = CancelSerializer(data=json_body(request))
        form.is_valid(raise_exception=True)
        wanted = form.validated_data
        if "batch_id" in wanted:
            jobs = batch_jobs(user, wanted["batch_id"])
        elif "ids" in wanted:
            jobs = jobs_by_id(user, wanted["ids"])
        else:
            jobs = jobs_active(user)
        jobs_cancel(jobs)
        return Response({"jobs": jobs_describe(jobs_by_id(user, [job.id for job in jobs]))})


def json_body(request: Request, *, large_field: str | None = None) -> dict[str, Any]:
    """The request's JSON object; an empty body is an empty object.

    Raises:
        BodyTooLarge: longer than the server takes, announced or not; names `large_field`.
        InvalidInput: JSON, but not an object.
    """
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    announced = request.META.get("CONTENT_LENGTH") or ""
    if announced.isdigit() and int(announced) > limit:
        raise BodyTooLarge(limit_bytes=limit, field=large_field)
    if not announced:
        # A chunked body announces no length, and DRF takes no length for no body.
        http = request._request
        http._body = http.read(limit + 1)
        if len(http.body) > limit:
            raise BodyTooLarge(limit_bytes=limit, field=large_field)
        request.META["CONTENT_LENGTH"] = str(len(http.body))
    body = request.data
    if not isinstance(body, dict):
        raise InvalidInput({"body": ['Send a JSON object, such as {"sketch": …, "prompt": …}.']})
    return dict(body)


def _idempotency(request: Request, body: object) -> Idempotency | None:
    key = request.headers.get("Idempotency-Key", "").strip()
    if len(key) > IDEMPOTENCY_KEY_CHARS_MAX or not key.isprintable():
        sentence = f"Give at most {IDEMPOTENCY_KEY_CHARS_MAX} printable characters."
        raise InvalidInput({"Idempotency-Key": [sentence]})
    return Idempotency(key, body_digest(body)) if key else None
