"""The session: HTTP as the clients speak it, over connections that stay open."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias
from urllib.parse import urlencode

import urllib3
from urllib3.filepost import encode_multipart_formdata

ANSWER_WITHIN_S = 30.0
Fields: TypeAlias = Mapping[str, "str | tuple[str, bytes, str]"]


class Session:
    """A client's way to one server.

    Urllib3 itself: a session of requests takes another half a millisecond or more of each call,
    which would be measured as the server's.
    """

    def __init__(self, url: str, *, headers: Mapping[str, str] | None = None) -> None:
        self._headers = dict(headers or {})
        self._pool = urllib3.connection_from_url(url, timeout=ANSWER_WITHIN_S)

    def get(
        self, path: str, *, params: Mapping[str, str] | None = None
    ) -> urllib3.BaseHTTPResponse:
        """Ask for something; the answer is whole, whatever its status."""
        query = f"?{urlencode(params)}" if params else ""
        return self._pool.urlopen("GET", path + query, headers=self._headers, retries=False)

    def post_json(self, path: str, body: Any) -> urllib3.BaseHTTPResponse:
        """Send something."""
        return self._post(path, json.dumps(body).encode(), "application/json")

    def post_form(self, path: str, fields: Fields) -> urllib3.BaseHTTPResponse:
        """Send a multipart form; a file is its name, bytes and type."""
        return self._post(path, *encode_multipart_formdata(fields))

    def close(self) -> None:
        """Hang up."""
        self._pool.close()

    def _post(self, path: str, body: bytes, content_type: str) -> urllib3.BaseHTTPResponse:
        headers = self._headers | {"Content-Type": content_type}
        return self._pool.urlopen("POST", path, body=body, headers=headers, retries=False)
