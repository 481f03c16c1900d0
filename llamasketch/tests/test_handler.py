"""How a request passes through the process."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from asgiref.testing import ApplicationCommunicator
from django.core.handlers.asgi import ASGIHandler
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path

from llamasketch.handler import SyncHandler

SCOPE = {
    "type": "http",
    "http_version": "1.1",
    "method": "GET",
    "path": "/plain",
    "query_string": b"",
    "headers": [(b"host", b"127.0.0.1")],
    "client": ["127.0.0.1", 1],
    "server": ["127.0.0.1", 80],
}


both_are_here = threading.Barrier(2)


def plain(request: HttpRequest) -> HttpResponse:
    """Answer."""
    return HttpResponse("plain")


def meeting(request: HttpRequest) -> HttpResponse:
    """Answer once two requests are in this view."""
    both_are_here.wait(timeout=10)
    return HttpResponse("met")


def thread(request: HttpRequest) -> HttpResponse:
    """Say which thread this is and whether it has a connection; then take one."""
    had_one = connection.connection is not None
    connection.ensure_connection()
    return HttpResponse(f"{threading.current_thread().name} {had_one}")


def broken(request: HttpRequest) -> HttpResponse:
    """Fail."""
    raise RuntimeError("a view that fails")


urlpatterns = [
    path("plain", plain),
    path("meeting", meeting),
    path("broken", broken),
    path("thread", thread),
]

# The signals of the request's begin and of its end close connections: the tests' own one, too.
pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db(transaction=True)]


async def answer_of(handler: ASGIHandler, path: str) -> tuple[int, str]:
    """Status and body of one request."""
    make: Any = ApplicationCommunicator  # it has no types
    communicator = make(handler, {**SCOPE, "path": path})
    await communicator.send_input({"type": "http.request", "body": b""})
    start = await communicator.receive_output(timeout=10)
    body = await communicator.receive_output(timeout=10)
    await communicator.wait(timeout=10)
    return start["status"], body["body"].decode()


def test_a_request_goes_to_its_thread_once_for_all_middlewares_and_the_view(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handed: list[object] = []
    hand = SyncToAsync.__call__

    async def hand_counted(self: SyncToAsync[Any, Any], *arguments: Any, **named: Any) -> Any:
        handed.append(self.func)
        return await hand(self, *arguments, **named)

    monkeypatch.setattr(SyncToAsync, "__call__", hand_counted)
    status, body = asyncio.run(answer_of(SyncHandler(), "/plain"))

    assert (status, body) == (200, "plain")
    assert len(handed) == 2  # the answer, and the signal of its end


def test_requests_at_once_do_not_wait_for_each_other() -> None:
    async def two() -> list[tuple[int, str]]:
        handler = SyncHandler()
        return await asyncio.gather(*(answer_of(handler, "/meeting") for _ in range(2)))

    assert asyncio.run(two()) == [(200, "met"), (200, "met")]


def test_requests_share_threads_and_leave_no_connection_behind() -> None:
    async def several() -> list[str]:
        handler = SyncHandler()
        return [(await answer_of(handler, "/thread"))[1] for _ in range(20)]

    said = [answer.split() for answer in asyncio.run(several())]
    assert {had_one for _, had_one in said} == {"False"}
    assert len({name for name, _ in said}) < 5


def test_no_request_makes_a_thread_that_another_has_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[str] = []
    start = threading.Thread.start

    def start_noted(self: threading.Thread) -> None:
        started.append(self.name)
        start(self)

    async def several() -> None:
        handler = SyncHandler()
        await answer_of(handler, "/plain")
        monkeypatch.setattr(threading.Thread, "start", start_noted)
        for _ in range(5):
            await answer_of(handler, "/plain")

    asyncio.run(several())
    # A request may come before the thread of the one before is known to be idle.
    assert [name for name in started if not name.startswith("request")] == []
    assert len(started) < 3


def test_each_request_passes_through_what_sentry_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    call: Any = ASGIHandler.__call__

    async def call_noted(self: ASGIHandler, scope: Any, receive: Any, send: Any) -> None:
        called.append(scope["path"])
        await call(self, scope, receive, send)

    monkeypatch.setattr(ASGIHandler, "__call__", call_noted)

    assert asyncio.run(answer_of(SyncHandler(), "/plain")) == (200, "plain")
    assert called == ["/plain"]


def test_a_view_that_fails_is_a_500_and_not_the_end(caplog: pytest.LogCaptureFixture) -> None:
    assert asyncio.run(answer_of(SyncHandler(), "/broken"))[0] == 500
    assert "a view that fails" in caplog.text
