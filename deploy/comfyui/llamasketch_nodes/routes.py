"""The routes for promised files: one tells what became of them, one gives a file itself.

GET /llamasketch/saves?subfolder=llamasketch/{prompt_id}
→ {"files": {"image_00001_.webp": {"state": "waiting" | "written" | "failed", "error": "…"}}}

GET /llamasketch/file?subfolder=llamasketch/{prompt_id}&name=image_00001_.webp
→ 200 and the file; or 202 {"state": "waiting"}, 404 {"state": "unknown"},
  409 {"state": "failed", "error": "…"}

With `name` and `wait_s`, the answer comes as soon as that file does not wait any more, or after so
many seconds: whoever wants it need not ask again and again. With `early=1`, a file that is not
promised yet is waited for as well.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web

from .encoding import CONTENT_TYPES
from .saver import ImageSaver
from .saves import SaveState

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.Response]]

SAVES_PATH = "/llamasketch/saves"
FILE_PATH = "/llamasketch/file"
_AT_ONCE_BYTES_MAX = 512 * 1024  # chosen: some 0.1 ms
WAIT_MAX_S = 10.0  # chosen: a proxy on the way may give up on a silence of 30 s


def saves_handler(saver: ImageSaver) -> Handler:
    """Make the handler that tells. A subfolder that is not known has no files: that is no error."""

    async def saves(request: web.Request) -> web.Response:
        subfolder, name, wait_s = _asked_for(request)
        if name and wait_s:
            await _settled(saver, subfolder, name, wait_s=wait_s)
        files = {
            name: {"state": state.state, "error": state.error}
            for name, state in saver.states(subfolder).items()
        }
        return web.json_response({"files": files})

    return saves


def file_handler(saver: ImageSaver) -> Handler:
    """Make the handler that gives a file.

    It knows the files of this saver by the names that were promised, and looks for nothing on the
    disk: no name leads anywhere else. A file that is encoded is given from memory, without waiting
    for this machine's disk.
    """

    async def file(request: web.Request) -> web.Response:
        subfolder, name, wait_s = _asked_for(request)
        is_early = request.query.get("early") == "1"
        state = await _settled(
            saver, subfolder, name, wait_s=wait_s, is_early=is_early, is_here=_has_bytes
        )
        if state is None:
            return _told(404, "unknown")
        if state.state == "failed":
            return _told(409, "failed", error=state.error)
        if state.data is not None:
            return web.Response(body=state.data, content_type=_type_of(name))
        if state.path is None:
            return _told(202, "waiting")
        loop = asyncio.get_running_loop()
        try:
            # Just written, a small one is in memory: read sooner than a thread could be asked to.
            if state.path.stat().st_size <= _AT_ONCE_BYTES_MAX:
                data = state.path.read_bytes()
            else:
                data = await loop.run_in_executor(None, state.path.read_bytes)
        except FileNotFoundError:  # somebody has tidied up
            return _told(404, "unknown")
        return web.Response(body=data, content_type=_type_of(name))

    return file


def routes_register(saver: ImageSaver) -> bool:
    """Add the routes to ComfyUI's server; False where there is none, or it takes none.

    ComfyUI serves each route under /api too. Saving works without the routes.
    """
    try:
        from server import PromptServer
    except ImportError:
        return False
    instance = getattr(PromptServer, "instance", None)
    if instance is None:
        log.warning("LlamaSketch: no server, so %s and %s are not there", SAVES_PATH, FILE_PATH)
        return False
    instance.routes.get(SAVES_PATH)(saves_handler(saver))
    instance.routes.get(FILE_PATH)(file_handler(saver))
    return True


def _is_told(state: SaveState) -> bool:
    return state.state != "waiting"


def _has_bytes(state: SaveState) -> bool:
    return state.data is not None or _is_told(state)


async def _settled(
    saver: ImageSaver,
    subfolder: str,
    name: str,
    *,
    wait_s: float,
    is_early: bool = False,
    is_here: Callable[[SaveState], bool] = _is_told,
) -> SaveState | None:
    """Wait, but not longer than `wait_s`, while a file is promised and not here, nor failed.

    `is_early`: while it is not promised, too. Returns where it stands then; None for a file that is
    not known.
    """
    loop, changed = asyncio.get_running_loop(), asyncio.Event()
    deadline = loop.time() + wait_s

    def tell() -> None:
        with suppress(RuntimeError):  # the server has just stopped
            loop.call_soon_threadsafe(changed.set)

    with saver.listening(tell):
        while True:
            changed.clear()
            state = saver.states(subfolder).get(name)
            left_s = deadline - loop.time()
            is_settled = not is_early if state is None else is_here(state)
            if is_settled or left_s <= 0:
                return state
            with suppress(asyncio.TimeoutError):  # not the built-in one in Python 3.10
                await asyncio.wait_for(changed.wait(), left_s)


def _asked_for(request: web.Request) -> tuple[str, str, float]:
    """Read the subfolder, the file's name, and how long to wait for it."""
    query = request.query
    subfolder = query.get("subfolder", "").replace("\\", "/").strip("/")
    return subfolder, query.get("name", ""), _seconds(query.get("wait_s", ""))


def _seconds(text: str) -> float:
    """Read a number of seconds; what is none is 0."""
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return min(max(seconds, 0.0), WAIT_MAX_S) if seconds == seconds else 0.0


def _type_of(name: str) -> str:
    return CONTENT_TYPES[name.rpartition(".")[2]]


def _told(status: int, state: str, **more: str) -> web.Response:
    return web.json_response({"state": state, **more}, status=status)
