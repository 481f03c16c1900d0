"""The start of scripts/chaos: installs what is missing, then goes on in the environment."""

import os
import sys
from pathlib import Path


def main() -> int:
    """Run the command inside the virtual environment, making it first where there is none."""
    # Python put this folder on the path; the packages are two floors up.
    root = Path(__file__).resolve().parents[2]
    sys.path[0] = str(root)
    from scripts.launcher.places import VENV, VENV_PYTHON

    if Path(sys.prefix).resolve() != VENV.resolve():
        status = _install()
        if status:
            return status
        os.execv(VENV_PYTHON, [str(VENV_PYTHON), str(root / "scripts" / "havoc"), *sys.argv[1:]])
    sys.stdout.reconfigure(errors="replace", line_buffering=True)  # type: ignore[union-attr]
    from scripts.havoc.command import chaos

    return chaos(sys.argv[1:])


def _install() -> int:
    import tempfile

    from scripts.launcher import python_env
    from scripts.launcher.progress import Progress
    from scripts.launcher.refusal import Interrupted, Refusal
    from scripts.launcher.stop_signal import StopSignal

    log = Path(tempfile.gettempdir()) / f"llamasketch-chaos-setup-{os.getuid()}.log"
    try:
        python_env.check_can_install()
        python_env.install(log=log, stop=StopSignal().listen(), progress=Progress())
    except Refusal as refusal:
        print(f"✗ {refusal}", file=sys.stderr)
        return 1
    except Interrupted:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
