"""The start of scripts/bench: installs what is missing, then goes on in the environment."""

import sys
from pathlib import Path


def main() -> int:
    """Run the command inside the virtual environment, making it first where there is none."""
    # Python put this folder on the path; the packages are two floors up.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from scripts.launcher.enter import enter

    status = enter("measure")
    if status:
        return status
    from scripts.measure.command import bench

    return bench(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
