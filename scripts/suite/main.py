"""The commands scripts/test and scripts/check."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from scripts.launcher import node_env, preflight, python_env
from scripts.launcher.command import execute, tail_of
from scripts.launcher.places import VENV
from scripts.launcher.progress import Progress
from scripts.launcher.refusal import Interrupted, Refusal, StepFailed
from scripts.launcher.stop_signal import StopSignal
from scripts.suite import debian, steps
from scripts.suite.counts import Counts
from scripts.suite.postgres import postgres
from scripts.suite.steps import RESULTS, Step

FAILURE_LINES = 80
STEP_WITHIN_S = 1800.0  # chosen: several times what the slowest takes on two cores
# Tests in one process each core: each has a data directory and a Valkey of its own.
IN_PROCESS = ("-m", "not process", "-n", "auto", "--maxprocesses", "8")
# They wait for leases and timeouts most of their time, so two files of them side by side.
PROCESS = ("-m", "process", "-n", "2", "--dist", "loadfile")


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a step."""

    name: str
    counts: Counts
    seconds: float

    def row(self) -> str:
        """A line of the closing table."""
        counts = self.counts
        skipped = f", {counts.skipped} skipped" if counts.skipped else ""
        mark = "✗" if counts.failed else "✓"
        outcome = f"{counts.passed} passed, {counts.failed} failed{skipped}"
        return f"{mark} {self.name:<24} {self.seconds:7.1f} s   {outcome}"


def test(arguments: Sequence[str]) -> int:
    """Install what is missing, run everything, print the count; return the exit status."""
    flags = _parser().parse_args(arguments)
    return _Suite(flags).run_all()


def check(arguments: Sequence[str]) -> int:
    """Run the static checks; return the exit status."""
    argparse.ArgumentParser(prog="./scripts/check", description=check.__doc__).parse_args(arguments)
    return _Suite(_parser().parse_args(["--static"])).run_all()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./scripts/test", description="Run all checks and tests.")
    parser.add_argument(
        "--fast", action="store_true", help="leave out the tests with a browser or real processes"
    )
    parser.add_argument(
        "--sqlite-only", action="store_true", help="leave out the tests on PostgreSQL"
    )
    parser.add_argument("--static", action="store_true", help="run the static checks alone")
    parser.add_argument("--only", metavar="NAME", help="run the steps with this in their names")
    return parser


