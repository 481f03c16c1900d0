"""The simulator's own routes, which no ComfyUI has: faults to come, counts so far."""

from typing import Any

from aiohttp import web

from workers.comfy.simulator.executor import Executor
from workers.comfy.simulator.faults import Faults, UnknownFault, fault_from_fields
from workers.comfy.simulator.files import FileRoutes
from workers.comfy.simulator.prompt_queue import PromptQueue
from workers.comfy.simulator.sockets import Sockets


class Control:
    """`GET /simulator/state`, `POST /simulator/fault`, `DELETE /simulator/fault`."""

    def __init__(
        self,
        queue: PromptQueue,
        executor: Executor,
        sockets: Sockets,
        faults: Faults,
        files: FileRoutes,
    ) -> None:
        self._queue = queue
        self._executor = executor
        self._sockets = sockets
        self._faults = faults
        self._files = files

    def add_to(self, application: web.Application) -> None:
        """Add the routes."""
        application.router.add_get("/simulator/state", self._state)
        application.router.add_post("/simulator/fault", self._set_fault)
        application.router.add_delete("/simulator/fault", self._clear_faults)

    async def _state(self, _request: web.Request) -> web.Response:
        return web.json_response(self._snapshot())

    async def _set_fault(self, request: web.Request) -> web.Response:
        try:
            fields = await request.json()
            if not isinstance(fields, dict):
                raise UnknownFault("The body is an object with a kind.")
            self._faults.set(fault_from_fields(fields))
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(self._snapshot())

    async def _clear_faults(self, _request: web.Request) -> web.Response:
        self._faults.clear()
        return web.json_response(self._snapshot())

    def _snapshot(self) -> dict[str, Any]:
        return {
            **self._executor.state(),
            "running": [prompt.prompt_id for prompt in self._queue.running()],
            "pending": [prompt.prompt_id for prompt in self._queue.pending()],
            "sockets": self._sockets.count(),
            "uploads": self._files.uploads,
            "faults": self._faults.snapshot(),
        }
