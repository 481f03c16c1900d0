"""The node pack on this server: its own classes and its own saver, without tensors.

What the pack says about its classes, how it names, encodes and writes files, and what it tells
about them is the code that a GPU machine runs. Here are only the parts that need torch there: a
picture is an array already, and a latent stands for pictures.
"""

import errno
import os
import threading
from typing import Any

import numpy as np

from deploy.comfyui.llamasketch_nodes.encoding import Pixels, encode_image
from deploy.comfyui.llamasketch_nodes.latents import latent_check
from deploy.comfyui.llamasketch_nodes.nodes import (
    NODE_CLASS_MAPPINGS,
    NODE_DISPLAY_NAME_MAPPINGS,
)
from deploy.comfyui.llamasketch_nodes.routes import (
    FILE_PATH,
    SAVES_PATH,
    file_handler,
    saves_handler,
)
from deploy.comfyui.llamasketch_nodes.saver import ImageSaver
from workers.comfy.simulator.bench import Bench
from workers.comfy.simulator.cache import CachedResult
from workers.comfy.simulator.catalogue import PackClass
from workers.comfy.simulator.faults import FaultKind, Faults
from workers.comfy.simulator.nodes import Inputs
from workers.comfy.simulator.options import Options
from workers.comfy.simulator.values import Latent

_CLOSE_S = 0.5


class Pack:
    """What one server with the pack has: node classes, routes, and threads that write files.

    Attributes:
        saves_path, saves: the route that tells what became of files, and its handler.
        file_path, file: the route that gives a file, and its handler.
        classes: the node classes by name.
    """

    saves_path, file_path = SAVES_PATH, FILE_PATH

    def __init__(self, options: Options, faults: Faults) -> None:
        self._options = options
        self._faults = faults
        self._closing = threading.Event()
        self._saver = ImageSaver(encode=self._encode)
        self.saves = saves_handler(self._saver)
        self.file = file_handler(self._saver)
        self.classes = {
            "LlamaSketchSaveImage": PackClass(_described("LlamaSketchSaveImage"), self._save),
            "LlamaSketchCheckLatent": PackClass(_described("LlamaSketchCheckLatent"), _check),
        }

    def close(self) -> None:
        """End the threads; what they have not written is lost, as in ComfyUI."""
        self._closing.set()
        self._saver.close(timeout_s=_CLOSE_S)

    def _save(self, bench: Bench, inputs: Inputs) -> CachedResult:
        def look() -> None:
            bench.wait(0)
            bench.check_interrupt()

        files = self._saver.save(
            inputs["images"],
            root=bench.folders.folder("output"),
            prefix=str(inputs["filename_prefix"]),
            image_format=str(inputs["format"]),
            quality=int(inputs["quality"]),
            look=look,
        )
        shown = [
            {"filename": file.name, "subfolder": file.subfolder, "type": "output"} for file in files
        ]
        return CachedResult((), {"images": shown})

    def _encode(self, pixels: Pixels, *, image_format: str, quality: int) -> bytes:
        """Encode as the pack does, for as long as SaveImage takes here, in the pack's threads."""
        self._closing.wait(self._options.encode_s)
        if self._closing.is_set():
            raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
        if self._faults.strikes(FaultKind.FAILED_WRITE):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return encode_image(pixels, image_format=image_format, quality=quality)


def _check(_bench: Bench, inputs: Inputs) -> CachedResult:
    samples: Latent = inputs["samples"]
    # The pixels stand for the values of the latent; an empty one has a single value all over.
    values = np.stack(samples.pictures).astype(np.float32) if samples.pictures else np.zeros((1, 1))
    latent_check(np.full_like(values, np.nan) if samples.has_nan else values)
    return CachedResult((samples,))


def _described(name: str) -> dict[str, Any]:
    """Describe a class as ComfyUI does from its attributes."""
    node_class: Any = NODE_CLASS_MAPPINGS[name]
    groups = node_class.INPUT_TYPES()
    outputs = list(node_class.RETURN_TYPES)
    return {
        "input": {
            group: {key: list(spec) for key, spec in inputs.items()}
            for group, inputs in groups.items()
        },
        "input_order": {group: list(inputs) for group, inputs in groups.items()},
        "is_input_list": False,
        "output": outputs,
        "output_is_list": [False] * len(outputs),
        "output_name": list(getattr(node_class, "RETURN_NAMES", outputs)),
        "name": name,
        "display_name": NODE_DISPLAY_NAME_MAPPINGS[name],
        "description": node_class.DESCRIPTION,
        "python_module": "custom_nodes.llamasketch_nodes",
        "category": node_class.CATEGORY,
        "output_node": bool(getattr(node_class, "OUTPUT_NODE", False)),
        "has_intermediate_output": False,
    }