class _Suite:
    """One run of the command."""

    def __init__(self, flags: argparse.Namespace) -> None:
        self._flags = flags
        self._stop = StopSignal().listen()
        self._progress = Progress()
        self._results: list[Result] = []
        self._log = RESULTS / "setup.log"

    def run_all(self) -> int:
        was_interrupted = False
        shutil.rmtree(RESULTS, ignore_errors=True)
        RESULTS.mkdir(parents=True)
        try:
            self._prepare()
            self._run_steps()
        except Interrupted:
            was_interrupted = True
        except Refusal as refusal:
            self._refuse("preparation", refusal)
        return self._close(was_interrupted=was_interrupted)

    def _prepare(self) -> None:
        preflight.check_node()
        if not VENV.exists() and not python_env.can_install():
            self._install(python_env.venv_package(), why=python_env.NO_VENV)
        python_env.install(
            log=self._log,
            stop=self._stop,
            progress=self._progress,
            requirements=(python_env.REQUIREMENTS, python_env.DEV_REQUIREMENTS),
        )
        node_env.install(log=self._log, stop=self._stop, progress=self._progress)
        node_env.build(log=self._log, stop=self._stop, progress=self._progress)

    def _run_steps(self) -> None:
        with ExitStack() as stack:
            data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llamasketch-")))
            environment = _clean_environment(data_dir)
            for step in steps.static_checks():
                self._run(step, environment)
            if self._flags.static:
                return
            self._run(steps.vitest(), environment)
            self._run_pytest(stack, environment)

    def _run_pytest(self, stack: ExitStack, environment: dict[str, str]) -> None:
        self._run(steps.pytest("pytest on SQLite", *IN_PROCESS, environment={}), environment)
        if not self._flags.sqlite_only and self._wants("pytest on PostgreSQL", "process tests"):
            url = self._postgres(stack)
            if url is not None:
                environment["LLAMASKETCH_TEST_POSTGRES_URL"] = url
                step = steps.pytest(
                    "pytest on PostgreSQL", *IN_PROCESS,
                    environment={"PENCIL_DATABASE_URL": url},
                )  # fmt: skip
                self._run(step, environment)
        if not self._flags.fast:
            self._run(steps.pytest("process tests", *PROCESS, environment={}), environment)
            if not self._flags.sqlite_only:
                self._run_chaos(environment)
            self._run_browser(environment)

    def _run_chaos(self, environment: Mapping[str, str]) -> None:
        step = steps.chaos()
        if not self._wants(step.name):
            return
        try:
            self._postgres_programs()
        except Refusal as refusal:
            self._refuse(step.name, refusal)
            return
        self._run(step, environment)

    def _run_browser(self, environment: Mapping[str, str]) -> None:
        if not self._wants("browser"):
            return
        try:
            chromium = self._chromium()
        except Refusal as refusal:
            self._refuse("browser", refusal)
            return
        self._run(steps.browser(chromium=chromium, environment={}), environment)

    def _run(self, step: Step, environment: Mapping[str, str]) -> None:
        if not self._wants(step.name):
            return
        log = RESULTS / f"{step.name.lower().replace(' ', '-')}.log"
        began_at = time.monotonic()
        self._progress.say(f"  {step.name} …")
        status, text = execute(
            step.command,
            log=log,
            stop=self._stop,
            environment={**environment, **step.environment},
            cwd=step.cwd,
            within_s=STEP_WITHIN_S,
        )
        result = Result(step.name, step.counts(status), time.monotonic() - began_at)
        self._results.append(result)
        if result.counts.failed:
            self._progress.say(tail_of(text, lines=FAILURE_LINES))
        self._progress.say(result.row())

    def _wants(self, *names: str) -> bool:
        only = self._flags.only
        return only is None or any(only.lower() in name.lower() for name in names)

    def _postgres(self, stack: ExitStack) -> str | None:
        """Start PostgreSQL, installing it where it is missing; None, and a failure, where not."""
        try:
            return stack.enter_context(postgres(self._postgres_programs(), stop=self._stop))
        except Refusal as refusal:
            self._refuse("pytest on PostgreSQL", refusal)
            return None

    def _postgres_programs(self) -> Path:
        found = debian.find_postgres()
        if found is None:
            why = "The tests need PostgreSQL, or --sqlite-only to leave it out"
            self._install("postgresql", why=why)
            found = debian.find_postgres()
        if found is None:
            raise Refusal("PostgreSQL's programs are not where its package puts them.")
        return found

    def _chromium(self) -> str:
        found = debian.find_chromium()
        if found is None:
            why = "The browser tests need Chromium, or --fast to leave them out"
            self._install("chromium", why=why)
            found = debian.find_chromium()
        if found is None:
            raise Refusal("Chromium is not on the PATH after its installation.")
        return found

    def _install(self, package: str, *, why: str) -> None:
        with self._progress.step(package, f"installing {package}"):
            debian.install(
                package, why=why, log=self._log, stop=self._stop, progress=self._progress
            )

    def _refuse(self, name: str, refusal: Refusal) -> None:
        if isinstance(refusal, StepFailed):
            self._progress.say(refusal.tail)
        self._progress.say(f"✗ {refusal}")
        self._results.append(Result(name, Counts(failed=1), 0.0))

    def _close(self, *, was_interrupted: bool) -> int:
        """Print the table and, last, the count."""
        total = sum((result.counts for result in self._results), Counts())
        if not total.passed and not total.failed:
            total = Counts(failed=1)
        self._progress.say("\n" + "\n".join(result.row() for result in self._results) + "\n")
        for is_left_out, what in (
            (was_interrupted, "Interrupted: what came after is not counted."),
            (self._flags.fast, "--fast: what has a browser or real processes was left out."),
            (self._flags.sqlite_only, "--sqlite-only: the tests on PostgreSQL were left out."),
            (self._flags.only is not None, f"--only {self._flags.only}: the rest was left out."),
        ):
            if is_left_out:
                self._progress.say(what)
        self._progress.say(f"{total.passed} passed, {total.failed} failed")
        if was_interrupted:
            return 130
        return 1 if total.failed else 0


def _clean_environment(data_dir: Path) -> dict[str, str]:
    """The environment without the settings of whoever runs the tests."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PENCIL_")}
    return {**kept, "PENCIL_DATA_DIR": str(data_dir)}
