"""The steps of the test command: each is one tool, run once, with one count."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scripts.launcher.places import FRONTEND, ROOT, VENV, VENV_PYTHON
from scripts.suite.counts import Counts, read_junit, read_vitest

PYTHON = str(VENV_PYTHON)
RESULTS = ROOT / "test-results"
SHELL_FOLDERS = (".ci", "deploy", "scripts")
_SHEBANG = re.compile(rb"#!.*\b(ba|da)?sh\b")


@dataclass(frozen=True, slots=True)
class Step:
    """A command, and how to read what it counted; a check without a count counts as one."""

    name: str
    command: tuple[str, ...]
    cwd: Path = ROOT
    environment: Mapping[str, str] = field(default_factory=dict)
    report: Path | None = None
    read: Callable[[Path], Counts] = read_junit

    def counts(self, status: int) -> Counts:
        """What came of it."""
        if self.report is None:
            return Counts(passed=1) if status == 0 else Counts(failed=1)
        return self.read(self.report).judged(status)


def static_checks() -> list[Step]:
    """The checks that run nothing of ours."""
    tools = VENV / "bin"
    scripts = [str(path.relative_to(ROOT)) for path in shell_scripts(ROOT)]
    return [
        Step("lock files", (PYTHON, "-m", "scripts.suite.lock_files")),
        Step("ruff", (str(tools / "ruff"), "check", ".")),
        Step("ruff format", (str(tools / "ruff"), "format", "--check", ".")),
        Step("mypy", (PYTHON, "-m", "mypy", ".")),
        Step("import-linter", (str(tools / "lint-imports"), "--no-cache")),
        Step("migrations", (PYTHON, "manage.py", "makemigrations", "--check", "--dry-run")),
        Step("shellcheck", (str(tools / "shellcheck"), "--external-sources", *scripts)),
        Step("tsc", ("npm", "run", "check"), cwd=FRONTEND),
        Step("biome", ("npm", "run", "lint"), cwd=FRONTEND),
    ]


def shell_scripts(root: Path) -> list[Path]:
    """Every shell script of the project, by its first line or, where it is sourced, its name."""
    files = [
        path
        for folder in SHELL_FOLDERS
        for path in (root / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    return sorted(
        path for path in files if path.suffix == ".sh" or _SHEBANG.match(path.read_bytes()[:80])
    )


def vitest() -> Step:
    """The front end's unit tests."""
    report = RESULTS / "vitest.json"
    return Step(
        "Vitest",
        ("npm", "test", "--", "--reporter=default", "--reporter=json", f"--outputFile={report}"),
        cwd=FRONTEND,
        report=report,
        read=read_vitest,
    )


def pytest(name: str, *options: str, environment: Mapping[str, str]) -> Step:
    """A run of pytest."""
    report = RESULTS / f"{name.lower().replace(' ', '-')}.xml"
    command = (PYTHON, "-m", "pytest", "-q", f"--junitxml={report}", *options)
    return Step(name, command, environment=environment, report=report)


def chaos() -> Step:
    """A minute of havoc: everything is broken while people work, and then counted.

    The seed is drawn and stands in the log's first and last lines. A fixed one would not make red
    repeatable, for real processes race each other anyhow; and it would break the same things in
    the same order for ever, whereas every run of the tests ought to look somewhere new.
    """
    return Step("chaos", (PYTHON, "scripts/havoc", "--minutes", "1", "--keep"))


def browser(*, chromium: str, environment: Mapping[str, str]) -> Step:
    """The studio in a real browser, against real processes."""
    report = RESULTS / "browser.xml"
    return Step(
        "browser",
        (PYTHON, "-m", "tests.browser", "--report", str(report)),
        environment={**environment, "LLAMASKETCH_CHROMIUM": chromium},
        report=report,
    )
