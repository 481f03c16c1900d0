"""The handler of HTTP requests: all middlewares and the view in one thread, one after the other."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponseBase


class SyncHandler(ASGIHandler):
    """Django's own, which runs what is synchronous in one go.

    All our views are synchronous. Django would take the middlewares that can be asynchronous as
    such, and each of these goes to the request's thread and back for every method that it has.
    """

    def load_middleware(self, is_async: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        """Build the chain for synchronous calls; `is_async` is Django's and says otherwise."""
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """Answer in the request's thread."""
        respond: Any = sync_to_async(self.get_response, thread_sensitive=True)
        response: HttpResponseBase = await respond(request)
        return response
