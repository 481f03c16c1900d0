"""The HTTP interface: ComfyUI's routes, each with and without the /api prefix."""

import asyncio
import json
import sys
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from aiohttp import web

from workers.comfy.simulator.bench import Models
from workers.comfy.simulator.cache import NodeCache
from workers.comfy.simulator.catalogue import Catalogue
from workers.comfy.simulator.control import Control
from workers.comfy.simulator.executor import Executor
from workers.comfy.simulator.faults import FaultKind, Faults
from workers.comfy.simulator.files import FileRoutes
from workers.comfy.simulator.folders import Folders
from workers.comfy.simulator.jobs import find_job
from workers.comfy.simulator.options import Options, ServerVersion
from workers.comfy.simulator.origin import same_origin
from workers.comfy.simulator.prompt_queue import PromptQueue
from workers.comfy.simulator.run import Surroundings
from workers.comfy.simulator.sockets import JsonMessage, Sockets, queue_status
from workers.comfy.simulator.system import features, system_stats
from workers.comfy.simulator.validation import Validator

if TYPE_CHECKING:
    from workers.comfy.simulator.pack import Pack

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

_MAX_BODY_BYTES = 100 * 1024 * 1024  # ComfyUI's --max-upload-size
_BAD_UUID = (
    "prompt_id must be a UUID string in canonical lowercase hyphenated form; omit it to let the "
    "server generate one"
)


