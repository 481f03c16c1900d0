"""A plain client for the tests: requests for HTTP, one reader thread for the socket."""

import json
import struct
import threading
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any

import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

_PATIENCE_S = 15.0


class Listener:
    """A WebSocket client that keeps every message; `wait_for` awaits one."""

    def __init__(self, url: str, *, client_id: str | None = None, wants_metadata: bool) -> None:
        self.client_id = client_id or str(uuid.uuid4())
        self.messages: list[dict[str, Any]] = []
        self.is_closed = False
        self.close_code: int | None = None
        self._changed = threading.Condition()
        address = f"{url.replace('http', 'ws', 1)}/ws?clientId={self.client_id}"
        self._connection = connect(address, max_size=None)
        self._socket = self._connection.__enter__()
        if wants_metadata:
            flags = {"supports_preview_metadata": True}
            self._socket.send(json.dumps({"type": "feature_flags", "data": flags}))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self.wait_for(lambda: len(self.messages) >= (2 if wants_metadata else 1))

    def wait_for(self, is_reached: Callable[[], bool], *, timeout_s: float = _PATIENCE_S) -> None:
        """Wait until a condition on `messages` holds."""
        with self._changed:
            if not self._changed.wait_for(is_reached, timeout_s):
                raise AssertionError(f"not reached; the last messages: {self.messages[-3:]}")

    def wait_until_done(self, prompt_id: str) -> None:
        """Wait for the last message about a prompt."""
        last = {"type": "executing", "data": {"node": None, "prompt_id": prompt_id}}
        self.wait_for(lambda: last in self.messages)

    def types(self) -> list[str]:
        """The types of all messages; binary ones as "binary N"."""
        return [message["type"] for message in self.messages]

    def close(self) -> None:
        """Close the socket and end the reader."""
        self._connection.__exit__(None, None, None)
        self._thread.join(_PATIENCE_S)

    def __enter__(self) -> "Listener":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self) -> None:
        try:
            for frame in self._socket:
                message = json.loads(frame) if isinstance(frame, str) else parse_binary(frame)
                with self._changed:
                    self.messages.append(message)
                    self._changed.notify_all()
        except ConnectionClosed:
            pass
        finally:
            with self._changed:
                self.is_closed = True
                self.close_code = self._socket.close_code
                self._changed.notify_all()


def parse_binary(frame: bytes) -> dict[str, Any]:
    """Take a binary frame apart."""
    event, header = struct.unpack(">II", frame[:8])
    if event == 1:
        return {"type": "binary 1", "format": header, "metadata": None, "image": frame[8:]}
    metadata = json.loads(frame[8 : 8 + header])
    return {"type": f"binary {event}", "metadata": metadata, "image": frame[8 + header :]}


class Caller:
    """HTTP calls to one simulator."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request, with a timeout."""
        return self._session.request(method, self.url + path, timeout=_PATIENCE_S, **options)

    def get(self, path: str, **params: str) -> Any:
        """GET and decode JSON."""
        return self.request("GET", path, params=params).json()

    def upload(self, data: bytes, name: str, **fields: str) -> requests.Response:
        """Upload a file."""
        files = {"image": (name, data, "image/png")}
        return self.request("POST", "/upload/image", files=files, data=fields)

    def submit(
        self, graph: dict[str, Any], *, client_id: str | None = None, **extra: Any
    ) -> requests.Response:
        """Submit a graph under a new prompt id."""
        body: dict[str, Any] = {"prompt": graph, "prompt_id": str(uuid.uuid4()), **extra}
        if client_id is not None:
            body["client_id"] = client_id
        return self.request("POST", "/prompt", json=body)

    def job(self, prompt_id: str) -> dict[str, Any]:
        """Return a job record, {"status": "unknown"} when there is none."""
        reply = self.request("GET", f"/api/jobs/{prompt_id}")
        found: dict[str, Any] = reply.json() if reply.ok else {"status": "unknown"}
        return found

    def fault(self, kind: str, **fields: Any) -> None:
        """Ask for a fault."""
        self.request("POST", "/simulator/fault", json={"kind": kind, **fields}).raise_for_status()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
