"""The lock files: every package that the .in files lead to, pinned and hashed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from scripts.launcher.places import ROOT, VENV
from scripts.launcher.stamp import digest_of

# The second is held to the first's versions by a line of its own, so the order matters.
LOCKS = ("requirements", "requirements-dev")
_COMPILE = (
    *("pip", "compile", "--quiet", "--universal", "--python-version", "3.11"),
    *("--generate-hashes", "--no-annotate", "--no-header"),
    # No address of an index: who installs has their own.
    *("--no-emit-index-url", "--no-emit-find-links"),
)
_HEADER = """\
# Locked by scripts/lock from {source}.in; do not edit. Digest of what was asked for:
# {digest}
"""


def lock() -> int:
    """Make the lock files anew; versions that still fit are kept. Return the exit status."""
    uv = VENV / "bin" / "uv"
    if not uv.exists():
        print("✗ uv is not installed yet; run ./scripts/check first.", file=sys.stderr)
        return 1
    for name in LOCKS:
        done = subprocess.run(
            [uv, *_COMPILE, f"{name}.in", "-o", f"{name}.txt"], cwd=ROOT, check=False
        )
        if done.returncode != 0:
            return done.returncode
        path = ROOT / f"{name}.txt"
        header = _HEADER.format(source=name, digest=_digest(name))
        path.write_text(header + path.read_text())
        print(f"✓ {path.name}")
    return 0


def out_of_date() -> list[str]:
    """The lock files that were not made from their .in files as these are now. Asks no network."""
    return [
        f"{name}.txt" for name in LOCKS if f"# {_digest(name)}\n" not in _head(ROOT / f"{name}.txt")
    ]


def check() -> int:
    """Say which lock files are out of date; return the exit status."""
    stale = out_of_date()
    for name in stale:
        print(f"{name} does not match its .in file; run ./scripts/lock.")
    return 1 if stale else 0


def _digest(name: str) -> str:
    files = [ROOT / f"{lock_name}.in" for lock_name in LOCKS[: LOCKS.index(name) + 1]]
    return f"sha256:{digest_of(files, root=ROOT)}"


def _head(path: Path) -> str:
    with path.open() as file:
        return "".join(file.readline() for _ in range(4))


if __name__ == "__main__":
    sys.exit(check())
