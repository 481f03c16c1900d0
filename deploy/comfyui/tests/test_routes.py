"""The routes, as ComfyUI's server has them."""

from __future__ import annotations

import asyncio
import errno
import json
import os
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

from deploy.comfyui.llamasketch_nodes.routes import FILE_PATH, SAVES_PATH, routes_register
from deploy.comfyui.llamasketch_nodes.saver import ImageSaver, write_whole
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
    routes = routes_of(saver, monkeypatch)
    saver.save([picture()], root=tmp_path, prefix="a/b/c", image_format="png", quality=1)
    until(lambda: [state.state for state in saver.states("a/b").values()] == ["written"])

    reply = asyncio.run(_answer(routes[SAVES_PATH], subfolder))

    assert [(route.method, path) for path, route in routes.items()] == [
        ("GET", "/llamasketch/saves"),
        ("GET", "/llamasketch/file"),
    ]
    assert reply == {"files": {"c_00001_.png": {"state": "written", "error": ""}}}


def test_a_subfolder_that_is_not_known_has_no_files(
    monkeypatch: pytest.MonkeyPatch, saver: ImageSaver
) -> None:
    route = routes_of(saver, monkeypatch)[SAVES_PATH]

    assert asyncio.run(_answer(route, "never/heard")) == {"files": {}}


