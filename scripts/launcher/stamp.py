"""A stamp: a file that says from which inputs something was made, so that it is made once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def digest_of(files: Iterable[Path], *, root: Path, salt: str = "") -> str:
    """One digest of the names and contents of files."""
    digest = hashlib.sha256(salt.encode())
    for file in sorted(files):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(root).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def is_current(stamp: Path, digest: str) -> bool:
    """Whether the stamp was left by a run that finished with these inputs."""
    return stamp.is_file() and stamp.read_text().strip() == digest


def leave(stamp: Path, digest: str) -> None:
    """Say that it was made from these inputs. Call last: an interrupted run leaves no stamp."""
    stamp.write_text(digest + "\n")
