"""A GPU for the health check made of NumPy: its memory, its kernels, and their faults."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from scripts.gpu_health_check import SENTINEL, Operation, Shape, matmul_shapes

Array = npt.NDArray[Any]
_TYPES = {"fp32": np.float32, "fp16": np.float16}


class NumpyGpu:
    """The health check's device. `allocate` gives freed memory again, as torch's allocator does."""

    def __init__(self) -> None:
        self._freed: dict[tuple[int, str], Array] = {}

    def random(self, shape: Shape, precision: str, *, seed: int) -> Array:
        return np.random.default_rng(seed).uniform(-1, 1, shape).astype(_TYPES[precision])

    def widen(self, values: Array) -> Array:
        return values.astype(np.float32)

    def send(self, values: Array) -> Array:
        return values.copy()

    def fetch(self, values: Array) -> Array:
        return values.astype(np.float32)

    def sentinels(self, shape: Shape, precision: str) -> Array:
        return np.full(shape, SENTINEL, _TYPES[precision])

    def taint(self, shape: Shape, precision: str) -> Callable[[Array], bool]:
        memory = self.sentinels((math.prod(shape),), precision)
        self._freed[memory.size, memory.dtype.name] = memory
        return lambda result: np.shares_memory(result, memory)

    def allocate(self, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Memory with what was left in it."""
        key = math.prod(shape), dtype.name
        memory = self._freed.setdefault(key, np.empty(key[0], dtype))
        return memory.reshape(shape)


class ForgetfulGpu(NumpyGpu):
    """One whose allocator gives other memory than was freed."""

    def allocate(self, shape: Shape, dtype: np.dtype[Any]) -> Array:
        return np.zeros(shape, dtype)


Kernel = Callable[[Array, Array], None]  # writes the right result into a buffer, or fails to


def whole(buffer: Array, result: Array) -> None:
    """A sound kernel's writing."""
    buffer[...] = result


def multiply(kernel: Kernel = whole) -> Operation:
    """With a buffer of the caller's."""

    def compute(out: Array, left: Array, right: Array) -> None:
        kernel(out, left * right)

    return Operation("multiply", lambda count: ((count,), (count,)), compute, np.multiply)


def matmul(gpu: NumpyGpu, kernel: Kernel = whole) -> Operation:
    """With memory that the GPU's allocator gives."""

    def compute(_: None, left: Array, right: Array) -> Array:
        out = gpu.allocate((left.shape[0], right.shape[1]), left.dtype)
        kernel(out, left.astype(np.float32) @ right.astype(np.float32))
        return out

    return Operation("matmul", matmul_shapes, compute, np.matmul, takes_out=False)
