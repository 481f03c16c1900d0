"""The WebSocket connection to one server, kept open by one reader thread.

Every connection, each attempt included, has a client id of its own. Joining again under an
earlier one can leave a socket that answers pings and gets no events; prompts submitted under the
old id are followed by asking for their verdict instead. The reader only parses and files away: a
server holds up all its clients for the slowest socket.
"""

import contextlib
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from workers.comfy.errors import BadReply
from workers.comfy.mailboxes import Follower, MailRoom
from workers.comfy.protocol import (
    FEATURE_FLAGS,
    Message,
    message_of,
    parse_frame,
    parse_message,
)

_MAX_MESSAGE_BYTES = 64 * 1024 * 1024  # a preview of 3 MiB was seen; the library's default is 1 MiB

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SocketTimeouts:
    """How long the connection waits, in seconds.

    A half-open tunnel is noticed after `ping_s` + `pong_s`.
    """

    connect_s: float = 3.0
    open_s: float = 5.0
    ping_s: float = 5.0
    pong_s: float = 10.0
    close_s: float = 0.5
    retry_first_s: float = 0.1
    retry_longest_s: float = 5.0


class Connection:
    """Delivers a server's events to the followers of its prompts, for as long as it is open."""

    def __init__(
        self,
        base_url: str,
        *,
        timeouts: SocketTimeouts | None = None,
        on_connect: Callable[[], None] = lambda: None,
    ) -> None:
        self._url = urlsplit(base_url)
        self._host = f"{self._url.hostname}:{self._url.port}"  # for logs: without credentials
        self._timeouts = timeouts or SocketTimeouts()
        self._on_connect = on_connect
        self._mail = MailRoom()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None
        self._client_id = str(uuid.uuid4())
        self._stopping = threading.Event()
        self._connected = threading.Event()
        self._tried = threading.Event()  # the first attempt has ended, well or badly

    @property
    def client_id(self) -> str:
        """The id to submit under: the open connection's, else that of the attempt under way."""
        return self._client_id

    @property
    def is_connected(self) -> bool:
        """Whether there is a socket, as far as is known."""
        return self._connected.is_set()

    def start(self) -> None:
        """Start connecting, unless that was done before."""
        with self._lock:
            if self._thread is None and not self._stopping.is_set():
                self._thread = threading.Thread(target=self._run, name="comfy-socket", daemon=True)
                self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the first attempt has ended; return whether there is a socket."""
        self._tried.wait(timeout_s)
        return self.is_connected

    def expect(self, prompt_id: str) -> None:
        """Keep the events of a prompt about to be submitted until somebody follows it."""
        self._mail.expect(prompt_id)

    def forget(self, prompt_id: str) -> None:
        """Drop what was kept for a prompt that was not accepted."""
        self._mail.forget(prompt_id)

    def follow(self, prompt_id: str) -> Follower:
        """Open a follower; without a socket its first event is Disconnected."""
        follower, mailbox = self._mail.follow(prompt_id)
        with self._lock:
            if not self.is_connected:
                mailbox.cut()
        return follower

    def close(self) -> None:
        """Stop, and wait for the reader thread to end."""
        self._stopping.set()
        with self._lock:
            thread = self._thread
            if self._socket is not None:
                # Ends whatever the reader waits for: a handshake, a message, a closing frame.
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        delay_s = self._timeouts.retry_first_s
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self._read_one_connection()
            except (OSError, WebSocketException) as error:
                if not self._stopping.is_set():
                    reason = type(error).__name__
                    logger.info("comfy socket closed", host=self._host, reason=reason)
            except Exception:
                logger.exception("comfy socket failed", host=self._host)
            self._tried.set()
            with self._lock:
                self._connected.clear()
                self._mail.cut_all()
            self._client_id = str(uuid.uuid4())
            if time.monotonic() - began > self._timeouts.retry_longest_s:
                delay_s = self._timeouts.retry_first_s
            self._stopping.wait(delay_s)
            delay_s = min(delay_s * 2, self._timeouts.retry_longest_s)

    def _read_one_connection(self) -> None:
        with self._open_socket() as raw, self._open_websocket(raw) as websocket:
            websocket.send(FEATURE_FLAGS)
            self._on_connect()
            with self._lock:
                self._connected.set()
                self._mail.restore_all()
            self._tried.set()
            logger.info("comfy socket open", host=self._host)
            while True:
                self._dispatch(websocket.recv())

    def _open_socket(self) -> socket.socket:
        host = self._url.hostname or "127.0.0.1"
        port = self._url.port or (443 if self._url.scheme == "https" else 80)
        raw = socket.create_connection((host, port), timeout=self._timeouts.connect_s)
        with self._lock:
            self._socket = raw
            if self._stopping.is_set():
                raw.close()
                raise ConnectionAbortedError
        return raw

    def _open_websocket(self, raw: socket.socket) -> ClientConnection:
        secure = self._url.scheme == "https"
        scheme = "wss" if secure else "ws"
        # No Origin header: ComfyUI refuses one that differs from its own host. No compression:
        # previews are compressed already. No proxy from the environment: nodes are reached
        # directly or by tunnel.
        return connect(
            f"{scheme}://{self._url.netloc}{self._url.path.rstrip('/')}/ws?clientId={self._client_id}",
            sock=raw,
            ssl=ssl.create_default_context() if secure else None,
            compression=None,
            proxy=None,
            open_timeout=self._timeouts.open_s,
            ping_interval=self._timeouts.ping_s,
            ping_timeout=self._timeouts.pong_s,
            close_timeout=self._timeouts.close_s,
            max_size=_MAX_MESSAGE_BYTES,
        )

    def _dispatch(self, data: str | bytes) -> None:
        try:
            message: Message | None
            message = (
                parse_message(data) if isinstance(data, str) else message_of(parse_frame(data))
            )
        except BadReply as error:
            # One bad message says nothing about the next.
            logger.warning("comfy message not understood", host=self._host, reason=str(error))
            return
        if message is not None:
            self._mail.deliver(message)
