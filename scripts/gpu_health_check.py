#!/usr/bin/env python3
"""A check for GPUs that compute wrongly while all looks well.

One rented card left some 0.06 % of the elements of its results unwritten, other ones in every run,
in every tensor above 12,800 elements (50 KB) and in every kind of kernel. Means and maxima looked
healthy; every image was black. So this check fills the memory of each result with a sentinel, a
value that no result can have, has the GPU compute into it, and looks for sentinels that are left.

The GPU is trusted with nothing but the operation under test: inputs and sentinels are made on the
CPU and copied over, and results are copied back and judged on the CPU, since on that card the
GPU's own `isnan(x).sum()` returned nonsense.

Needs torch, and nothing else: it is copied to the GPU machine as one file.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from types import ModuleType
from typing import Any, Protocol

HEALTHY, BROKEN, NOT_RUN = 0, 1, 2  # the exit status

Tensor = Any  # torch's; NumPy's in the tests. Neither is there where the types are checked.
Shape = tuple[int, ...]

# Exact in all three precisions (31 × 2^10), and a thousand times any result of ours.
SENTINEL = -31744.0
# Around the threshold that was seen, 12,800, as near as an operation's shapes come; and far above.
ELEMENTS = (
    6_400, 11_552, 12_288, 12_799, 12_800, 12_801, 13_312, 14_112, 25_600, 131_072, 1_048_576,
    8_388_608,
)  # fmt: skip
# The largest difference from the CPU's result that passes, as a part of the largest value there.
# Chosen: about five times the rounding of the precision, ten where sums are rounded in between.
TOLERANCES = {"fp32": 1e-4, "bf16": 2e-2, "fp16": 5e-3}
REPEATS = 3
ALIGNMENT_BYTES = 512  # of torch's allocator: it rounds every request up to a multiple
TAINTED_PIECES = 8  # more than the operations allocate of their result's size


class NotRun(Exception):
    """The check could not run; the message is one sentence that says why."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What the GPU is asked to do.

    Args:
        shapes: of the inputs, so that the result has about as many elements.
        compute: called with the buffer for the result, or None, and the inputs.
        reference: called with the inputs on the CPU in float32.
        takes_out: whether it writes into a buffer of ours. Otherwise the memory that torch will
            give it is filled beforehand.
    """

    name: str
    shapes: Callable[[int], tuple[Shape, ...]]
    compute: Callable[..., Tensor]
    reference: Callable[..., Tensor]
    takes_out: bool = True


class Device(Protocol):
    """Where operations run, and what may be done there besides: copying."""

    def random(self, shape: Shape, precision: str, *, seed: int) -> Tensor:
        """Numbers from -1 to 1, on the CPU, in a precision."""

    def widen(self, values: Tensor) -> Tensor:
        """The same numbers in float32."""

    def send(self, values: Tensor) -> Tensor:
        """Copy to the device."""

    def fetch(self, values: Tensor) -> Tensor:
        """Copy to the CPU, and widen there."""

    def sentinels(self, shape: Shape, precision: str) -> Tensor:
        """A buffer on the device, full of sentinels."""

    def taint(self, shape: Shape, precision: str) -> Callable[[Tensor], bool]:
        """Leave sentinels in the memory that the next result of this shape will get.

        What is returned says whether a result has got it.
        """


@dataclass(slots=True)
class Case:
    """One operation at one size: what was seen in each run, in elements."""

    operation: str
    precision: str
    elements: int
    untouched: list[int] = field(default_factory=list)
    wrong: list[int] = field(default_factory=list)
    unstable: list[int] = field(default_factory=list)
    largest_difference: float = 0.0
    has_sentinels: bool = True
    error: str | None = None

    @property
    def is_healthy(self) -> bool:
        """Whether every element was written, right, and the same in every run."""
        return self.error is None and not any(self.untouched + self.wrong + self.unstable)

    def sentence(self) -> str:
        """What was wrong with it."""
        if self.error is not None:
            return f"{self} failed: {self.error}"
        seen = {"untouched": self.untouched, "wrong": self.wrong, "unstable": self.unstable}
        counts = "; ".join(
            f"{name} {', '.join(f'{count:,}' for count in each)} ({_share(each, self.elements)})"
            for name, each in seen.items()
            if any(each)
        )
        return f"{self}: {counts}"

    def __str__(self) -> str:
        return f"{self.operation} {self.precision}, {self.elements:,} elements"


def main(
    arguments: Sequence[str] | None = None,
    *,
    operations: Callable[[ModuleType], list[Operation]] | None = None,
) -> int:
    """Check, print a table and one verdict, and return the exit status.

    Other operations than torch's own can be put in, to show what a broken one looks like.
    """
    flags = _parser().parse_args(arguments)
    started_at = time.monotonic()
    try:
        torch = _torch()
        device = TorchDevice(torch, flags.device)
        plan = (operations or torch_operations)(torch)
        about = device.about()
        if not flags.json:
            print(about)
        cases = check(
            device, plan, repeats=flags.repeats, elements=sizes(flags.largest),
            precisions=tuple(TOLERANCES), out_of_memory=torch.cuda.OutOfMemoryError,
        )  # fmt: skip
    except NotRun as reason:
        print(json.dumps({"verdict": "not run", "reason": str(reason)}) if flags.json else reason)
        return NOT_RUN
    status = HEALTHY if all(case.is_healthy for case in cases) else BROKEN
    if flags.json:
        print(as_json(cases, about=about, status=status))
    else:
        print("\n".join([*table(cases), "", verdict(cases, time.monotonic() - started_at)]))
    return status


def sizes(largest: int) -> tuple[int, ...]:
    """The sizes up to one, in elements."""
    return tuple(elements for elements in ELEMENTS if elements <= largest)


def check(
    device: Device,
    operations: Iterable[Operation],
    *,
    repeats: int,
    elements: Iterable[int],
    precisions: Iterable[str],
    out_of_memory: type[Exception] = MemoryError,
) -> list[Case]:
    """Run every operation in every precision at every size it has.

    Stops at the first error: after an illegal access the GPU answers nothing any more.

    Raises:
        NotRun: there is not enough free memory on the GPU.
    """
    cases = []
    for operation in operations:
        # Two sizes that come to the same shapes are one case.
        shapes = dict.fromkeys(operation.shapes(count) for count in elements)
        for precision in precisions:
            for inputs in shapes:
                try:
                    case = check_case(device, operation, precision, inputs, repeats=repeats)
                except out_of_memory:
                    raise NotRun(
                        "The GPU has too little free memory for the check: stop ComfyUI, or give "
                        "a smaller --largest."
                    ) from None
                cases.append(case)
                if case.error is not None:
                    return cases
    return cases


def check_case(
    device: Device, operation: Operation, precision: str, shapes: tuple[Shape, ...], *, repeats: int
) -> Case:
    """Run one operation several times on the same inputs, and look at each result."""
    inputs = [
        device.random(shape, precision, seed=number) for number, shape in enumerate(shapes, start=1)
    ]
    reference = operation.reference(*(device.widen(values) for values in inputs))
    case = Case(operation.name, precision, math.prod(reference.shape))
    limit = TOLERANCES[precision] * float(abs(reference).max())
    first: Tensor = None
    for _ in range(repeats):
        try:
            sent = [device.send(values) for values in inputs]
            values, has_sentinels = _run(device, operation, sent, tuple(reference.shape), precision)
        except RuntimeError as error:
            # torch's class for what CUDA reports; its out-of-memory error is another's business.
            if "memory" in type(error).__name__.lower():
                raise
            case.error = str(error).strip().splitlines()[0]
            return case
        case.has_sentinels &= has_sentinels
        first = values if first is None else first
        _judge(case, values, reference, first, limit=limit)
    return case


def _run(
    device: Device, operation: Operation, inputs: list[Tensor], shape: Shape, precision: str
) -> tuple[Tensor, bool]:
    if operation.takes_out:
        buffer = device.sentinels(shape, precision)
        operation.compute(buffer, *inputs)
        return device.fetch(buffer), True
    has_it = device.taint(shape, precision)
    result = operation.compute(None, *inputs)
    return device.fetch(result), has_it(result)


def _judge(case: Case, values: Tensor, reference: Tensor, first: Tensor, *, limit: float) -> None:
    written = values != SENTINEL
    difference = abs(values - reference)
    case.untouched.append(int((~written).sum()))
    # Not "above the limit": NaN is neither above nor below.
    case.wrong.append(int((written & ~(difference <= limit)).sum()))
    case.unstable.append(int((written & (first != SENTINEL) & (values != first)).sum()))
    if case.untouched[-1] < case.elements:
        largest = float(difference[written].max()) / float(abs(reference).max())
        # max() of two keeps the first where the second is NaN.
        case.largest_difference = max(largest, case.largest_difference)


def table(cases: Sequence[Case]) -> list[str]:
    """A line for each operation and precision; below them, one for each case that went wrong."""
    rows: list[tuple[str, ...]] = [
        ("operation", "precision", "elements", "cases", "untouched", "wrong", "unstable",
         "difference", "")
    ]  # fmt: skip
    for name, precision in dict.fromkeys((case.operation, case.precision) for case in cases):
        group = [case for case in cases if (case.operation, case.precision) == (name, precision)]
        counts = [
            f"{sum(sum(each) for each in column):,}"
            for column in (
                [case.untouched for case in group],
                [case.wrong for case in group],
                [case.unstable for case in group],
            )
        ]
        mark = "ok" if all(case.is_healthy for case in group) else "BROKEN"
        if mark == "ok" and not all(case.has_sentinels for case in group):
            mark = "ok, compared only"  # not shown to be written: the memory was another
        smallest, largest = (f(case.elements for case in group) for f in (min, max))
        rows.append(
            (name, precision, f"{smallest:,} – {largest:,}", str(len(group)), *counts,
             f"{max(case.largest_difference for case in group):.1e}", mark)
        )  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if number in (0, 1, 8) else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return [*lines, *("  " + case.sentence() for case in cases if not case.is_healthy)]


def verdict(cases: Sequence[Case], seconds: float) -> str:
    """The last line."""
    broken = [case for case in cases if not case.is_healthy]
    if not broken:
        unseen = sum(not case.has_sentinels for case in cases)
        except_ = f" {unseen} were compared only: their memory held no sentinels." if unseen else ""
        return (
            f"VERDICT: healthy. In {len(cases)} cases every element was written, right, and the "
            f"same in every run ({seconds:.0f} s).{except_}"
        )
    names = ", ".join(dict.fromkeys(case.operation for case in broken))
    return (
        f"VERDICT: broken. {len(broken)} of {len(cases)} cases went wrong ({names}); give this "
        "machine back and rent another."
    )


def as_json(cases: Sequence[Case], *, about: str, status: int) -> str:
    """The same for machines. A difference that is no number is null."""
    listed = [
        asdict(case)
        | {
            "is_healthy": case.is_healthy,
            "largest_difference": (
                case.largest_difference if math.isfinite(case.largest_difference) else None
            ),
        }
        for case in cases
    ]
    names = {HEALTHY: "healthy", BROKEN: "broken"}
    return json.dumps(
        {"verdict": names[status], "device": about, "cases": listed}, indent=1, allow_nan=False
    )


class TorchDevice:
    """A GPU, or for the tests the CPU, through torch.

    Raises:
        NotRun: torch sees no such device.
    """

    def __init__(self, torch: ModuleType, name: str) -> None:
        self._torch = torch
        self._name = name
        self._types = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        if name != "cpu":
            if not torch.cuda.is_available():
                raise NotRun(f"torch {torch.__version__} sees no GPU on this machine.")
            try:
                torch.cuda.get_device_properties(name)
            except (RuntimeError, AssertionError, ValueError):
                raise NotRun(f"There is no GPU {name}; give --device cuda or cuda:N.") from None
        # The plain kernels, which round as the CPU does and the same in every run.
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        torch.set_grad_enabled(False)

    def about(self) -> str:
        """The device and the versions in a line."""
        torch = self._torch
        if self._name == "cpu":
            return f"CPU; torch {torch.__version__}"
        properties = torch.cuda.get_device_properties(self._name)
        memory = f"{properties.total_memory / 2**30:.0f} GiB"
        return (
            f"{properties.name}, {memory}; torch {torch.__version__}, CUDA {torch.version.cuda}, "
            f"cuDNN {torch.backends.cudnn.version()}"
        )

    def random(self, shape: Shape, precision: str, *, seed: int) -> Tensor:
        """Numbers from -1 to 1, on the CPU, in a precision."""
        generator = self._torch.Generator().manual_seed(seed)
        numbers = self._torch.rand(shape, generator=generator) * 2 - 1
        return numbers.to(self._types[precision])

    def widen(self, values: Tensor) -> Tensor:
        """The same numbers in float32."""
        return values.float()

    def send(self, values: Tensor) -> Tensor:
        """Copy to the device."""
        return values.to(self._name)

    def fetch(self, values: Tensor) -> Tensor:
        """Copy to the CPU, and widen there."""
        return values.cpu().float()

    def sentinels(self, shape: Shape, precision: str) -> Tensor:
        """A buffer on the device, full of sentinels: copied there, not computed."""
        full = self._torch.full(shape, SENTINEL, dtype=self._types[precision])
        return self._torch.empty_like(full, device=self._name).copy_(full)

    def taint(self, shape: Shape, precision: str) -> Callable[[Tensor], bool]:
        """Leave sentinels in the memory that the next result of this shape will get.

        torch keeps freed memory, and gives it to the next request of the same size.
        """
        unit = ALIGNMENT_BYTES // self._types[precision].itemsize
        length = -(-math.prod(shape) // unit) * unit  # rounded up, so that no gaps are left
        pieces = [self.sentinels((length,), precision) for _ in range(TAINTED_PIECES)]
        spans = merged((piece.data_ptr(), piece.nbytes) for piece in pieces)
        del pieces
        return lambda result: any(
            start <= result.data_ptr() and result.data_ptr() + result.nbytes <= end
            for start, end in spans
        )


def merged(blocks: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join blocks, given as (address, length), that follow each other; as (start, end)."""
    spans: list[tuple[int, int]] = []
    for start, length in sorted(blocks):
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], start + length))
        else:
            spans.append((start, start + length))
    return spans


