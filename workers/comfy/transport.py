"""HTTP to one server: connections, time limits, and which failures mean that nothing was done."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from urllib.parse import unquote, urlencode

import certifi
import urllib3
from urllib3.filepost import encode_multipart_formdata

from workers.comfy.errors import BadReply, LoginRequired, NodeUnreachable, OutcomeUnknown, Refused
from workers.comfy.json_object import JsonObject

_READ_BYTES = 64 * 1024
_MAX_REPLY_BYTES = (
    64 * 1024 * 1024
)  # chosen: /object_info of a server with many node packs has some 10 MB
_KEPT_CONNECTIONS = 16  # chosen: of a worker's threads, those that are likely to ask at one moment
_GATEWAY_STATUSES = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long requests wait, in seconds.

    `read_s` is between two bytes, the `total` ones from sending to the last byte: a server that
    trickles would otherwise hold a thread for ever.
    """

    connect_s: float = 3.0
    read_s: float = 10.0
    reply_total_s: float = 30.0
    upload_read_s: float = 30.0
    fetch_read_s: float = 15.0
    fetch_total_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. Statuses 401, 403 and 5xx never get this far."""

    status: int
    content_type: str
    body: bytes

    def json_object(self, *, where: str) -> JsonObject:
        """Parse the body, which must be a JSON object."""
        return JsonObject.parse(self.body, where=where)


class Transport:
    """Sends requests to one server; any number of threads may share it.

    They share its connections too, the last used first: through a tunnel each new one costs a way
    there and back. Nothing is followed, remembered or asked of the environment: no redirects,
    cookies, proxies or passwords, none of which a node should be reached with.
    """

    def __init__(self, base_url: str, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        url = urllib3.util.parse_url(base_url.rstrip("/"))
        self._path = url.path or ""
        # Lengths are compared with what arrives, so they must be those of the file itself.
        self._headers = {"Accept-Encoding": "identity"}
        if url.auth:
            self._headers |= urllib3.util.make_headers(basic_auth=unquote(url.auth))
        pools = urllib3.PoolManager(maxsize=_KEPT_CONNECTIONS, ca_certs=certifi.where())
        self._pool = pools.connection_from_url(base_url)

    def close(self) -> None:
        """Close all connections that nobody uses right now."""
        self._pool.close()

    def get(self, path: str, *, params: Mapping[str, str] | None = None) -> Reply:
        """Read something.

        Raises:
            NodeUnreachable: no answer; reading has no effect, so nothing was done in any case.
        """
        with self._open("GET", path, read_s=self._timeouts.read_s, params=params) as response:
            return self._reply(response, self._timeouts.reply_total_s, is_read=True)

    def post(
        self, path: str, *, data: bytes | None = None, content_type: str = "application/json"
    ) -> Reply:
        """Change something.

        Raises:
            NodeUnreachable: it was surely not received.
            OutcomeUnknown: it may have been.
        """
        with self._open(
            "POST", path, read_s=self._timeouts.read_s, body=data, content_type=content_type
        ) as response:
            return self._reply(response, self._timeouts.reply_total_s, is_read=False)

    def upload(self, path: str, *, fields: Mapping[str, str | tuple[str, bytes, str]]) -> Reply:
        """Send a multipart form; a file is its name, bytes and type. Raises as `post` does."""
        read_s = self._timeouts.upload_read_s
        body, content_type = encode_multipart_formdata(fields)
        with self._open(
            "POST", path, read_s=read_s, body=body, content_type=content_type
        ) as response:
            return self._reply(response, read_s, is_read=False)

    @contextmanager
    def stream(
        self, path: str, *, params: Mapping[str, str]
    ) -> Iterator[tuple[urllib3.BaseHTTPResponse, Iterator[bytes]]]:
        """Open a download: the response, and its body in parts.

        The parts raise NodeUnreachable where the server falls silent, and end early, without an
        error, where the connection breaks: the caller compares with Content-Length.
        """
        with self._open("GET", path, read_s=self._timeouts.fetch_read_s, params=params) as response:
            yield response, _parts(response, self._timeouts.fetch_total_s)

    @contextmanager
    def _open(
        self,
        method: str,
        path: str,
        *,
        read_s: float,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "",
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        is_read = method == "GET"
        headers = self._headers | ({"Content-Type": content_type} if content_type else {})
        query = f"?{urlencode(params)}" if params else ""
        try:
            response = self._pool.urlopen(
                method,
                f"{self._path}{path}{query}",
                body=body,
                headers=headers,
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=self._timeouts.connect_s, read=read_s),
                preload_content=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _translated(error, is_read=is_read) from error
        with closing(response):
            _check_status(response.status, is_read=is_read)
            yield response

    def _reply(self, response: urllib3.BaseHTTPResponse, total_s: float, *, is_read: bool) -> Reply:
        body = bytearray()
        try:
            for part in _parts(response, total_s, is_strict=True):
                body += part
                if len(body) > _MAX_REPLY_BYTES:
                    raise BadReply("The answer is too long.")
        except NodeUnreachable as error:
            if is_read:
                raise
            raise OutcomeUnknown("The answer broke off.") from error
        return Reply(response.status, response.headers.get("Content-Type", ""), bytes(body))


def _parts(
    response: urllib3.BaseHTTPResponse, total_s: float, *, is_strict: bool = False
) -> Iterator[bytes]:
    """Yield the body as it comes; `read1` returns at every arrival, so the total limit holds."""
    deadline = time.monotonic() + total_s
    try:
        while part := response.read1(_READ_BYTES, decode_content=True):
            yield part
            if time.monotonic() > deadline:
                raise NodeUnreachable("The answer takes too long.", timed_out=True)
    except urllib3.exceptions.ReadTimeoutError as error:
        raise NodeUnreachable("The answer stopped in the middle.", timed_out=True) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        if is_strict:
            raise NodeUnreachable("The connection broke in the middle of the answer.") from error


def _check_status(status: int, *, is_read: bool) -> None:
    if status == 401:
        raise LoginRequired(
            "The address answers 401: it is an authenticating proxy in front of ComfyUI. "
            "Use the port of ComfyUI itself.",
            reason="login_required",
            status=status,
        )
    if status == 403:
        raise Refused(
            "The server forbids the request: it takes it for one from another site.",
            reason="forbidden",
            status=status,
        )
    if status < 500:
        return
    if not is_read:
        # ComfyUI answers 500 to a body it cannot read, and to whatever fails after a prompt was
        # queued.
        raise OutcomeUnknown(f"The server answered {status}.", status=status)
    if status in _GATEWAY_STATUSES:
        raise NodeUnreachable(f"What stands before the server answered {status}.")
    raise BadReply(f"The server answered {status}.")


def _translated(error: Exception, *, is_read: bool) -> NodeUnreachable | OutcomeUnknown:
    # A connection that is refused is a kind of timeout to the library.
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return NodeUnreachable("The server could not be reached.")
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return NodeUnreachable("The server could not be reached in time.", timed_out=True)
    timed_out = isinstance(error, urllib3.exceptions.TimeoutError)
    said = (
        "The server did not answer in time."
        if timed_out
        else "The connection broke before the answer."
    )
    return NodeUnreachable(said, timed_out=timed_out) if is_read else OutcomeUnknown(said)