class Server:
    """Everything of one simulated ComfyUI; `application` serves it."""

    def __init__(self, options: Options, faults: Faults) -> None:
        self._options = options
        self._faults = faults
        self._folders = Folders(options.data_dir)
        self._pack = _pack_of(options, faults)
        self._catalogue = Catalogue(self._pack.classes if self._pack else None)
        self._sockets = Sockets(features(options.version))
        self._queue = PromptQueue(self._queue_changed)
        self._validator = Validator(
            self._catalogue,
            file_exists=lambda name: self._folders.input_path(name) is not None,
            version=options.version,
        )
        surroundings = Surroundings(
            options=options,
            folders=self._folders,
            faults=faults,
            catalogue=self._catalogue,
            sockets=self._sockets,
            cache=NodeCache(),
            models=Models(),
            drop_sockets=self._drop_sockets,
        )
        self._executor = Executor(self._queue, surroundings)
        self._files = FileRoutes(self._folders, self._faults)
        self._loop: asyncio.AbstractEventLoop | None = None

    def application(self) -> web.Application:
        """Build the aiohttp application; running it starts the execution thread."""
        application = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[same_origin])
        for method, path, handler in self._routes():
            application.router.add_route(method, path, handler)
            application.router.add_route(method, "/api" + path, handler)
        Control(self._queue, self._executor, self._sockets, self._faults, self._files).add_to(
            application
        )
        # ComfyUI serves its pages from "/": a path that nothing else answers is a missing page,
        # and a POST to it is a method that pages do not have.
        application.router.add_get("/{tail:.*}", _no_page)
        application.cleanup_ctx.append(self._lifetime)
        application.on_shutdown.append(self._close_sockets)
        return application

    async def _lifetime(self, _application: web.Application) -> Any:
        self._loop = asyncio.get_running_loop()
        publisher = asyncio.create_task(self._sockets.publish())
        self._executor.start()
        yield
        self._executor.stop(timeout_s=0.5)
        if self._pack is not None:
            self._pack.close()
        publisher.cancel()

    async def _close_sockets(self, _application: web.Application) -> None:
        await self._sockets.close()

    def _routes(self) -> list[tuple[str, str, Handler]]:
        files = self._files
        routes: list[tuple[str, str, Handler]] = [
            ("GET", "/ws", self._ws),
            ("GET", "/prompt", self._get_prompt),
            ("POST", "/prompt", self._post_prompt),
            ("GET", "/queue", self._get_queue),
            ("POST", "/queue", self._post_queue),
            ("POST", "/interrupt", self._interrupt),
            ("POST", "/free", self._free),
            ("GET", "/history", self._history),
            ("GET", "/history/{prompt_id}", self._history),
            ("POST", "/history", self._post_history),
            ("GET", "/api/jobs/{prompt_id}", self._job),
            ("GET", "/system_stats", self._system_stats),
            ("GET", "/features", self._features),
            ("GET", "/object_info", self._object_info),
            ("GET", "/object_info/{name}", self._object_info),
            ("GET", "/models", self._models),
            ("GET", "/models/{folder}", self._models),
            ("GET", "/view", files.view),
            ("POST", "/upload/image", files.upload),
        ]
        if self._options.version is ServerVersion.V0_29:
            routes.append(("POST", "/api/jobs/{prompt_id}/cancel", self._cancel_job))
        if self._pack is not None:
            routes.append(("GET", self._pack.saves_path, self._pack.saves))
            routes.append(("GET", self._pack.file_path, files.with_faults(self._pack.file)))
        return routes

    async def _ws(self, request: web.Request) -> web.StreamResponse:
        return await self._sockets.serve(
            request,
            queue_remaining=self._queue.remaining(),
            running_node=self._executor.running_node(),
        )

    async def _get_prompt(self, _request: web.Request) -> web.Response:
        return web.json_response(queue_status(self._queue.remaining()))

    async def _post_prompt(self, request: web.Request) -> web.Response:
        body = await _json_body(request)
        if body is None:
            return _server_error()
        number = float(body["number"]) if "number" in body else self._queue.take_number()
        if body.get("front"):
            number = -number
        if "prompt" not in body:
            return _refusal("no_prompt", "No prompt provided", "No prompt provided")
        prompt_id = str(body.get("prompt_id", uuid.uuid4()))
        if self._options.version is ServerVersion.V0_29 and not _is_canonical_uuid(prompt_id):
            return _refusal("invalid_prompt_id", "prompt_id must be a valid UUID", _BAD_UUID)
        if self._faults.strikes(FaultKind.REFUSE):
            return _refusal("simulated_refusal", "The simulator was told to refuse this prompt")
        validated = self._validator.validate(body["prompt"])
        if validated.error is not None:
            reply = {"error": validated.error, "node_errors": validated.node_errors}
            return web.json_response(reply, status=400)
        extra_data = dict(body.get("extra_data") or {})
        if "client_id" in body:
            extra_data["client_id"] = body["client_id"]
        if not self._faults.strikes(FaultKind.LOST_PROMPT):
            outputs = validated.outputs
            self._queue.put(prompt_id, body["prompt"], extra_data, outputs, number=number)
        if self._faults.strikes(FaultKind.NO_ANSWER):
            await asyncio.Event().wait()  # until the client gives up
        errors = validated.node_errors
        return web.json_response({"prompt_id": prompt_id, "number": number, "node_errors": errors})

    async def _get_queue(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {
                "queue_running": [prompt.as_list() for prompt in self._queue.running()],
                "queue_pending": [prompt.as_list() for prompt in self._queue.pending()],
            }
        )

    async def _post_queue(self, request: web.Request) -> web.Response:
        body = await _json_body(request)
        if body is None:
            return _server_error()
        if body.get("clear"):
            self._queue.clear()
        for prompt_id in body.get("delete", []):
            self._queue.delete(str(prompt_id))
        return web.Response(status=200)

    async def _interrupt(self, request: web.Request) -> web.Response:
        body = await _json_body(request) or {}
        prompt_id = body.get("prompt_id")
        if not prompt_id or any(run.prompt_id == prompt_id for run in self._queue.running()):
            self._executor.interrupt()
        return web.Response(status=200)

    async def _cancel_job(self, request: web.Request) -> web.Response:
        prompt_id = request.match_info["prompt_id"]
        is_cancelled = self._queue.delete(prompt_id)
        if not is_cancelled and any(run.prompt_id == prompt_id for run in self._queue.running()):
            self._executor.interrupt()
            is_cancelled = True
        return web.json_response({"cancelled": is_cancelled})

    async def _free(self, request: web.Request) -> web.Response:
        body = await _json_body(request)
        if body is None:
            return _server_error()
        self._queue.request_free(
            unload_models=bool(body.get("unload_models")),
            free_memory=bool(body.get("free_memory")),
        )
        return web.Response(status=200)

    async def _history(self, request: web.Request) -> web.Response:
        entries = self._queue.history(request.match_info.get("prompt_id"))
        limit = request.query.get("max_items")
        if limit is not None and limit.isdecimal():
            entries = dict(list(entries.items())[-int(limit) :])
        return web.json_response(entries)

    async def _post_history(self, request: web.Request) -> web.Response:
        body = await _json_body(request)
        if body is None:
            return _server_error()
        if body.get("clear"):
            self._queue.forget()
        for prompt_id in body.get("delete", []):
            self._queue.forget(str(prompt_id))
        return web.Response(status=200)

    async def _job(self, request: web.Request) -> web.Response:
        job = find_job(self._queue, request.match_info["prompt_id"])
        if job is None:
            return web.json_response({"error": "Job not found"}, status=404)
        return web.json_response(job)

    async def _system_stats(self, _request: web.Request) -> web.Response:
        return web.json_response(system_stats(self._options.version, sys.argv))

    async def _features(self, _request: web.Request) -> web.Response:
        return web.json_response(features(self._options.version))

    async def _object_info(self, request: web.Request) -> web.Response:
        uploads = self._folders.uploads()
        name = request.match_info.get("name")
        names = [name] if name is not None else list(self._catalogue.classes)
        described: dict[str, Any] = {}
        for each in names:
            described |= self._catalogue.describe(each, uploads)
        return web.json_response(described)

    async def _models(self, request: web.Request) -> web.Response:
        folder = request.match_info.get("folder")
        if folder is None:
            return web.json_response(self._catalogue.folders())
        models = self._catalogue.models(folder)
        return web.Response(status=404) if models is None else web.json_response(models)

    def _queue_changed(self) -> None:
        status = {"status": queue_status(self._queue.remaining())}
        self._sockets.post(JsonMessage("status", status), None)

    def _drop_sockets(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._sockets.drop_all)


def _pack_of(options: Options, faults: Faults) -> "Pack | None":
    if not options.has_pack:
        return None
    # Not at the top: the pack is no part of the program, and an image of it does not have one.
    from workers.comfy.simulator.pack import Pack

    return Pack(options, faults)


async def _no_page(_request: web.Request) -> web.Response:
    raise web.HTTPNotFound


async def _json_body(request: web.Request) -> dict[str, Any] | None:
    try:
        body = json.loads(await request.text())
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _server_error() -> web.Response:
    """What aiohttp says when a handler of ComfyUI raises."""
    text = "500 Internal Server Error\n\nServer got itself in trouble"
    return web.Response(status=500, text=text)


def _refusal(kind: str, message: str, details: str = "") -> web.Response:
    error = {"type": kind, "message": message, "details": details, "extra_info": {}}
    return web.json_response({"error": error, "node_errors": {}}, status=400)


def _is_canonical_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
