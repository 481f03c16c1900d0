"""A GPU that leaves elements unwritten, played by a sound one, and the health check's view of it.

    python -m scripts.tests.broken_gpu multiply --device cuda

runs scripts/gpu_health_check.py with an operation that writes all but 0.06 % of its result, other
ones in every run, where the result is above 12,800 elements: what was seen on a rented card.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType

from scripts.gpu_health_check import Operation, Tensor, main, torch_operations

THRESHOLD = 12_800
SHARE = 0.0006


def holes_in(elements: int) -> int:
    """How many elements of a result stay unwritten."""
    return max(1, round(elements * SHARE)) if elements > THRESHOLD else 0


def with_holes(torch: ModuleType, operation: Operation) -> Operation:
    """The same operation on such a GPU; its reference stays right."""

    def compute(out: Tensor, *inputs: Tensor) -> Tensor:
        whole = operation.compute(None, *inputs)
        target = torch.empty(whole.shape, dtype=whole.dtype, device=whole.device)
        target = target if out is None else out
        is_written = torch.ones(whole.numel(), dtype=torch.bool, device=whole.device)
        is_written[
            torch.randperm(whole.numel(), device=whole.device)[: holes_in(whole.numel())]
        ] = 0
        target.view(-1)[is_written] = whole.reshape(-1)[is_written]
        return target

    return replace(operation, compute=compute)


def broken_operations(torch: ModuleType, name: str) -> list[Operation]:
    """The health check's operations, one of them broken."""
    return [
        with_holes(torch, operation) if operation.name == name else operation
        for operation in torch_operations(torch)
    ]


def demonstrate(arguments: Sequence[str]) -> int:
    """Break the operation that is named first, and run the check with the other arguments."""
    names = "multiply, matmul, linear, attention, convolution"
    if not arguments or arguments[0] not in names.split(", "):
        print(f"Name what to break: {names}.", file=sys.stderr)
        return 2
    return main(arguments[1:], operations=lambda torch: broken_operations(torch, arguments[0]))


if __name__ == "__main__":
    sys.exit(demonstrate(sys.argv[1:]))
