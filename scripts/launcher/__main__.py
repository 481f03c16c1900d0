"""The commands behind scripts/start, test, check and lock."""

import os
import pwd
import sys
from pathlib import Path


def main() -> int:
    """Run the command that the entry point names."""
    # Python put this folder on the path; the packages are two floors up.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    if not os.environ.get("HOME"):
        # npm and pip keep their caches there; a service manager may leave it empty.
        os.environ["HOME"] = pwd.getpwuid(os.getuid()).pw_dir
    sys.stdout.reconfigure(errors="replace", line_buffering=True)  # type: ignore[union-attr]
    sys.stderr.reconfigure(errors="replace", line_buffering=True)  # type: ignore[union-attr]
    command, arguments = sys.argv[1], sys.argv[2:]
    if command == "start":
        from scripts.launcher.start import start

        return start(arguments)
    if command == "lock":
        from scripts.suite.lock_files import lock

        return lock()
    from scripts.suite.main import check, test

    return check(arguments) if command == "check" else test(arguments)


if __name__ == "__main__":
    sys.exit(main())
