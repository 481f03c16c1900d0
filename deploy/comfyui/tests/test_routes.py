"""The route, as ComfyUI's server has it."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
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


class Gate:
    """An encoder that waits until it is let go."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def __call__(self, pixels: object, *, image_format: str, quality: int) -> bytes:
        assert self.opened.wait(PATIENCE_S)
        return b"whole"


@dataclass(frozen=True)
class Promised:
    """A file that is written once the gate is opened, and the route that tells of it."""

    gate: Gate
    route: web.RouteDef
    name: str


@pytest.fixture
def promised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Promised]:
    """Promise a file in the subfolder `a`."""
    gate = Gate()
    saver = ImageSaver(encode=gate)
    route = route_of(saver, monkeypatch)
    (file,) = saver.save([picture()], root=tmp_path, prefix="a/c", image_format="png", quality=1)
    yield Promised(gate, route, file.name)
    gate.opened.set()
    saver.close(timeout_s=PATIENCE_S)


@pytest.mark.parametrize("wait_s", ["60", "1e9", "inf"])
def test_the_answer_waits_for_a_file_that_is_named(promised: Promised, wait_s: str) -> None:
    async def ask() -> tuple[bool, object]:
        more = f"&name={promised.name}&wait_s={wait_s}"
        asked = asyncio.create_task(_answer(promised.route, "a", more))
        _, waiting = await asyncio.wait([asked], timeout=0.2)
        promised.gate.opened.set()
        return bool(waiting), await asyncio.wait_for(asked, PATIENCE_S)

    was_held, reply = asyncio.run(ask())

    assert was_held
    assert reply == {"files": {promised.name: {"state": "written", "error": ""}}}


@pytest.mark.parametrize(
    "more",
    ["", "&name={name}", "&wait_s=9", "&name=other.png&wait_s=9"]
    + [f"&name={{name}}&wait_s={text}" for text in ("0", "-1", "nan", "soon", "0.01")],
)
def test_any_other_answer_comes_at_once_or_when_the_time_is_over(
    promised: Promised, more: str
) -> None:
    answer = _answer(promised.route, "a", more.format(name=promised.name))

    reply = asyncio.run(asyncio.wait_for(answer, 5))

    assert reply == {"files": {promised.name: {"state": "waiting", "error": ""}}}


def test_without_a_server_there_is_no_route_and_no_error(
    monkeypatch: pytest.MonkeyPatch, saver: ImageSaver
) -> None:
    assert routes_register(saver) is False
    serve(monkeypatch, None)
    assert routes_register(saver) is False


def route_of(saver: ImageSaver, monkeypatch: pytest.MonkeyPatch) -> web.RouteDef:
    """Register the route and return it."""
    routes = web.RouteTableDef()
    serve(monkeypatch, SimpleNamespace(routes=routes))
    routes_register(saver)
    (route,) = [route for route in routes if isinstance(route, web.RouteDef)]
    return route


async def _answer(route: web.RouteDef, subfolder: str, more: str = "") -> object:
    request = make_mocked_request("GET", f"{PATH}?subfolder={quote(subfolder, safe='')}{more}")
    response = await route.handler(request)
    assert isinstance(response, web.Response)
    assert isinstance(response.body, bytes)
    return json.loads(response.body)
