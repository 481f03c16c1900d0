"""Start the processes, run the browser tests, end the processes: `python -m tests.browser`.

Needs LLAMASKETCH_CHROMIUM, a Chromium's path. Screenshots of every step go to test-results/.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from scripts.launcher.places import ROOT
from scripts.launcher.ports import free_port
from scripts.launcher.refusal import Interrupted
from scripts.launcher.services import web_service
from tests.process.stack import Stack

STEP_S = 0.5  # slow enough that a person, and a test, sees previews and can cancel
TESTS_WITHIN_S = 600


def main() -> int:
    """Return the test runner's exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser")
    parser.add_argument("--report", type=Path, required=True, help="a JUnit file to write")
    parser.add_argument("--name", help="run the tests with this in their names")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="llamasketch-browser-") as folder:
        stack = Stack(Path(folder), step_s=STEP_S)
        stack.stop_signal.listen()
        try:
            with stack:
                return _run(stack, flags.report, flags.name)
        except Interrupted:
            return 130


def _run(stack: Stack, report: Path, name: str | None) -> int:
    port = free_port()
    closed = stack.start_beside(
        web_service(port=port, name="web-closed"), {"PENCIL_SIGNUP_ENABLED": "false"}
    )
    shots = ROOT / "test-results" / "browser"
    shots.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "LLAMASKETCH_URL": stack.address,
        "LLAMASKETCH_CLOSED_URL": f"http://127.0.0.1:{port}",
        "LLAMASKETCH_SIMULATOR_URL": stack.simulator,
        "LLAMASKETCH_SHOTS": str(shots),
    }
    tests = sorted(str(path) for path in (ROOT / "tests" / "browser").glob("*.test.mjs"))
    command = [
        *("node", "--test", "--test-concurrency=1"),
        *("--test-reporter=spec", "--test-reporter-destination=stdout"),
        *("--test-reporter=junit", f"--test-reporter-destination={report}"),
        *([f"--test-name-pattern={name}"] if name else []),
        *tests,
    ]
    with ExitStack() as after:
        after.callback(closed.stop)
        runner = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL)
        try:
            for _ in range(int(TESTS_WITHIN_S / 0.1)):
                status = runner.poll()
                if status is not None:
                    return status
                stack.stop_signal.pause(0.1)
            print(f"The browser tests took more than {TESTS_WITHIN_S} s.")
            return 1
        finally:
            runner.kill()
            runner.wait()


if __name__ == "__main__":
    sys.exit(main())
