"""The pack as ComfyUI loads it: a folder, somewhere, by its path."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import deploy.comfyui.llamasketch_nodes as pack
from deploy.comfyui.llamasketch_nodes import nodes
from deploy.comfyui.llamasketch_nodes.latents import BadLatent
from deploy.comfyui.llamasketch_nodes.saver import ImageSaver
from deploy.comfyui.tests.fakes import PATIENCE_S, GatedEncoder, until

FOLDER = Path(pack.__file__).parent

# What load_custom_node of ComfyUI's nodes.py does, 0.8 to 0.29, with a server that takes routes.
LOADER = """
import importlib.util, os, sys, types
from aiohttp import web

path = sys.argv[1]
routes = web.RouteTableDef()
server = types.ModuleType("server")
server.PromptServer = types.SimpleNamespace(instance=types.SimpleNamespace(routes=routes))
sys.modules["server"] = server

name = path.replace(".", "_x_")
spec = importlib.util.spec_from_file_location(name, os.path.join(path, "__init__.py"))
module = importlib.util.module_from_spec(spec)
sys.modules[name] = module
spec.loader.exec_module(module)

print(*sorted(module.NODE_CLASS_MAPPINGS), *sorted(module.NODE_DISPLAY_NAME_MAPPINGS))
print(*(route.path for route in routes))
"""


def test_the_folder_alone_is_loaded_by_its_path_and_registers_itself(tmp_path: Path) -> None:
    copied = tmp_path / "custom.nodes" / "any name"
    shutil.copytree(FOLDER, copied, ignore=shutil.ignore_patterns("__pycache__"))

    result = subprocess.run(
        [sys.executable, "-I", "-c", LOADER, str(copied)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )

    assert result.stderr == ""
    classes = "LlamaSketchCheckLatent LlamaSketchSaveImage"
    assert result.stdout.splitlines() == [
        f"{classes} {classes}",
        "/llamasketch/saves /llamasketch/file",
    ]


def test_the_save_node_asks_for_no_workflow() -> None:
    inputs = pack.NODE_CLASS_MAPPINGS["LlamaSketchSaveImage"].INPUT_TYPES()  # type: ignore[attr-defined]  # ComfyUI's way

    assert list(inputs) == ["required"]
    assert list(inputs["required"]) == ["images", "filename_prefix", "format", "quality"]


class StandIn:
    """What the nodes ask of a tensor, on an array."""

    def __init__(self, values: npt.NDArray[Any]) -> None:
        self._values = values

    def float(self) -> StandIn:
        return StandIn(self._values.astype(np.float32))

    def byte(self) -> StandIn:
        return StandIn(self._values.astype(np.uint8))

    def clamp_(self, low: int, high: int) -> StandIn:
        return StandIn(self._values.clip(low, high))

    def __mul__(self, factor: object) -> StandIn:
        return StandIn(self._values * factor)

    def detach(self) -> StandIn:
        return self

    def cpu(self) -> StandIn:
        return self

    def numpy(self) -> npt.NDArray[Any]:
        return self._values


def comfyui(
    monkeypatch: pytest.MonkeyPatch, output: Path, *, interrupt: Callable[[], None] = lambda: None
) -> None:
    """Put ComfyUI's modules where the nodes look for them."""
    folder_paths, management = ModuleType("folder_paths"), ModuleType("comfy.model_management")
    folder_paths.get_output_directory = lambda: str(output)  # type: ignore[attr-defined]  # a stand-in
    management.throw_exception_if_processing_interrupted = interrupt  # type: ignore[attr-defined]  # a stand-in
    monkeypatch.setitem(sys.modules, "folder_paths", folder_paths)
    monkeypatch.setitem(sys.modules, "comfy", ModuleType("comfy"))
    monkeypatch.setitem(sys.modules, "comfy.model_management", management)


def save(images: StandIn) -> dict[str, Any]:
    return nodes.LlamaSketchSaveImage().save(images, "a/image", "png", 92)


def test_the_save_node_names_files_in_comfyuis_output_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    comfyui(monkeypatch, tmp_path)
    saver = ImageSaver()
    monkeypatch.setattr(nodes, "image_saver", saver)

    shown = save(StandIn(np.ones((2, 8, 8, 3))))

    names = ["image_00001_.png", "image_00002_.png"]
    files = [{"filename": name, "subfolder": "a", "type": "output"} for name in names]
    assert shown == {"ui": {"images": files}}
    until(lambda: all(state.state == "written" for state in saver.states("a").values()))
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == names
    saver.close(timeout_s=PATIENCE_S)


def test_the_save_node_waits_no_longer_for_room_when_the_prompt_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class InterruptProcessingException(BaseException):
        """ComfyUI's own."""

    def interrupt() -> None:
        raise InterruptProcessingException

    comfyui(monkeypatch, tmp_path, interrupt=interrupt)
    encoder = GatedEncoder()
    saver = ImageSaver(encode=encoder, threads=1, unfinished_max=1)
    monkeypatch.setattr(nodes, "image_saver", saver)

    with pytest.raises(InterruptProcessingException):
        save(StandIn(np.ones((2, 8, 8, 3))))

    encoder.gate.set()
    saver.close(timeout_s=PATIENCE_S)


def test_the_check_node_hands_a_latent_on_or_stops_the_prompt() -> None:
    values = np.random.default_rng(1).normal(size=(1, 128, 4, 4))
    samples = {"samples": StandIn(values)}

    assert nodes.LlamaSketchCheckLatent().check(samples) == (samples,)
    values[0, 5, 1, 1] = np.nan
    with pytest.raises(BadLatent, match="not a number"):
        nodes.LlamaSketchCheckLatent().check(samples)
