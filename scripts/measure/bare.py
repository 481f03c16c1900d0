"""The bare client: a program that talks to a node itself, as well as that can be done.

It uploads, submits, listens on the node's socket and fetches, over connections that stay open.
Nothing is kept, checked, limited or survived.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from uuid import UUID, uuid4

import urllib3
from websockets.sync.client import connect

from scripts.measure.orders import DONE_WITHIN_S, Made, NotMade, Order
from scripts.measure.session import ANSWER_WITHIN_S, Fields, Session
from workers.workflows.abilities import STOCK
from workers.workflows.build import graph_build
from workers.workflows.order import Order as GraphOrder
from workers.workflows.order import Workflow

FOLDER = "bench"
_FEATURES = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
Graph = dict[str, dict[str, Any]]


def graph_of(order: Order, prompt_id: UUID, reference: str) -> Graph:
    """The graph that the platform would send for the same order to a node without the pack."""
    graph_order = GraphOrder(
        prompt_id=prompt_id,
        workflow=Workflow.PAINT,
        sketch=reference,
        prompt="",
        denoise=order.denoise,
        steps=order.steps,
        seed=order.seed,
        width=order.side_px,
        height=order.side_px,
    )
    return graph_build(graph_order, STOCK).graph


class BareClient:
    """One program and its connection to one node.

    `change` may alter each graph before it is sent.
    """

    def __init__(self, url: str, *, change: Callable[[Graph], None] = lambda _graph: None) -> None:
        self._change = change
        self._session = Session(url)
        self._client_id = uuid4().hex
        self._sent: dict[str, tuple[Order, float]] = {}
        self._files: dict[str, dict[str, str]] = {}
        self._open = ExitStack()
        self._socket = self._open.enter_context(
            connect(
                f"{url.replace('http', 'ws', 1)}/ws?clientId={self._client_id}",
                max_size=2**26,
                open_timeout=ANSWER_WITHIN_S,
                # Between two images nobody reads: no ping and no goodbye gets an answer then.
                ping_interval=None,
                close_timeout=0.5,
                proxy=None,
            )
        )
        self._socket.send(json.dumps(_FEATURES))

    def send(self, order: Order) -> None:
        """Upload the sketch under its content's name and submit the graph."""
        asked_at = time.time()
        prompt_id = uuid4()
        name = hashlib.sha256(order.sketch).hexdigest() + ".png"
        reference = upload(self._session, order.sketch, name=name)
        graph = graph_of(order, prompt_id, reference)
        self._change(graph)
        self._sent[str(prompt_id)] = (order, asked_at)
        submit(self._session, graph, prompt_id, client_id=self._client_id)

    def take(self) -> Made:
        """Listen until a prompt of ours has succeeded, and fetch its file."""
        ends_at = time.monotonic() + DONE_WITHIN_S
        while time.monotonic() < ends_at:
            message = self._socket.recv(timeout=DONE_WITHIN_S)
            if isinstance(message, bytes):
                continue
            said = json.loads(message)
            prompt_id = said["data"].get("prompt_id", "")
            if prompt_id not in self._sent:
                continue
            if said["type"] == "executed" and said["data"]["output"].get("images"):
                self._files[prompt_id] = said["data"]["output"]["images"][0]
            elif said["type"] == "execution_success":
                order, asked_at = self._sent.pop(prompt_id)
                image = fetch(self._session, self._files.pop(prompt_id))
                return Made(order, UUID(prompt_id), asked_at, time.time(), image)
            elif said["type"] in {"execution_error", "execution_interrupted"}:
                raise NotMade(f"The node says {said['type']}.")
        raise NotMade("A prompt took too long.")

    def close(self) -> None:
        """Hang up."""
        self._open.close()
        self._session.close()


def upload(session: Session, sketch: bytes, *, name: str, overwrite: bool = False) -> str:
    """Upload a sketch; return what LoadImage takes."""
    fields: Fields = {
        "subfolder": FOLDER,
        "type": "input",
        **({"overwrite": "true"} if overwrite else {}),
        "image": (name, sketch, "image/png"),
    }
    stored = _answered(session.post_form("/upload/image", fields)).json()
    return f"{stored['subfolder']}/{stored['name']}"


def submit(session: Session, graph: Graph, prompt_id: UUID, *, client_id: str) -> None:
    """Queue a graph, with the previews that the platform asks for."""
    body = {
        "prompt": graph,
        "prompt_id": str(prompt_id),
        "client_id": client_id,
        "extra_data": {"preview_method": "latent2rgb"},
    }
    _answered(session.post_json("/prompt", body))


def fetch(session: Session, file: dict[str, str]) -> bytes:
    """Fetch an output's bytes."""
    params = {name: file[name] for name in ("filename", "subfolder", "type")}
    return _answered(session.get("/view", params=params)).data


def _answered(answer: urllib3.BaseHTTPResponse) -> urllib3.BaseHTTPResponse:
    if answer.status != 200:
        raise NotMade(f"The node answers {answer.status}: {answer.data[:300]!r}")
    return answer
