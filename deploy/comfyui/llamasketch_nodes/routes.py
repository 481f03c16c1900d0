"""The route that tells what became of promised files.

GET /llamasketch/saves?subfolder=llamasketch/{prompt_id}
→ {"files": {"image_00001_.webp": {"state": "waiting" | "written" | "failed", "error": "…"}}}

With `name` and `wait_s`, the answer comes as soon as that file does not wait any more, or after so
many seconds: whoever wants it need not ask again and again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web

from .saver import ImageSaver

log = logging.getLogger(__name__)

PATH = "/llamasketch/saves"
WAIT_MAX_S = 10.0  # chosen: a proxy on the way may give up on a silence of 30 s


def saves_handler(saver: ImageSaver) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Make the route's handler. A subfolder that is not known has no files: that is no error."""

    async def saves(request: web.Request) -> web.Response:
        subfolder = request.query.get("subfolder", "").replace("\\", "/").strip("/")
        name, wait_s = request.query.get("name", ""), _seconds(request.query.get("wait_s", ""))
        if name and wait_s:
            await _written(saver, subfolder, name, wait_s=wait_s)
        files = {
            name: {"state": state.state, "error": state.error}
            for name, state in saver.states(subfolder).items()
        }
        return web.json_response({"files": files})

    return saves


async def _written(saver: ImageSaver, subfolder: str, name: str, *, wait_s: float) -> None:
    """Wait, but not longer than `wait_s`, while a file is promised and neither there nor failed."""
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
            if state is None or state.state != "waiting" or left_s <= 0:
                return
            with suppress(asyncio.TimeoutError):  # not the built-in one in Python 3.10
                await asyncio.wait_for(changed.wait(), left_s)


def _seconds(text: str) -> float:
    """Read a number of seconds; what is none is 0."""
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return min(max(seconds, 0.0), WAIT_MAX_S) if seconds == seconds else 0.0


def routes_register(saver: ImageSaver) -> bool:
    """Add the route to ComfyUI's server; False where there is none, or it takes none.

    ComfyUI serves each route under /api too. Saving works without the route.
    """
    try:
        from server import PromptServer
    except ImportError:
        return False
    instance = getattr(PromptServer, "instance", None)
    if instance is None:
        log.warning("LlamaSketch: no server, so %s is not there", PATH)
        return False
    instance.routes.get(PATH)(saves_handler(saver))
    return True
