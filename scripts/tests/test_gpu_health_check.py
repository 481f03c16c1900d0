"""What the health check finds, on a GPU of NumPy; test_gpu_health_check_torch.py has torch's."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable

import numpy as np
import pytest

from scripts.gpu_health_check import (
    BROKEN,
    ELEMENTS,
    HEALTHY,
    SENTINEL,
    Case,
    NotRun,
    Operation,
    Shape,
    as_json,
    attention_shapes,
    check,
    convolution_shapes,
    linear_shapes,
    main,
    matmul_shapes,
    merged,
    sizes,
    table,
    verdict,
)
from scripts.tests.broken_gpu import THRESHOLD, holes_in
from scripts.tests.numpy_gpu import Array, ForgetfulGpu, Kernel, NumpyGpu, matmul, multiply

SIZES = sizes(131_072)
Build = Callable[[NumpyGpu, Kernel], Operation]
BOTH_WAYS = pytest.mark.parametrize(
    "build",
    [lambda _, kernel: multiply(kernel), matmul],
    ids=["into a buffer", "into allocated memory"],
)


def run(gpu: NumpyGpu, operation: Operation, *, repeats: int = 3) -> list[Case]:
    return check(gpu, [operation], repeats=repeats, elements=SIZES, precisions=["fp32", "fp16"])


class Holes:
    """A kernel that leaves 0.06 % unwritten above the threshold, others in each run."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(1)

    def __call__(self, buffer: Array, result: Array) -> None:
        is_written = np.ones(result.size, dtype=bool)
        is_written[self._random.permutation(result.size)[: holes_in(result.size)]] = False
        buffer.reshape(-1)[is_written] = result.reshape(-1)[is_written]


@BOTH_WAYS
def test_a_sound_gpu_is_healthy(build: Build) -> None:
    gpu = NumpyGpu()

    cases = run(gpu, build(gpu, lambda buffer, result: np.copyto(buffer, result, "unsafe")))

    assert [case.sentence() for case in cases if not case.is_healthy] == []
    assert all(case.has_sentinels for case in cases)


@BOTH_WAYS
def test_every_unwritten_element_is_counted(build: Build) -> None:
    gpu = NumpyGpu()

    cases = run(gpu, build(gpu, Holes()))

    assert {case.elements > THRESHOLD for case in cases} == {True, False}
    for case in cases:
        assert case.untouched == [holes_in(case.elements)] * 3
        assert case.is_healthy == (case.elements <= THRESHOLD)


def test_an_element_that_holds_the_last_runs_value_is_unwritten_all_the_same() -> None:
    gpu = NumpyGpu()
    runs = 0

    def writes_once(buffer: Array, result: Array) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            buffer[...] = result

    [case, *_] = check(
        gpu, [matmul(gpu, writes_once)], repeats=2, elements=[6_400], precisions=["fp32"]
    )

    assert case.untouched == [0, 6_400]


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.5, 0.0], ids=str)
def test_one_wrong_value_is_found(value: float) -> None:
    def kernel(buffer: Array, result: Array) -> None:
        buffer[...] = result
        buffer[7] = value

    cases = run(NumpyGpu(), multiply(kernel))

    assert all(case.wrong == [1, 1, 1] for case in cases)
    assert all(case.untouched == [0, 0, 0] for case in cases)


def test_another_result_in_another_run_is_found_within_the_tolerance() -> None:
    runs = 0

    def kernel(buffer: Array, result: Array) -> None:
        nonlocal runs
        runs += 1
        buffer[...] = result
        if runs % 2:
            buffer[:5] = np.nextafter(buffer[:5], 2, dtype=buffer.dtype)

    [case] = check(NumpyGpu(), [multiply(kernel)], repeats=4, elements=[100], precisions=["fp32"])

    assert case.wrong == [0, 0, 0, 0]
    assert case.unstable == [0, 5, 0, 5]
    assert not case.is_healthy


def test_an_error_of_the_gpu_is_broken_and_ends_the_check() -> None:
    def kernel(buffer: Array, result: Array) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore lines")

    [case] = run(NumpyGpu(), multiply(kernel))

    assert case.sentence() == (
        "multiply fp32, 6,400 elements failed: CUDA error: an illegal memory access was encountered"
    )
    assert "VERDICT: broken. 1 of 1" in verdict([case], 1)


