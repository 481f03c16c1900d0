"""A Python process of its own: for what a whole process does, such as a start without Redis."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TIMEOUT_S = 60
# Nobody listens on port 1 of loopback.
REDIS_AWAY = "redis://127.0.0.1:1/0"


def python_run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the project's root with these `PENCIL_` variables and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PENCIL_")}
    own = {f"PENCIL_{name}": value for name, value in variables.items()}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**kept, "DJANGO_SETTINGS_MODULE": "llamasketch.settings", **own},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