def torch_operations(torch: ModuleType) -> list[Operation]:
    """What image models are made of, and a plain copy to tell memory from arithmetic."""
    functions = torch.nn.functional

    def copy(out: Tensor, values: Tensor) -> Tensor:
        return out.copy_(values)

    def multiply(out: Tensor, left: Tensor, right: Tensor) -> Tensor:
        return torch.mul(left, right, out=out)

    def matmul(out: Tensor, left: Tensor, right: Tensor) -> Tensor:
        return torch.matmul(left, right, out=out)

    def linear(_: None, values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return functions.linear(values, weight, bias)

    def attention(_: None, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return functions.scaled_dot_product_attention(query, key, value)

    def convolution(_: None, values: Tensor, weight: Tensor) -> Tensor:
        return functions.conv2d(values, weight, padding=1)

    return [
        Operation("copy", lambda count: ((count,),), copy, torch.clone),
        Operation("multiply", lambda count: ((count,), (count,)), multiply, torch.mul),
        Operation("matmul", matmul_shapes, matmul, torch.matmul),
        Operation("linear", linear_shapes, linear, functions.linear, takes_out=False),
        Operation(
            "attention", attention_shapes, attention,
            functions.scaled_dot_product_attention, takes_out=False,
        ),
        Operation(
            "convolution", convolution_shapes, convolution,
            lambda values, weight: functions.conv2d(values, weight, padding=1), takes_out=False,
        ),
    ]  # fmt: skip


def matmul_shapes(elements: int) -> tuple[Shape, ...]:
    """(rows, 256) by (256, columns)."""
    columns = 64 if elements < 100_000 else 1024
    return (max(1, round(elements / columns)), 256), (256, columns)


def linear_shapes(elements: int) -> tuple[Shape, ...]:
    """The values of a matmul, its weight transposed as layers keep it, and a bias."""
    values, (inner, columns) = matmul_shapes(elements)
    return values, (columns, inner), (columns,)


def attention_shapes(elements: int) -> tuple[Shape, ...]:
    """Query, key and value: (batch, 8 heads, at most 1024 tokens, 64)."""
    tokens = min(1024, max(1, round(elements / 512)))
    shape = (max(1, round(elements / (512 * tokens))), 8, tokens, 64)
    return shape, shape, shape


def convolution_shapes(elements: int) -> tuple[Shape, ...]:
    """A square of 32 channels, and 3 × 3 weights for as many."""
    side = max(1, round(math.sqrt(elements / 32)))
    return (1, 32, side, side), (32, 32, 3, 3)


def _share(counts: Sequence[int], elements: int) -> str:
    return f"{100 * sum(counts) / (elements * len(counts)):.3f} %"


def _torch() -> ModuleType:
    # cuBLAS promises the same bits in every run only with a workspace of a fixed size.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        return importlib.import_module("torch")
    except (ImportError, OSError) as error:
        raise NotRun(f"torch cannot be imported by {sys.executable}: {error}.") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gpu_health_check.py",
        description="Find a GPU that leaves elements of its results unwritten, computes wrongly, "
        "or otherwise in every run. Exits 0 when it is healthy, 1 when it is broken, 2 when the "
        "check could not run.",
    )
    parser.add_argument("--device", default="cuda", help="cuda (default), cuda:N, or cpu")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.add_argument(
        "--repeats", type=_at_least(2), default=REPEATS, metavar="N",
        help=f"runs of each case (default {REPEATS}; 2 or more, to compare them)",
    )  # fmt: skip
    parser.add_argument(
        "--largest", type=_at_least(ELEMENTS[0]), default=ELEMENTS[-1], metavar="ELEMENTS",
        help=f"leave out larger results (default {ELEMENTS[-1]:,} elements)",
    )  # fmt: skip
    return parser


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if (value := int(text)) < least:
            raise argparse.ArgumentTypeError(f"give {least} or more")
        return value

    return number


if __name__ == "__main__":
    sys.exit(main())