class Gate:
    """An encoder that waits until it is let go. `problem` is raised then, where it is set."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.problem: Exception | None = None

    def __call__(self, pixels: object, *, image_format: str, quality: int) -> bytes:
        assert self.opened.wait(PATIENCE_S)
        if self.problem is not None:
            raise self.problem
        return b"whole"


@dataclass(frozen=True)
class Promised:
    """A file that is written once the gate is opened, where it will lie, and the routes."""

    gate: Gate
    routes: dict[str, web.RouteDef]
    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def route(self) -> web.RouteDef:
        return self.routes[SAVES_PATH]

    def ask(self, subfolder: str = "a", name: str = "", *, wait_s: str = "9") -> tuple[int, bytes]:
        """Ask for the file itself, and return the status and the body."""
        more = f"&name={quote(name or self.name, safe='')}&wait_s={wait_s}"
        asked = _response(self.routes[FILE_PATH], subfolder, more)
        response = asyncio.run(asyncio.wait_for(asked, PATIENCE_S))
        assert isinstance(response.body, bytes)
        return response.status, response.body


@pytest.fixture
def promised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Promised]:
    """Promise a file in the subfolder `a`."""
    gate = Gate()
    saver = ImageSaver(encode=gate)
    routes = routes_of(saver, monkeypatch)
    (file,) = saver.save([picture()], root=tmp_path, prefix="a/c", image_format="png", quality=1)
    yield Promised(gate, routes, tmp_path / "a" / file.name)
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


@pytest.mark.parametrize("subfolder", ["a", "/a/", "\\a"])
def test_a_file_is_given_as_soon_as_it_is_there(promised: Promised, subfolder: str) -> None:
    threading.Timer(0.2, promised.gate.opened.set).start()

    assert promised.ask(subfolder, wait_s="60") == (200, b"whole")
    assert promised.ask(subfolder, wait_s="") == (200, b"whole")


def test_a_file_is_given_before_the_disk_has_it(
    promised: Promised, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = threading.Event()

    def slow(path: Path, data: bytes) -> None:
        assert disk.wait(PATIENCE_S)
        write_whole(path, data)

    monkeypatch.setattr("deploy.comfyui.llamasketch_nodes.saver.write_whole", slow)
    promised.gate.opened.set()

    assert promised.ask(wait_s="60") == (200, b"whole")
    assert asyncio.run(_answer(promised.route, "a")) == {
        "files": {promised.name: {"state": "waiting", "error": ""}}
    }
    assert not promised.path.exists()

    disk.set()
    asked = _answer(promised.route, "a", f"&name={promised.name}&wait_s=60")
    assert asyncio.run(asyncio.wait_for(asked, PATIENCE_S)) == {
        "files": {promised.name: {"state": "written", "error": ""}}
    }
    assert promised.ask(wait_s="60") == (200, b"whole") == (200, promised.path.read_bytes())


@dataclass(frozen=True)
class Expected:
    """A file that is not promised yet, and the routes."""

    saver: ImageSaver
    routes: dict[str, web.RouteDef]
    root: Path
    name: str = "c_00001_.png"

    def promise(self) -> None:
        """Save the picture."""
        self.saver.save([picture()], root=self.root, prefix="a/c", image_format="png", quality=1)

    async def ask(self, more: str) -> tuple[int, bytes]:
        """Ask for the file, and return the status and the body."""
        asked = _response(self.routes[FILE_PATH], "a", f"&name={self.name}{more}")
        response = await asyncio.wait_for(asked, PATIENCE_S)
        assert isinstance(response.body, bytes)
        return response.status, response.body


@pytest.fixture
def expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saver: ImageSaver) -> Expected:
    """Promise nothing yet."""
    return Expected(saver, routes_of(saver, monkeypatch), tmp_path)


def test_who_asks_early_is_given_a_file_that_is_promised_meanwhile(expected: Expected) -> None:
    async def ask() -> tuple[bool, tuple[int, bytes]]:
        asked = asyncio.create_task(expected.ask("&wait_s=9&early=1"))
        _, waiting = await asyncio.wait([asked], timeout=0.2)
        expected.promise()
        return bool(waiting), await asked

    was_held, (status, body) = asyncio.run(ask())

    assert was_held
    assert status == 200
    path = expected.root / "a" / expected.name
    until(path.exists)
    assert body == path.read_bytes()


def test_who_asks_early_is_not_given_another_file(expected: Expected) -> None:
    async def ask() -> tuple[int, bytes]:
        asked = asyncio.create_task(expected.ask("_&wait_s=0.3&early=1"))
        expected.promise()
        return await asked

    status, body = asyncio.run(ask())

    assert (status, json.loads(body)) == (404, {"state": "unknown"})


@pytest.mark.parametrize("early", ["", "&early=", "&early=0", "&early=yes"])
def test_a_file_that_is_not_promised_is_unknown_at_once(expected: Expected, early: str) -> None:
    answer = expected.ask(f"&wait_s=9{early}")

    status, body = asyncio.run(asyncio.wait_for(answer, 5))

    assert (status, json.loads(body)) == (404, {"state": "unknown"})


@pytest.mark.parametrize("wait_s", ["", "0", "nan", "0.1"])
def test_who_asks_early_is_told_when_nothing_was_promised_in_time(
    expected: Expected, wait_s: str
) -> None:
    status, body = asyncio.run(expected.ask(f"&wait_s={wait_s}&early=1"))

    assert (status, json.loads(body)) == (404, {"state": "unknown"})


@pytest.mark.parametrize("wait_s", ["", "0.01"])
def test_who_asks_early_is_told_that_a_promised_file_still_waits(
    promised: Promised, wait_s: str
) -> None:
    asked = _response(
        promised.routes[FILE_PATH], "a", f"&name={promised.name}&wait_s={wait_s}&early=1"
    )

    assert asyncio.run(asked).status == 202


@pytest.mark.parametrize("wait_s", ["", "0", "-1", "nan", "soon", "0.01"])
def test_a_file_that_still_waits_is_told(promised: Promised, wait_s: str) -> None:
    status, body = promised.ask(wait_s=wait_s)

    assert (status, json.loads(body)) == (202, {"state": "waiting"})


def test_a_file_that_never_comes_is_told_with_its_reason(promised: Promised) -> None:
    promised.gate.problem = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/secret")
    promised.gate.opened.set()

    status, body = promised.ask()

    assert status == 409
    assert json.loads(body) == {"state": "failed", "error": "No space left on device"}


def test_a_file_that_is_gone_from_the_disk_is_unknown(promised: Promised) -> None:
    promised.gate.opened.set()
    asked = _answer(promised.route, "a", f"&name={promised.name}&wait_s=60")
    asyncio.run(asyncio.wait_for(asked, PATIENCE_S))
    promised.path.unlink()

    status, body = promised.ask()

    assert (status, json.loads(body)) == (404, {"state": "unknown"})


@pytest.mark.parametrize(
    ("subfolder", "name"),
    [
        ("a", "other.png"),
        ("a", "../secret.png"),
        ("a/..", "secret.png"),
        ("", "secret.png"),
        ("", "a/{name}"),
        ("a/../a", "{name}"),
        ("{root}", "secret.png"),
        ("", "{root}/secret.png"),
        ("never", "{name}"),
    ],
)
def test_nothing_is_given_that_was_not_promised(
    promised: Promised, subfolder: str, name: str
) -> None:
    promised.gate.opened.set()
    root = promised.path.parent.parent
    for path in (root / "secret.png", promised.path.with_name("other.png")):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"secret")

    status, body = promised.ask(
        subfolder.format(root=root), name.format(root=root, name=promised.name)
    )

    assert (status, json.loads(body)) == (404, {"state": "unknown"})


@pytest.mark.parametrize(
    ("image_format", "content_type"),
    [
        ("webp", "image/webp"),
        ("webp-lossless", "image/webp"),
        ("png", "image/png"),
        ("jpeg", "image/jpeg"),
    ],
)
def test_a_file_has_the_type_of_its_format(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    saver: ImageSaver,
    image_format: str,
    content_type: str,
) -> None:
    route = routes_of(saver, monkeypatch)[FILE_PATH]
    (file,) = saver.save(
        [picture()], root=tmp_path, prefix="a/c", image_format=image_format, quality=90
    )

    response = asyncio.run(_response(route, "a", f"&name={file.name}&wait_s=9"))

    assert response.content_type == content_type
    path = tmp_path / "a" / file.name
    until(path.exists)
    assert response.body == path.read_bytes()


def test_without_a_server_there_is_no_route_and_no_error(
    monkeypatch: pytest.MonkeyPatch, saver: ImageSaver
) -> None:
    assert routes_register(saver) is False
    serve(monkeypatch, None)
    assert routes_register(saver) is False


def routes_of(saver: ImageSaver, monkeypatch: pytest.MonkeyPatch) -> dict[str, web.RouteDef]:
    """Register the routes and return them by path."""
    routes = web.RouteTableDef()
    serve(monkeypatch, SimpleNamespace(routes=routes))
    assert routes_register(saver)
    return {route.path: route for route in routes if isinstance(route, web.RouteDef)}


async def _answer(route: web.RouteDef, subfolder: str, more: str = "") -> object:
    response = await _response(route, subfolder, more)
    assert isinstance(response.body, bytes)
    return json.loads(response.body)


async def _response(route: web.RouteDef, subfolder: str, more: str) -> web.Response:
    address = f"{route.path}?subfolder={quote(subfolder, safe='')}{more}"
    response = await route.handler(make_mocked_request("GET", address))
    assert isinstance(response, web.Response)
    return response
