"""The pack as ComfyUI loads it: a folder, somewhere, by its path."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import deploy.comfyui.llamasketch_nodes as pack

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
    assert result.stdout.splitlines() == [f"{classes} {classes}", "/llamasketch/saves"]


def test_the_save_node_asks_for_no_workflow() -> None:
    inputs = pack.NODE_CLASS_MAPPINGS["LlamaSketchSaveImage"].INPUT_TYPES()  # type: ignore[attr-defined]  # ComfyUI's way

    assert list(inputs) == ["required"]
    assert list(inputs["required"]) == ["images", "filename_prefix", "format", "quality"]
