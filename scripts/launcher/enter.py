"""The way into the virtual environment, which is made first where there is none.

For commands that need the packages; standard library only until they are there.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from scripts.launcher import python_env
from scripts.launcher.places import ROOT, VENV, VENV_PYTHON
from scripts.launcher.progress import Progress
from scripts.launcher.refusal import Interrupted, Refusal
from scripts.launcher.stop_signal import StopSignal


def enter(package: str) -> int:
    """Go on as `scripts/<package>` in the environment, in this process's place.

    Returns 0 when this is the environment already, and another exit status when it could not be
    made.
    """
    if Path(sys.prefix).resolve() != VENV.resolve():
        status = _install(package)
        if status:
            return status
        program = str(ROOT / "scripts" / package)
        os.execv(VENV_PYTHON, [str(VENV_PYTHON), program, *sys.argv[1:]])
    sys.stdout.reconfigure(errors="replace", line_buffering=True)  # type: ignore[union-attr]
    return 0


def _install(package: str) -> int:
    log = Path(tempfile.gettempdir()) / f"llamasketch-{package}-setup-{os.getuid()}.log"
    try:
        python_env.check_can_install()
        python_env.install(log=log, stop=StopSignal().listen(), progress=Progress())
    except Refusal as refusal:
        print(f"✗ {refusal}", file=sys.stderr)
        return 1
    except Interrupted:
        return 130
    return 0
