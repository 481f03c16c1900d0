"""A simulator without its server: a graph is validated and run on the spot."""

import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from workers.comfy.simulator.bench import Models
from workers.comfy.simulator.cache import NodeCache
from workers.comfy.simulator.catalogue import Catalogue
from workers.comfy.simulator.faults import Faults
from workers.comfy.simulator.folders import Folders
from workers.comfy.simulator.options import Options, PreviewMethod, ServerVersion
from workers.comfy.simulator.prompt_queue import QueuedPrompt
from workers.comfy.simulator.run import PromptRun, Surroundings
from workers.comfy.simulator.sockets import JsonMessage, Message, Sockets
from workers.comfy.simulator.validation import Validated, Validator
from workers.comfy.simulator.values import Pixels


class _Log(Sockets):
    """Sockets that nobody is connected to: what would be sent is kept."""

    def __init__(self) -> None:
        super().__init__({})
        self.messages: list[Message] = []

    def post(self, message: Message, sid: str | None) -> None:
        self.messages.append(message)


class BareSimulator:
    """Folders, a catalogue and the execution of prompts, in the caller's thread."""

    def __init__(self, data_dir: Path, additions: Mapping[str, Any] | None = None) -> None:
        options = Options(data_dir, step_s=0.0, preview=PreviewMethod.NONE)
        self.catalogue = Catalogue(additions=additions)
        self._folders = Folders(data_dir)
        self._validator = Validator(
            self.catalogue,
            file_exists=lambda name: self._folders.input_path(name) is not None,
            version=ServerVersion.V0_29,
        )
        self._log = _Log()
        self._around = Surroundings(
            options=options,
            folders=self._folders,
            faults=Faults(),
            catalogue=self.catalogue,
            sockets=self._log,
            cache=NodeCache(),
            models=Models(),
            drop_sockets=lambda: None,
        )

    def upload(self, image: Image.Image, name: str) -> str:
        """Put a picture into input/; return what LoadImage takes."""
        path = self._folders.folder("input") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, "PNG")
        return name

    def validate(self, graph: dict[str, Any]) -> Validated:
        """Check a graph as POST /prompt does."""
        return self._validator.validate(graph)

    def steps_counted(self) -> list[tuple[int, int]]:
        """The progress that was reported, as (value, maximum)."""
        return [
            (message.data["value"], message.data["max"])
            for message in self._log.messages
            if isinstance(message, JsonMessage) and message.type == "progress"
        ]

    def run(self, graph: dict[str, Any]) -> list[Pixels]:
        """Run a graph to its end; return the pictures that it saved, in the order of its files."""
        validated = self.validate(graph)
        assert validated.error is None, validated.node_errors or validated.error
        prompt = QueuedPrompt(0, 0, str(uuid.uuid4()), graph, {}, validated.outputs)
        outcome = PromptRun(
            prompt,
            self._around,
            interrupt=threading.Event(),
            stopping=threading.Event(),
            is_silent=False,
        ).execute()
        assert outcome.is_success, outcome.messages[-1]
        files = [file for shown in outcome.outputs.values() for file in shown["images"]]
        return [
            np.asarray(Image.open(self._folders.folder(f["type"]) / f["subfolder"] / f["filename"]))
            for f in files
        ]
