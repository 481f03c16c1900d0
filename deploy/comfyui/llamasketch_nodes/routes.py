"""The route that tells what became of promised files.

GET /llamasketch/saves?subfolder=llamasketch/{prompt_id}
→ {"files": {"image_00001_.webp": {"state": "waiting" | "written" | "failed", "error": "…"}}}
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from .saver import ImageSaver

log = logging.getLogger(__name__)

PATH = "/llamasketch/saves"


def saves_handler(saver: ImageSaver) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Make the route's handler. A subfolder that is not known has no files: that is no error."""

    async def saves(request: web.Request) -> web.Response:
        subfolder = request.query.get("subfolder", "").replace("\\", "/").strip("/")
        files = {
            name: {"state": state.state, "error": state.error}
            for name, state in saver.states(subfolder).items()
        }
        return web.json_response({"files": files})

    return saves


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
