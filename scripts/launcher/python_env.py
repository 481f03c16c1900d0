"""The virtual environment, made from the hashed requirements."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.launcher.command import run
from scripts.launcher.places import ROOT, VENV, VENV_PYTHON
from scripts.launcher.progress import Progress
from scripts.launcher.refusal import Refusal
from scripts.launcher.stamp import digest_of, is_current, leave
from scripts.launcher.stop_signal import StopSignal

REQUIREMENTS = ROOT / "requirements.txt"
DEV_REQUIREMENTS = ROOT / "requirements-dev.txt"
NO_VENV = "This Python cannot make virtual environments"
_PIP_INSTALL = ("install", "--no-input", "--progress-bar=off", "--disable-pip-version-check")
# The file names every package with its hash, so nothing is resolved, nor built from anything else.
_AS_LOCKED = ("--no-deps", "--require-hashes")


def is_installed(requirements: Path = REQUIREMENTS) -> bool:
    """Whether the environment holds exactly what this file asks for."""
    return VENV_PYTHON.exists() and is_current(_stamp(requirements), _digest(requirements))


def can_install() -> bool:
    """Whether an environment is there, or this Python can make one; Debian's comes without."""
    modules = ("venv", "ensurepip")
    return VENV_PYTHON.exists() or all(importlib.util.find_spec(name) for name in modules)


def venv_package() -> str:
    """The Debian package that lets this Python make environments."""
    return f"python{sys.version_info.major}.{sys.version_info.minor}-venv"


def check_can_install() -> None:
    """See whether there is an environment, or one can be made.

    Raises:
        Refusal: this Python comes without venv or pip.
    """
    if not can_install():
        raise Refusal(f"{NO_VENV}; install the package {venv_package()} and start again.")


def install(
    *,
    log: Path,
    stop: StopSignal,
    progress: Progress,
    requirements: Sequence[Path] = (REQUIREMENTS,),
) -> None:
    """Make the environment, unless it is there already.

    Raises:
        StepFailed: the environment or the packages could not be made.
    """
    with progress.step("Python packages", "" if _is_done(requirements) else "Python packages"):
        if _is_done(requirements):
            return
        with _alone():
            if not _is_done(requirements):
                _install(requirements, log=log, stop=stop, progress=progress)


def _install(
    requirements: Sequence[Path], *, log: Path, stop: StopSignal, progress: Progress
) -> None:
    failure = f"The Python packages could not be installed; {log} has the details."
    if not _works():
        run(
            [sys.executable, "-m", "venv", "--clear", str(VENV)],
            failure=f"The virtual environment could not be made; {log} has the details.",
            log=log,
            stop=stop,
            progress=progress,
        )
    for path in requirements:
        if is_installed(path):
            continue
        _stamp(path).unlink(missing_ok=True)
        run(
            [str(VENV_PYTHON), "-m", "pip", *_PIP_INSTALL, *_AS_LOCKED, "-r", str(path)],
            failure=failure,
            log=log,
            stop=stop,
            progress=progress,
        )
        leave(_stamp(path), _digest(path))


def _works() -> bool:
    """Whether the environment's Python runs: it does not when the system's was replaced."""
    check = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([VENV_PYTHON, "-c", check], capture_output=True).returncode == 0
    except OSError:
        return False


def _is_done(requirements: Sequence[Path]) -> bool:
    return all(is_installed(path) for path in requirements)


def _stamp(requirements: Path) -> Path:
    return VENV / f".{requirements.stem}.stamp"


def _digest(requirements: Path) -> str:
    # The interpreter belongs to it: packages with compiled parts fit one minor version.
    return digest_of([requirements], root=ROOT, salt=os.path.realpath(VENV_PYTHON))


@contextmanager
def _alone() -> Iterator[None]:
    """Let one install happen at a time, of all starts in this folder."""
    folder = os.open(ROOT / "scripts", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
