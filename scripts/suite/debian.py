"""Programs from Debian's packages: found, or installed where that is ours to do."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from scripts.launcher.command import run
from scripts.launcher.progress import Progress
from scripts.launcher.refusal import Refusal
from scripts.launcher.stop_signal import StopSignal

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """A Chromium on the PATH."""
    return next((found for name in CHROMIUM if (found := shutil.which(name))), None)


def find_postgres() -> Path | None:
    """The folder with PostgreSQL's server programs, the newest where there are several.

    Debian keeps them off the PATH.
    """
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if versions:
        return max(versions, key=lambda folder: float(folder.parent.name))
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found and shutil.which("postgres") else None


def install(package: str, *, why: str, log: Path, stop: StopSignal, progress: Progress) -> None:
    """Install one of Debian's packages, where we are root and there is apt.

    Raises:
        Refusal: it is not ours to install; the message says what to do.
        StepFailed: apt failed.
    """
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Refusal(f"{why}; install {package} (for Debian: apt-get install {package}).")
    environment = {
        **os.environ,
        "DEBIAN_FRONTEND": "noninteractive",
        # Packages start no service in run level 1: we start what we need, and end it.
        "RUNLEVEL": "1",
    }
    for command in (
        ["apt-get", "update"],
        ["apt-get", "install", "-y", "--no-install-recommends", package],
    ):
        run(
            command,
            failure=f"{package} could not be installed; {log} has the details.",
            log=log,
            stop=stop,
            progress=progress,
            environment=environment,
        )
