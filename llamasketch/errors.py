"""Errors over HTTP: every refusal as `{"code", "message", "extra"}` with its status."""

from __future__ import annotations

from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404, HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions as drf
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler
from rest_framework.views import set_rollback

from usage.exceptions import DomainError

log = structlog.get_logger(__name__)

STATUS = {
    "invalid": 400,
    "not_found": 404,
    "idempotency_key_reused": 409,
    "not_retryable": 409,
    "body_too_large": 413,
    "quota_exhausted": 429,
    "too_many_waiting": 429,
    "storage_full": 503,
    "busy": 503,
}


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn a refusal into its answer; DRF calls this for whatever a view raises."""
    if isinstance(error, DomainError):
        set_rollback()
        retry_after_s = getattr(error, "retry_after_s", None)
        return Response(
            {"code": error.code, "message": error.message, "extra": error.extra},
            status=STATUS[error.code],
            headers={"Retry-After": str(retry_after_s)} if retry_after_s else None,
        )
    if isinstance(error, RequestDataTooBig):
        sentence = "The request is too long. Send a smaller image."
        return Response(_answer("body_too_large", sentence), status=STATUS["body_too_large"])
    response = drf_exception_handler(error, context)
    if response is not None:
        response.data = _body(error)
    return response


def _body(error: Exception) -> dict[str, Any]:
    if isinstance(error, drf.ValidationError):
        fields = _fields(error.detail)
        name, messages = next(iter(fields.items()))
        return _answer("invalid", f"{name}: {messages[0]}", {"fields": fields})
    if isinstance(error, drf.ParseError):
        sentence = "The request is not valid JSON. Send a JSON object in UTF-8."
        return _answer("invalid", f"body: {sentence}", {"fields": {"body": [sentence]}})
    if isinstance(error, Http404 | drf.NotFound):
        return _answer("not_found", "There is nothing here.")
    if isinstance(error, PermissionDenied | drf.PermissionDenied):
        return _answer("permission_denied", "This account may not do that.")
    if isinstance(error, drf.NotAuthenticated):
        return _answer("not_authenticated", "Sign in, or send a token: Authorization: Bearer …")
    if isinstance(error, drf.AuthenticationFailed):
        return _answer("not_authenticated", "This token is not (or no longer) valid.")
    if isinstance(error, drf.UnsupportedMediaType):
        return _answer("unsupported_media_type", "Send JSON, with Content-Type: application/json.")
    assert isinstance(error, drf.APIException)
    codes = error.get_codes()
    return _answer(codes if isinstance(codes, str) else "error", str(error.detail))


def _answer(code: str, message: str, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"code": code, "message": _sendable(message), "extra": extra or {}}


def _sendable(text: str) -> str:
    """Text that can be written as UTF-8: a caller's own words may hold half a character."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _fields(detail: Any) -> dict[str, list[str]]:
    if not isinstance(detail, dict):
        return {
            "body": [str(part) for part in detail] if isinstance(detail, list) else [str(detail)]
        }
    fields = {}
    for name, messages in detail.items():
        key = "body" if name == "non_field_errors" else _sendable(str(name))
        fields[key] = _sentences(messages)
    return fields


def _sentences(messages: Any) -> list[str]:
    if isinstance(messages, dict):
        return [sentence for nested in messages.values() for sentence in _sentences(nested)]
    if isinstance(messages, list):
        return [sentence for nested in messages for sentence in _sentences(nested)]
    return [_sendable(str(messages))]


@csrf_exempt
def api_not_found(request: HttpRequest, path: str = "") -> JsonResponse:  # noqa: ARG001
    """Answer an address under /api/ that is none."""
    return JsonResponse(_answer("not_found", "There is nothing here."), status=404)
