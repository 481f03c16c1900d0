"""Errors over HTTP: every code has its status, and every answer its shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404
from rest_framework import exceptions as drf

import generation.exceptions
from generation.exceptions import BodyTooLarge, InvalidInput, NotFound
from llamasketch.errors import STATUS, exception_handler
from usage.exceptions import DomainError, QuotaExhausted

assert generation.exceptions  # its classes are subclasses to be found


def leaves(root: type[DomainError]) -> Iterator[type[DomainError]]:
    """The refusals that are raised: those that nothing is derived from."""
    if not root.__subclasses__():
        yield root
    for child in root.__subclasses__():
        yield from leaves(child)


REFUSALS = list(leaves(DomainError))


@pytest.mark.parametrize("refusal", REFUSALS, ids=[refusal.__name__ for refusal in REFUSALS])
def test_every_refusal_has_a_status(refusal: type[DomainError]) -> None:
    assert 400 <= STATUS[refusal.code] < 600


@pytest.mark.parametrize("code", STATUS)
def test_every_status_has_a_refusal(code: str) -> None:
    assert code in {refusal.code for refusal in REFUSALS}


def test_every_refusal_has_a_code_of_its_own() -> None:
    codes = [refusal.code for refusal in REFUSALS]

    assert len(codes) == len(set(codes))
    assert "error" not in codes


def answer_to(error: Exception) -> Any:
    """What a caller gets for an exception of a view."""
    response = exception_handler(error, {})
    assert response is not None
    return response


FOREIGN: dict[str, tuple[Exception, int, str]] = {
    "not signed in": (drf.NotAuthenticated(), 401, "not_authenticated"),
    "a bad token": (drf.AuthenticationFailed(), 401, "not_authenticated"),
    "forbidden": (drf.PermissionDenied(), 403, "permission_denied"),
    "forbidden by Django": (PermissionDenied(), 403, "permission_denied"),
    "not found": (drf.NotFound(), 404, "not_found"),
    "not found by Django": (Http404(), 404, "not_found"),
    "a method": (drf.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
    "not JSON": (drf.ParseError(), 400, "invalid"),
    "a media type": (drf.UnsupportedMediaType("text/plain"), 415, "unsupported_media_type"),
    "a field": (drf.ValidationError({"steps": ["Too many."]}), 400, "invalid"),
    "a list": (drf.ValidationError(["Wrong."]), 400, "invalid"),
    "a nested field": (drf.ValidationError({"ids": {"0": ["Wrong."]}}), 400, "invalid"),
    "too many bytes": (RequestDataTooBig(), 413, "body_too_large"),
}


@pytest.mark.parametrize(("error", "status", "code"), FOREIGN.values(), ids=FOREIGN)
def test_what_others_raise_has_our_shape(error: Exception, status: int, code: str) -> None:
    response = answer_to(error)

    assert (response.status_code, response.data["code"]) == (status, code)
    assert set(response.data) == {"code", "message", "extra"}
    assert response.data["message"]


@pytest.mark.parametrize(
    ("detail", "fields", "message"),
    [
        ({"steps": ["Too many."]}, {"steps": ["Too many."]}, "steps: Too many."),
        ({"ids": {1: ["Not one."]}}, {"ids": ["Not one."]}, "ids: Not one."),
        ({"non_field_errors": ["No."]}, {"body": ["No."]}, "body: No."),
        (["No."], {"body": ["No."]}, "body: No."),
        ({"a": ["One.", "Two."], "b": ["C."]}, {"a": ["One.", "Two."], "b": ["C."]}, "a: One."),
    ],
)
def test_the_message_names_the_first_field(
    detail: Any, fields: dict[str, list[str]], message: str
) -> None:
    response = answer_to(drf.ValidationError(detail))

    assert response.data["extra"] == {"fields": fields}
    assert response.data["message"] == message


def test_a_refusal_keeps_its_message_and_values() -> None:
    response = answer_to(QuotaExhausted(limit=5, remaining=1, retry_after_s=60))

    assert response.status_code == 429
    assert response.headers["Retry-After"] == "60"
    assert response.data["extra"] == {"limit": 5, "remaining": 1}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidInput({"sketch": ["No."]}), 400),
        (NotFound("job"), 404),
        (BodyTooLarge(limit_bytes=2**20, field="sketch"), 413),
        (BodyTooLarge(limit_bytes=2**20, field=None), 413),
    ],
    ids=["invalid", "not found", "too large", "too large, nowhere"],
)
def test_what_needs_no_waiting_says_nothing_of_it(error: DomainError, status: int) -> None:
    response = answer_to(error)

    assert response.status_code == status
    assert "Retry-After" not in response.headers


def test_what_is_no_refusal_is_a_fault_of_ours() -> None:
    assert exception_handler(RuntimeError("a bug"), {}) is None
