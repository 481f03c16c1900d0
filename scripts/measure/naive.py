"""The naive client: a program that asks again each second, and names every upload the same."""

from __future__ import annotations

import time
from uuid import UUID, uuid4

from scripts.measure.bare import fetch, graph_of, submit, upload
from scripts.measure.orders import DONE_WITHIN_S, Made, NotMade, Order
from scripts.measure.session import Session

POLL_S = 1.0
NAME = "sketch.png"


class NaiveClient:
    """One program without a socket."""

    def __init__(self, url: str) -> None:
        self._session = Session(url)
        self._sent: dict[str, tuple[Order, float]] = {}

    def send(self, order: Order) -> None:
        """Upload the sketch over whichever was there, and submit the graph."""
        asked_at = time.time()
        prompt_id = uuid4()
        reference = upload(self._session, order.sketch, name=NAME, overwrite=True)
        graph = graph_of(order, prompt_id, reference)
        submit(self._session, graph, prompt_id, client_id=uuid4().hex)
        self._sent[str(prompt_id)] = (order, asked_at)

    def take(self) -> Made:
        """Look at the history each second until it has one of our prompts, and fetch its file.

        The image is empty where the prompt failed.
        """
        ends_at = time.monotonic() + DONE_WITHIN_S
        while time.monotonic() < ends_at:
            time.sleep(POLL_S)
            for prompt_id, (order, asked_at) in self._sent.items():
                entry = self._session.get(f"/history/{prompt_id}").json().get(prompt_id)
                if entry is None:
                    continue
                files = [f for output in entry["outputs"].values() for f in output["images"]]
                del self._sent[prompt_id]
                # None where the node read the sketch while another overwrote it.
                image = fetch(self._session, files[0]) if files else b""
                return Made(order, UUID(prompt_id), asked_at, time.time(), image)
        raise NotMade("A prompt took too long.")

    def close(self) -> None:
        """Hang up."""
        self._session.close()
