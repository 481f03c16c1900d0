"""The front end: its packages, and the build that the server serves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from scripts.launcher.command import run
from scripts.launcher.places import FRONTEND, ROOT
from scripts.launcher.progress import Progress
from scripts.launcher.stamp import digest_of, is_current, leave
from scripts.launcher.stop_signal import StopSignal

PACKAGES = FRONTEND / "node_modules"
MANIFEST = FRONTEND / "dist" / ".vite" / "manifest.json"
PRESETS = ROOT / "generation" / "presets"
_PACKAGES_STAMP = PACKAGES / ".packages.stamp"
# Beside the packages, not in dist: what lies there is served to everybody.
_BUILD_STAMP = PACKAGES / ".build.stamp"


def install(*, log: Path, stop: StopSignal, progress: Progress) -> None:
    """Install the front end's packages from its lock file, unless they are there already.

    Raises:
        StepFailed: npm failed.
    """
    digest = digest_of([FRONTEND / "package.json", FRONTEND / "package-lock.json"], root=ROOT)
    is_done = is_current(_PACKAGES_STAMP, digest)
    with progress.step("front-end packages", "" if is_done else "front-end packages"):
        if is_done:
            return
        run(
            ["npm", "ci", "--no-audit", "--no-fund"],
            failure=f"The front end's packages could not be installed; {log} has the details.",
            log=log,
            stop=stop,
            progress=progress,
            environment=_environment(),
            cwd=FRONTEND,
        )
        leave(_PACKAGES_STAMP, digest)


def build(*, log: Path, stop: StopSignal, progress: Progress) -> None:
    """Build the front end, unless its sources are those of the last build.

    Raises:
        StepFailed: Vite failed.
    """
    digest = digest_of(_sources(), root=ROOT)
    is_done = is_current(_BUILD_STAMP, digest) and MANIFEST.is_file()
    with progress.step("front end", "" if is_done else "building the front end"):
        if is_done:
            return
        _BUILD_STAMP.unlink(missing_ok=True)
        run(
            ["npm", "run", "build"],
            failure=f"The front end could not be built; {log} has the details.",
            log=log,
            stop=stop,
            progress=progress,
            environment=_environment(),
            cwd=FRONTEND,
        )
        leave(_BUILD_STAMP, digest)


def _sources() -> Iterator[Path]:
    """What the build reads. TypeScript's notes of its last check are no source."""
    for folder, pattern in (
        (FRONTEND, "*"),
        (FRONTEND / "src", "**/*"),
        (FRONTEND / "public", "**/*"),
        (PRESETS, "**/*.json"),
    ):
        for path in folder.glob(pattern):
            if path.is_file() and path.suffix != ".tsbuildinfo":
                yield path


def _environment() -> dict[str, str]:
    return {**os.environ, "npm_config_update_notifier": "false"}
