"""The route, as ComfyUI's server has it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from urllib.parse import quote

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from deploy.comfyui.llamasketch_nodes.routes import PATH, routes_register
from deploy.comfyui.llamasketch_nodes.saver import ImageSaver
from deploy.comfyui.tests.fakes import PATIENCE_S, picture, until


@pytest.fixture
def saver() -> Iterator[ImageSaver]:
    saver = ImageSaver()
    yield saver
    saver.close(timeout_s=PATIENCE_S)


def serve(monkeypatch: pytest.MonkeyPatch, instance: object) -> None:
    """Put ComfyUI's module `server` where the pack looks for it."""
    module = ModuleType("server")
    module.PromptServer = SimpleNamespace(instance=instance)  # type: ignore[attr-defined]  # a stand-in
    monkeypatch.setitem(sys.modules, "server", module)


@pytest.mark.parametrize("subfolder", ["a/b", "/a/b/", "a\\b"])
def test_the_route_tells_what_became_of_a_subfolders_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saver: ImageSaver, subfolder: str
) -> None:
    routes = web.RouteTableDef()
    serve(monkeypatch, SimpleNamespace(routes=routes))
    saver.save([picture()], root=tmp_path, prefix="a/b/c", image_format="png", quality=1)
    until(lambda: [state.state for state in saver.states("a/b").values()] == ["written"])

    assert routes_register(saver)
    (route,) = [route for route in routes if isinstance(route, web.RouteDef)]
    reply = asyncio.run(_answer(route, subfolder))

    assert (route.method, route.path) == ("GET", "/llamasketch/saves")
    assert reply == {"files": {"c_00001_.png": {"state": "written", "error": ""}}}


def test_a_subfolder_that_is_not_known_has_no_files(
    monkeypatch: pytest.MonkeyPatch, saver: ImageSaver
) -> None:
    routes = web.RouteTableDef()
    serve(monkeypatch, SimpleNamespace(routes=routes))

    routes_register(saver)

    (route,) = [route for route in routes if isinstance(route, web.RouteDef)]
    assert asyncio.run(_answer(route, "never/heard")) == {"files": {}}


def test_without_a_server_there_is_no_route_and_no_error(
    monkeypatch: pytest.MonkeyPatch, saver: ImageSaver
) -> None:
    assert routes_register(saver) is False
    serve(monkeypatch, None)
    assert routes_register(saver) is False


async def _answer(route: web.RouteDef, subfolder: str) -> object:
    request = make_mocked_request("GET", f"{PATH}?subfolder={quote(subfolder, safe='')}")
    response = await route.handler(request)
    assert isinstance(response, web.Response)
    assert isinstance(response.body, bytes)
    return json.loads(response.body)