def test_too_little_memory_is_no_fault_of_the_gpu() -> None:
    class OutOfMemoryError(RuntimeError):
        pass

    def kernel(buffer: Array, result: Array) -> None:
        raise OutOfMemoryError

    with pytest.raises(NotRun, match="stop ComfyUI"):
        check(
            NumpyGpu(), [multiply(kernel)], repeats=2, elements=[100], precisions=["fp32"],
            out_of_memory=OutOfMemoryError,
        )  # fmt: skip


def test_memory_without_sentinels_is_told() -> None:
    gpu = ForgetfulGpu()

    cases = run(gpu, matmul(gpu))

    assert all(case.is_healthy and not case.has_sentinels for case in cases)
    assert table(cases)[1].endswith("ok, compared only")
    assert "compared only" in verdict(cases, 1)


def test_sizes_lie_on_both_sides_of_the_threshold_and_far_above() -> None:
    assert {12_799, 12_800, 12_801} <= set(ELEMENTS)
    assert max(ELEMENTS) > 500 * THRESHOLD


@pytest.mark.parametrize(
    ("shapes", "elements_of"),
    [
        (matmul_shapes, lambda left, right: left[0] * right[1]),
        (linear_shapes, lambda values, weight, bias: values[0] * weight[0]),
        (attention_shapes, lambda query, key, value: math.prod(query)),
        (convolution_shapes, lambda values, weight: math.prod(values)),
    ],
    ids=["matmul", "linear", "attention", "convolution"],
)
def test_every_operation_meets_the_threshold_and_both_sides(
    shapes: Callable[[int], tuple[Shape, ...]], elements_of: Callable[..., int]
) -> None:
    counts = {elements_of(*shapes(elements)) for elements in ELEMENTS}

    assert THRESHOLD in counts
    assert any(THRESHOLD * 0.85 < count < THRESHOLD for count in counts)
    assert any(THRESHOLD < count < THRESHOLD * 1.15 for count in counts)
    assert max(counts) == max(ELEMENTS)


def test_the_table_says_which_cases_went_wrong_and_how() -> None:
    sound = Case("multiply", "fp32", 12_800, [0, 0], [0, 0], [0, 0])
    holes = Case("multiply", "fp32", 12_801, [8, 7], [0, 0], [0, 0], largest_difference=1e-7)

    lines = table([sound, holes])

    assert lines[1].split() == [
        *["multiply", "fp32", "12,800", "–", "12,801", "2", "15", "0", "0", "1.0e-07", "BROKEN"]
    ]  # fmt: skip
    assert lines[2] == "  multiply fp32, 12,801 elements: untouched 8, 7 (0.059 %)"


def test_json_has_every_case_and_no_number_that_json_lacks() -> None:
    case = Case("multiply", "fp32", 4, [0], [4], [0], largest_difference=float("nan"))

    read = json.loads(as_json([case], about="a card", status=BROKEN))

    assert read["verdict"] == "broken"
    assert read["device"] == "a card"
    assert read["cases"][0]["wrong"] == [4]
    assert read["cases"][0]["largest_difference"] is None
    assert read["cases"][0]["is_healthy"] is False


@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
def test_without_torch_it_could_not_run(
    flags: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)

    status = main(flags)

    printed = capsys.readouterr().out
    assert status == 2
    assert "torch cannot be imported" in printed
    assert len(printed.splitlines()) == 1


def test_one_run_is_refused_since_it_compares_nothing() -> None:
    with pytest.raises(SystemExit):
        main(["--repeats", "1"])


def test_blocks_that_follow_each_other_are_one() -> None:
    assert merged([(512, 512), (0, 512), (4096, 10)]) == [(0, 1024), (4096, 4106)]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_sentinel_is_exact(dtype: type) -> None:
    assert float(dtype(SENTINEL)) == SENTINEL
    assert SENTINEL.hex().startswith("-0x1.f00000")  # eight bits of it: exact in bfloat16


def test_a_healthy_verdict_is_healthy() -> None:
    case = Case("multiply", "fp32", 4, [0], [0], [0])

    assert verdict([case], 2.4).startswith("VERDICT: healthy. In 1 cases every element")
    assert json.loads(as_json([case], about="", status=HEALTHY))["verdict"] == "healthy"
