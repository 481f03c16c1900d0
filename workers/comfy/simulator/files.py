"""Uploads and downloads over HTTP."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from aiohttp import BodyPartReader, web

from workers.comfy.simulator.faults import FaultKind, Faults
from workers.comfy.simulator.folders import Folders, OutsideFolder, content_type

GiveFile: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]

_LATE_S_PER_FACTOR = 0.25


class FileRoutes:
    """`POST /upload/image` and `GET /view`."""

    def __init__(self, folders: Folders, faults: Faults) -> None:
        self._folders = folders
        self._faults = faults
        self.uploads = 0  # how many files were sent

    async def upload(self, request: web.Request) -> web.Response:
        """Store a file in input/ (or another folder)."""
        fields: dict[str, str] = {}
        image: tuple[str, bytes] | None = None
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                continue
            if part.name == "image" and part.filename:
                image = (part.filename, bytes(await part.read()))
            elif part.name:
                fields[part.name] = (await part.read()).decode("utf-8", "replace")
        if image is None:
            return web.Response(status=400)
        self.uploads += 1
        try:
            stored = self._folders.store_upload(
                image[1],
                name=image[0],
                subfolder=fields.get("subfolder", ""),
                folder_type=fields.get("type") or "input",
                overwrite=fields.get("overwrite") in {"true", "1"},
            )
        except (OutsideFolder, KeyError):
            return web.Response(status=400)
        reply = {"name": stored.name, "subfolder": stored.subfolder, "type": stored.type}
        return web.json_response(reply)

    async def view(self, request: web.Request) -> web.StreamResponse:
        """Serve a file as it is, even when it is empty or half written."""
        filename = request.query.get("filename")
        if filename is None:
            return web.Response(status=404)
        if not filename or filename.startswith("/") or ".." in filename:
            return web.Response(status=400)
        try:
            path = self._folders.view_path(
                filename=filename,
                subfolder=request.query.get("subfolder", ""),
                folder_type=request.query.get("type", "output"),
            )
        except KeyError:
            return web.Response(status=400)
        except OutsideFolder:
            return web.Response(status=403)
        if path is None or self._faults.strikes(FaultKind.MISSING_FILE):
            return web.Response(status=404)
        headers = {
            "Content-Disposition": f'filename="{path.name}"',
            "Content-Type": content_type(path),
        }
        faulty = await self._send_faulty(request, path.read_bytes, headers)
        return web.FileResponse(path, headers=headers) if faulty is None else faulty

    def with_faults(self, give: GiveFile) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Let the faults of `/view` strike files that another route gives."""

        async def file(request: web.Request) -> web.StreamResponse:
            given = await give(request)
            data = given.body
            if given.status != 200 or not isinstance(data, bytes):
                return given
            if self._faults.strikes(FaultKind.MISSING_FILE):
                return web.json_response({"state": "unknown"}, status=404)
            headers = {"Content-Type": given.content_type}
            faulty = await self._send_faulty(request, lambda: data, headers)
            return given if faulty is None else faulty

        return file

    async def _send_faulty(
        self, request: web.Request, read: Callable[[], bytes], headers: Mapping[str, str]
    ) -> web.StreamResponse | None:
        """Send half of a file, or its second half late; None where it is to be sent as it is."""
        if self._faults.strikes(FaultKind.TRUNCATED_FILE):
            data = await asyncio.to_thread(read)
            return web.Response(body=data[: len(data) // 2], headers=headers)
        slow = self._faults.strikes(FaultKind.SLOW_FILE)
        if slow is None:
            return None
        data = await asyncio.to_thread(read)
        response = web.StreamResponse(headers=headers)
        response.content_length = len(data)
        await response.prepare(request)
        await response.write(data[: len(data) // 2])
        await asyncio.sleep(slow.factor * _LATE_S_PER_FACTOR)
        await response.write(data[len(data) // 2 :])
        return response
