"""The handler of HTTP requests: all middlewares and the view in one thread, one after the other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, reset_queries
from django.http import HttpRequest, HttpResponseBase

_AT_BEGIN = (reset_queries, close_old_connections)
# Chosen: more than there are database connections; a request that finds none of them waits.
THREADS = 64


class SyncHandler(ASGIHandler):
    """Django's own, which runs what is synchronous in one go.

    All our views are synchronous. Django would take the middlewares that can be asynchronous as
    such, and each of these goes to the request's thread and back for every method that it has. So
    would what Django does at the beginning of each request, which this takes over for its process.

    The threads stay, for Django would make one for each request, and with it anew all that a thread
    has of the databases. So its connection goes back in that thread, before the answer is sent. And
    it would make another for what comes after the answer, and a third to end that one.
    """

    def __init__(self) -> None:
        super().__init__()
        for receiver in _AT_BEGIN:
            request_started.disconnect(receiver)
        request_finished.disconnect(close_old_connections)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="request")
        # Reads files that are sent, and closes what a request has opened: a moment each.
        self._after = ThreadPoolExecutor(1, thread_name_prefix="after-request")

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request; one thread does for all what follows their answers.

        Not `__call__`: Sentry wraps that, and keeps one request's data from the next by it.
        """
        async with ThreadSensitiveContext(executor=self._after):
            await super().handle(scope, receive, send)

    def load_middleware(self, is_async: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        """Build the chain for synchronous calls; `is_async` is Django's and says otherwise."""
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """Answer in the request's thread."""
        respond: Any = sync_to_async(self._respond, thread_sensitive=False, executor=self._threads)
        response: HttpResponseBase = await respond(request)
        return response

    def _respond(self, request: HttpRequest) -> HttpResponseBase:
        for receiver in _AT_BEGIN:
            receiver()
        try:
            return self.get_response(request)
        finally:
            close_old_connections()
