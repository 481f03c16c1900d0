"""Headers in which a proxy speaks of the caller; from anybody else they are a claim, and dropped.

`X-Forwarded-Proto` makes a request count as HTTPS, `X-Forwarded-For` names its caller. Daphne
must run without `--proxy-headers`: it would believe them, and the left-most entry of all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from usage.addresses import is_from_trusted_proxy

_OTHER_NAMES = ("HTTP_FORWARDED", "HTTP_X_REAL_IP")


@sync_and_async_middleware
def forwarded_headers_middleware(get_response: Callable[[HttpRequest], Any]) -> Callable[..., Any]:
    """Drop forwarding headers unless the peer is in `PENCIL_TRUSTED_PROXIES`. Goes first."""
    if iscoroutinefunction(get_response):
        respond: Callable[[HttpRequest], Awaitable[HttpResponseBase]] = get_response

        async def answer_later(request: HttpRequest) -> HttpResponseBase:
            _drop_claims(request)
            return await respond(request)

        return answer_later

    def answer(request: HttpRequest) -> HttpResponseBase:
        _drop_claims(request)
        response: HttpResponseBase = get_response(request)
        return response

    return answer


def _drop_claims(request: HttpRequest) -> None:
    if is_from_trusted_proxy(request):
        return
    for name in list(request.META):
        if name.startswith("HTTP_X_FORWARDED_") or name in _OTHER_NAMES:
            del request.META[name]
