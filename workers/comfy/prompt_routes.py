"""The ways to ask about a prompt and to stop it, by what a server turns out to know.

What a server can do is decided by what it answers, not by its version, and found out anew after
it was away: another version may have come up.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from workers.comfy.errors import BadReply, NodeUnreachable, Refused
from workers.comfy.json_object import JsonObject
from workers.comfy.records import (
    PromptStatus,
    QueueState,
    Verdict,
    queue_from_reply,
    verdict_from_history,
    verdict_from_job,
)
from workers.comfy.retries import retrying
from workers.comfy.transport import Reply, Transport


class PromptRoutes:
    """Asks one server about prompts. `key` is a prompt id in canonical lower case."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._has_jobs_route: bool | None = None
        self._has_cancel_route: bool | None = None

    def forget(self) -> None:
        """Find out anew which routes there are."""
        self._has_jobs_route = self._has_cancel_route = None

    def verdict(self, key: str) -> Verdict:
        """Ask what became of a prompt."""
        if self._has_jobs_route is not False:
            reply = self._get(f"/api/jobs/{key}")
            if reply.status == 200:
                self._has_jobs_route = True
                return verdict_from_job(reply.json_object(where="job"))
            if reply.status == 404 and _is_json_error(reply):
                self._has_jobs_route = True
                return Verdict(PromptStatus.UNKNOWN)
            if reply.status not in (404, 405):
                raise BadReply(f"job: the server answered {reply.status}.")
            self._has_jobs_route = False
        # In this order: a prompt leaves the queue and enters the history in one step.
        queue = self.queue()
        if key in queue.running:
            return Verdict(PromptStatus.RUNNING)
        if key in queue.pending:
            return Verdict(PromptStatus.PENDING)
        entry = self.read(f"/history/{key}").child(key)
        return verdict_from_history(entry) if entry else Verdict(PromptStatus.UNKNOWN)

    def queue(self) -> QueueState:
        """Ask which prompts run and wait."""
        return queue_from_reply(self.read("/queue"))

    def cancel(self, key: str) -> None:
        """Ask once that a prompt be stopped or taken out of the queue; nothing else is touched."""
        if self._has_cancel_route is not False:
            reply = self.post(f"/api/jobs/{key}/cancel")
            if reply.status == 200 or _is_json_error(reply):
                self._has_cancel_route = True
                return
            if reply.status not in (404, 405):
                raise Refused(
                    f"The server refused to cancel (HTTP {reply.status}).", status=reply.status
                )
            self._has_cancel_route = False
        if key in self.queue().pending:
            self.obey("/queue", {"delete": [key]})
        # Also after deleting: it may have started in between.
        if key in self.queue().running:
            # With the id, which makes the server compare it with what runs by then. Without one
            # it would stop whoever runs.
            self.obey("/interrupt", {"prompt_id": key})

    def read(self, path: str) -> JsonObject:
        """Read a JSON object."""
        reply = self._get(path)
        if reply.status != 200:
            raise BadReply(f"{path}: the server answered {reply.status}.")
        return reply.json_object(where=path)

    def obey(self, path: str, body: Mapping[str, Any]) -> None:
        """Send something that is answered by 200 alone."""
        reply = self.post(path, body)
        if reply.status != 200:
            raise Refused(f"The server refused {path} (HTTP {reply.status}).", status=reply.status)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        """Send JSON, again if it was surely not received."""
        data = None if body is None else encoded(body)
        return self._noticing_absence(lambda: self._transport.post(path, data=data))

    def _get(self, path: str) -> Reply:
        return self._noticing_absence(lambda: self._transport.get(path))

    def _noticing_absence(self, request: Callable[[], Reply]) -> Reply:
        try:
            return retrying(request)
        except NodeUnreachable:
            self.forget()
            raise


def encoded(body: Mapping[str, Any]) -> bytes:
    """Write JSON. Raises ValueError for NaN and infinity, which are none."""
    return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()


def _is_json_error(reply: Reply) -> bool:
    """Whether a route answered for itself; a missing route answers in plain text."""
    try:
        return "error" in reply.json_object(where="error")
    except BadReply:
        return False
