"""The client of one ComfyUI server.

    with client.follow(prompt_id) as follower:
        client.submit(graph, prompt_id=prompt_id)
        while not (verdict := client.verdict(prompt_id)).status.is_terminal:
            event = follower.next(timeout_s=1.0)

Events say when to look; only the verdict says what happened. Requests that only read, and those
that surely were not received, are tried again at once a few times; a submission whose outcome is
unknown never is.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, Self
from urllib.parse import quote
from uuid import UUID

from workers.comfy.connection import Connection, SocketTimeouts
from workers.comfy.downloads import FetchedFile, answer_receive, image_receive
from workers.comfy.errors import (
    BadReply,
    ComfyError,
    FileMissing,
    FileWaiting,
    NodeUnreachable,
    OutcomeUnknown,
    Refused,
    SaveFailed,
)
from workers.comfy.images import content_name
from workers.comfy.json_object import JsonObject
from workers.comfy.mailboxes import Follower
from workers.comfy.node_info import NodeClass, SystemStats, node_class_from_reply, stats_from_reply
from workers.comfy.prompt_routes import PromptRoutes, encoded
from workers.comfy.protocol import OutputFile
from workers.comfy.records import (
    PromptStatus,
    QueueState,
    SaveState,
    SaveStatus,
    Verdict,
    save_state_from_reply,
    saves_from_reply,
)
from workers.comfy.refusals import refusal_from_body, refusal_from_reply
from workers.comfy.retries import retrying
from workers.comfy.transport import Reply, Timeouts, Transport

PreviewMethod = Literal["none", "auto", "latent2rgb", "taesd"]
Graph = Mapping[str, Any]

_REMEMBERED_PROMPTS = 1024  # chosen: far more than a node holds at once
_FIRST_CONNECT_S = 1.0  # chosen: how long the first follower waits for the socket
_CONTENT_TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}


@dataclass(frozen=True, slots=True)
class UploadedImage:
    """An image in a server's input folder, under the name that the server chose."""

    name: str
    subfolder: str
    type: str

    @property
    def reference(self) -> str:
        """What LoadImage takes, such as `llamasketch/abc.png`."""
        return f"{self.subfolder}/{self.name}" if self.subfolder else self.name


@dataclass(frozen=True, slots=True)
class Submission:
    """A prompt that a server has taken; `number` is its place in the order, where that was told."""

    prompt_id: str
    number: int | None


