"""The listener: a user's event socket, joined again whenever it breaks, as a browser would."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

RECEIVE_S = 1.0
AGAIN_AFTER_S = 0.5
# A socket looks for what it missed every 20 s and says so with a ping; a database that is away
# may hold that up by its timeouts.
PING_WITHIN_S = 45.0


class Listener:
    """What one user hears. `heard` is the last event of an unbroken row from the first.

    Attributes:
        gaps: places where an event came that was not the next one.
        silences: sockets that stayed open and did not ping any more.
        joins: how often the socket was opened.
    """

    def __init__(self, address: str, token: str) -> None:
        self._url = address.replace("http", "ws") + "/ws/events/?since="
        self._headers = {"Authorization": f"Bearer {token}"}
        self._stopped = threading.Event()
        self.heard = 0
        self.gaps: list[str] = []
        self.silences: list[str] = []
        self.joins = 0
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Hang up."""
        self._stopped.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._listen()
            except (OSError, WebSocketException, TimeoutError):
                self._stopped.wait(AGAIN_AFTER_S)

    def _listen(self) -> None:
        with connect(
            self._url + str(self.heard),
            additional_headers=self._headers,
            max_size=2**24,
            open_timeout=5,
            close_timeout=1,
            proxy=None,
        ) as socket:
            self.joins += 1
            pinged_at = time.monotonic()
            is_silent = False
            while not self._stopped.is_set():
                silent_s = time.monotonic() - pinged_at
                if silent_s > PING_WITHIN_S and not is_silent:
                    is_silent = True
                    self.silences.append(f"socket {self.joins} does not look for missed events")
                try:
                    message = json.loads(socket.recv(timeout=RECEIVE_S))
                except TimeoutError:
                    continue
                if message["type"] == "ping":
                    pinged_at = time.monotonic()
                self._take(message)
                socket.send(json.dumps({"type": "ack", "seq": self.heard}))

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] != "event" or message["seq"] <= self.heard:
            return
        if message["seq"] != self.heard + 1:
            self.gaps.append(f"{message['seq']} after {self.heard}")
        self.heard = message["seq"]
