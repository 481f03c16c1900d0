"""Simulators to test against."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from workers.comfy.simulator.options import Options, ServerVersion
from workers.comfy.simulator.tests.client import Caller
from workers.comfy.simulator.tests.graphs import outline, png
from workers.comfy.simulator.threaded import ThreadedSimulator

Start = Callable[..., Caller]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a quick simulator with faults, and upload the sketch."""
    with ExitStack() as stack:

        def begin(
            *faults: str,
            step_s: float = 0.0,
            load_s: float = 0.0,
            encode_s: float = 0.0,
            has_pack: bool = False,
            version: ServerVersion = ServerVersion.V0_29,
        ) -> Caller:
            options = Options(
                tmp_path,
                version=version,
                step_s=step_s,
                load_s=load_s,
                encode_s=encode_s,
                has_pack=has_pack,
            )
            simulator = stack.enter_context(ThreadedSimulator(options, faults=faults))
            caller = Caller(simulator.url)
            stack.callback(caller.close)
            caller.upload(png(outline("red")), "sketch.png", subfolder="llamasketch")
            return caller

        yield begin