class ComfyClient:
    """One server's client; any number of threads may share it. Close it at the end.

    Args:
        base_url: such as http://127.0.0.1:18188.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeouts: Timeouts | None = None,
        socket_timeouts: SocketTimeouts | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._transport = Transport(self.base_url, timeouts or Timeouts())
        self._routes = PromptRoutes(self._transport)
        self._connection = Connection(
            self.base_url, timeouts=socket_timeouts, on_connect=self._routes.forget
        )
        self._lock = threading.Lock()
        self._sent: OrderedDict[str, None] = OrderedDict()  # prompts that the server may have

    def close(self) -> None:
        """Close the socket and all sessions."""
        self._connection.close()
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_connected(self) -> bool:
        """Whether there is a socket for events."""
        return self._connection.is_connected

    def upload_image(
        self, data: bytes, *, name: str | None = None, subfolder: str = "llamasketch"
    ) -> UploadedImage:
        """Upload an image and return the name that the server gave it.

        Name an upload by its content, as the default does. Nothing is ever overwritten: the same
        bytes under the same name stay one file, other bytes under that name get another name, and
        a file that a running prompt reads never changes under it.

        Raises:
            NodeUnreachable: no answer; uploading again is harmless.
            Refused: reason bad_upload.
        """
        name = name or content_name(data)
        content_type = _CONTENT_TYPES.get(name.rpartition(".")[2], "application/octet-stream")

        def upload() -> Reply:
            image = (name, data, content_type)
            try:
                return self._transport.upload(
                    "/upload/image",
                    fields={"subfolder": subfolder, "type": "input", "image": image},
                )
            except OutcomeUnknown as error:
                raise NodeUnreachable(str(error)) from error

        reply = retrying(upload)
        if reply.status != 200:
            raise Refused(
                f"The server refused the upload (HTTP {reply.status}).",
                reason="bad_upload",
                status=reply.status,
            )
        stored = reply.json_object(where="upload")
        return UploadedImage(
            name=stored.text("name"),
            subfolder=stored.text("subfolder", ""),
            type=stored.text("type", "input"),
        )

    def submit(
        self,
        graph: Graph,
        *,
        prompt_id: UUID,
        preview: PreviewMethod = "latent2rgb",
        ask_first: bool = False,
    ) -> Submission:
        """Queue a graph under an id of the caller's choosing.

        A server runs an id twice if it is sent twice. So where this client may have sent it
        before, or the caller says `ask_first` (because another process may have), the server is
        asked, and what it knows is not sent again; `number` is None then. Use a new id for every
        attempt: a server keeps the record of a failed one.

        Raises:
            NodeUnreachable: surely not queued.
            OutcomeUnknown: ask for the verdict before submitting again.
            Refused: not queued. Also where the server took only some of the outputs: that prompt
                is cancelled and its result must not be used (reason partly_refused).
            ValueError: the graph cannot be written as JSON.
        """
        key = str(prompt_id)
        was_sent = self._remember_sent(key)
        if was_sent or ask_first:
            status = self.verdict(prompt_id).status
            if status is not PromptStatus.UNKNOWN:
                return Submission(key, None)
        self._connection.start()
        self._connection.expect(key)
        try:
            reply = retrying(lambda: self._post_prompt(graph, key, preview))
            if reply.status != 200:
                raise refusal_from_body(reply.body, status=reply.status)
        except (NodeUnreachable, Refused):
            self._connection.forget(key)
            if not was_sent:
                self._forget_sent(key)
            raise
        return self._accepted(reply, prompt_id)

    def follow(self, prompt_id: UUID) -> Follower:
        """Follow a prompt's events, before or after submitting it.

        Events come only for prompts that this client submitted over the connection that is open
        now; for any other the follower is silent and the caller asks for the verdict, once a
        second.
        """
        self._connection.start()
        self._connection.wait(_FIRST_CONNECT_S)
        return self._connection.follow(str(prompt_id))

    def verdict(self, prompt_id: UUID) -> Verdict:
        """Ask what became of a prompt.

        Raises:
            NodeUnreachable: no answer.
            BadReply: an answer that makes no sense.
        """
        return self._routes.verdict(str(prompt_id))

    def queue(self) -> QueueState:
        """Return the ids of the prompts that run and wait."""
        return self._routes.queue()

    def queue_remaining(self) -> int:
        """Return how many prompts run and wait; the cheapest sign of life."""
        reply = self._routes.read("/prompt")
        return reply.child("exec_info").integer("queue_remaining")

    def cancel(self, prompt_id: UUID) -> None:
        """Ask once that a prompt be stopped or taken out of the queue.

        An unknown or ended prompt is left as it is. No answer proves anything, since a prompt may
        start in that very moment: ask for the verdict until it is terminal or unknown, and cancel
        again while it is not. Never touches another prompt.

        Raises:
            NodeUnreachable: surely not received.
            OutcomeUnknown: it may have been; asking again is harmless.
        """
        self._routes.cancel(str(prompt_id))

    def fetch(self, file: OutputFile, destination: BinaryIO, *, max_bytes: int) -> FetchedFile:
        """Write an image that a prompt has put out to `destination`, without the text inside PNGs.

        Nothing is tried again here: what was written before an error is of no use, and the caller
        starts with an empty file.

        Raises:
            FileMissing, TruncatedFile, FileTooLarge: as they say; the first two may pass. The node
                pack writes a file after the prompt has completed: `save_states` tells.
            NodeUnreachable: no answer, or it stopped in the middle.
            BadReply: it is no PNG, JPEG or WebP.
        """
        params = {"filename": file.name, "subfolder": file.subfolder, "type": file.type}
        with self._transport.stream("/view", params=params) as (response, parts):
            if response.status == 404:
                raise FileMissing("The server does not have the file, not yet or not any more.")
            return image_receive(response, parts, destination, max_bytes=max_bytes)

    def fetch_promised(
        self,
        file: OutputFile,
        destination: BinaryIO,
        *,
        max_bytes: int,
        wait_s: float,
        is_early: bool = False,
    ) -> FetchedFile:
        """Write an image that the node pack has promised, as `fetch` does, once it is written.

        One request for what `save_states` and `fetch` do in two. The answer comes as soon as the
        file is there or failed, or after `wait_s`, at most half the read timeout. With `is_early`
        the file need not be promised yet: so long the pack waits for that, too.

        Raises:
            FileMissing: it may be there all the same, ask `fetch`: a pack older than 1.2, or none,
                gives no files, and one that was restarted has forgotten them.
            FileWaiting: it is not written yet; ask again.
            SaveFailed: it never comes.
            TruncatedFile, FileTooLarge, NodeUnreachable, BadReply: as `fetch`.
        """
        params = {"subfolder": file.subfolder, "name": file.name, "wait_s": f"{wait_s:g}"}
        if is_early:
            params["early"] = "1"
        with self._transport.stream("/llamasketch/file", params=params) as (response, parts):
            if response.status not in (202, 404, 405, 409):
                return image_receive(response, parts, destination, max_bytes=max_bytes)
            answer = answer_receive(parts)
            if response.status in (404, 405):
                raise FileMissing("The server does not know the file, or has no such route.")
        state = save_state_from_reply(JsonObject.parse(answer, where="file"))
        if state.state is SaveStatus.FAILED:
            raise SaveFailed(state.error)
        raise FileWaiting("The server has not written the file yet.")

    def save_states(
        self, subfolder: str, *, name: str = "", wait_s: float = 0.0
    ) -> Mapping[str, SaveState]:
        """Ask what became of the files that the node pack promised in a subfolder, by their names.

        With `name` and `wait_s`, at most half the read timeout, the answer comes as soon as that
        file waits no more, or after so many seconds; a pack older than 1.1 answers at once.

        A file that waits is worth waiting for, one that failed is not. A file that is not among
        them may be there all the same: a server without the pack knows none, and one that was
        restarted has forgotten them.

        Raises:
            NodeUnreachable: no answer.
            BadReply: an answer that makes no sense.
        """
        params = {"subfolder": subfolder}
        if name:
            params |= {"name": name, "wait_s": f"{wait_s:g}"}
        reply = retrying(lambda: self._transport.get("/llamasketch/saves", params=params))
        if reply.status in (404, 405):
            return {}
        if reply.status != 200:
            raise BadReply(f"saves: the server answered {reply.status}.")
        return saves_from_reply(reply.json_object(where="saves"))

    def system_stats(self) -> SystemStats:
        """Return the server's version and memory."""
        return stats_from_reply(self._routes.read("/system_stats"))

    def node_class(self, name: str) -> NodeClass | None:
        """Return what the server says about a node class; None where it has none of that name."""
        path = f"/object_info/{quote(name, safe='')}"
        return node_class_from_reply(name, self._routes.read(path))

    def models(self, class_name: str, input_name: str) -> tuple[str, ...]:
        """Return the files that an input offers, such as those of UNETLoader's unet_name."""
        node_class = self.node_class(class_name)
        return node_class.options(input_name) if node_class is not None else ()

    def free(self) -> None:
        """Ask the server to unload its models and free memory once nothing runs."""
        self._routes.obey("/free", {"unload_models": True, "free_memory": True})

    def _post_prompt(self, graph: Graph, key: str, preview: PreviewMethod) -> Reply:
        body = encoded(
            {
                "prompt": graph,
                "prompt_id": key,
                "client_id": self._connection.client_id,
                "extra_data": {"preview_method": preview},
            }
        )
        return self._transport.post("/prompt", data=body)

    def _accepted(self, reply: Reply, prompt_id: UUID) -> Submission:
        key = str(prompt_id)
        try:
            answer = reply.json_object(where="prompt")
            answered_id = answer.text("prompt_id")
            number = answer.optional_integer("number")
            node_errors = answer.child("node_errors")
        except BadReply as error:
            raise OutcomeUnknown(f"It may be queued. {error}", status=reply.status) from error
        if answered_id != key:
            raise OutcomeUnknown("The server answers for another prompt.", status=reply.status)
        if node_errors:
            # The rest would run, cost GPU time, and end as completed with files missing.
            refused = refusal_from_reply(answer, status=reply.status)
            try:
                self.cancel(prompt_id)
            except ComfyError as error:
                refused.add_note(f"Cancelling the rest failed: {error}")
            refused.reason = "partly_refused"
            raise refused
        return Submission(key, number)

    def _remember_sent(self, key: str) -> bool:
        """Remember that the server may have a prompt; return whether it may have had it before."""
        with self._lock:
            was_sent = key in self._sent
            self._sent[key] = None
            while len(self._sent) > _REMEMBERED_PROMPTS:
                self._sent.popitem(last=False)
            return was_sent

    def _forget_sent(self, key: str) -> None:
        with self._lock:
            self._sent.pop(key, None)
