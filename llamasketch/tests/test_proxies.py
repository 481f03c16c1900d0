"""Whose forwarding headers are read."""

from __future__ import annotations

import asyncio
import dataclasses
from ipaddress import ip_network

import pytest
from django.conf import settings as django_settings
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from pytest_django import Settings

from llamasketch.proxies import forwarded_headers_middleware

PROXY, STRANGER = "10.0.0.1", "198.51.100.9"
CLAIMS = {
    "HTTP_X_FORWARDED_FOR": "203.0.113.77",
    "HTTP_X_FORWARDED_PROTO": "https",
    "HTTP_X_FORWARDED_HOST": "elsewhere.example",
    "HTTP_X_FORWARDED_ANYTHING": "else",
    "HTTP_FORWARDED": "for=203.0.113.77;proto=https",
    "HTTP_X_REAL_IP": "203.0.113.77",
}


@pytest.fixture(autouse=True)
def _one_proxy(settings: Settings) -> None:
    """A trusted proxy, and HTTPS by its word as in production."""
    settings.PENCIL = dataclasses.replace(settings.PENCIL, trusted_proxies=(ip_network(PROXY),))
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")


def seen(peer: str, *, is_async: bool) -> HttpRequest:
    """The request as the rest of the program gets it."""
    requests: list[HttpRequest] = []

    def answer(request: HttpRequest) -> HttpResponse:
        requests.append(request)
        return HttpResponse()

    async def answer_later(request: HttpRequest) -> HttpResponse:
        return answer(request)

    request = RequestFactory().get("/", REMOTE_ADDR=peer, HTTP_USER_AGENT="a browser")
    request.META.update(CLAIMS)
    if is_async:
        asyncio.run(forwarded_headers_middleware(answer_later)(request))
    else:
        forwarded_headers_middleware(answer)(request)
    return requests[0]


@pytest.mark.parametrize("is_async", [False, True], ids=["threads", "event loop"])
@pytest.mark.parametrize("peer", [STRANGER, "127.0.0.1", ""], ids=["far", "near", "unknown"])
def test_claims_of_who_is_no_trusted_proxy_are_dropped(peer: str, *, is_async: bool) -> None:
    request = seen(peer, is_async=is_async)

    assert not CLAIMS.keys() & request.META.keys()
    assert not request.is_secure()
    assert request.headers["User-Agent"] == "a browser"
    assert "X-Forwarded-For" not in request.headers


@pytest.mark.parametrize("is_async", [False, True], ids=["threads", "event loop"])
def test_a_trusted_proxys_word_stays(*, is_async: bool) -> None:
    request = seen(PROXY, is_async=is_async)

    assert request.META.items() >= CLAIMS.items()
    assert request.is_secure()


def test_claims_are_dropped_before_anything_reads_them() -> None:
    assert django_settings.MIDDLEWARE[0] == "llamasketch.proxies.forwarded_headers_middleware"
