"""A model hub on loopback: redirects, sizes and checksums in headers, ranges, and faults."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ModelHub:
    """Files by their path, what was asked for, and how to misbehave."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.heads: list[str] = []
        self.gets: list[tuple[str, int]] = []  # path, and the byte where it began
        self.cut_after: int | None = None  # bytes, in each answer
        self.has_ranges = True
        self.tells_checksums = True
        self.url = ""

    def checksum(self, path: str) -> str:
        """What the hub says of a file."""
        return hashlib.sha256(self.files[path]).hexdigest()


@contextmanager
def serving() -> Iterator[ModelHub]:
    """Run a hub."""
    hub = ModelHub()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            path = self.path.lstrip("/")
            if path not in hub.files:
                self.send_error(404)
                return
            hub.heads.append(path)
            self.send_response(302)
            self.send_header("Location", f"/cdn/{path}")
            if hub.tells_checksums:
                self.send_header("X-Linked-Size", str(len(hub.files[path])))
                self.send_header("X-Linked-Etag", f'"{hub.checksum(path)}"')
            self.end_headers()

        def do_GET(self) -> None:
            path = self.path.lstrip("/")
            if not path.startswith("cdn/"):
                self.send_response(302)
                self.send_header("Location", f"/cdn/{path}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            path = path.removeprefix("cdn/")
            data, start = hub.files[path], 0
            if hub.has_ranges and (asked := self.headers.get("Range")):
                start = int(asked.removeprefix("bytes=").split("-")[0])
            hub.gets.append((path, start))
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            end = None if hub.cut_after is None else start + hub.cut_after
            self.wfile.write(data[start:end])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
