"""What the pack's tests share: pictures, an encoder that waits, and a way to await a file."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from deploy.comfyui.llamasketch_nodes.encoding import Pixels, encode_image

PATIENCE_S = 20.0  # far longer than anything takes: it ends a test that is stuck


def picture(red: int = 200, *, side: int = 32) -> Pixels:
    """A sheet of one colour with a corner of another."""
    pixels = np.full((side, side, 3), (red, 80, 40), np.uint8)
    pixels[: side // 2, : side // 2] = (20, 30, red)
    return pixels


class GatedEncoder:
    """Encodes once its gate is open, and counts what has begun and what it was given.

    `problem` is raised instead, where it is set.
    """

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.problem: Exception | None = None
        self.begun = 0
        self._changed = threading.Condition()

    def __call__(self, pixels: Pixels, *, image_format: str, quality: int) -> bytes:
        with self._changed:
            self.begun += 1
            self._changed.notify_all()
        assert self.gate.wait(PATIENCE_S)
        if self.problem is not None:
            raise self.problem
        return encode_image(pixels, image_format=image_format, quality=quality)

    def wait_begun(self, count: int) -> None:
        """Wait until so many pictures are being encoded or are done."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.begun >= count, PATIENCE_S)


def until(is_reached: Callable[[], bool]) -> None:
    """Ask until something holds that another thread brings about."""
    pause = threading.Event()
    for _ in range(int(PATIENCE_S / 0.005)):
        if is_reached():
            return
        pause.wait(0.005)
    raise AssertionError("not reached")
