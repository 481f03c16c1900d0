"""The disk that holds the images: a small file system of its own, where we may mount one."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

SIZE_MB = 256  # chosen: twice what a long run writes
_BLOCKS_BYTES = (2**20, 4096, 1)


class Disk:
    """A folder that can be filled. `problem` says why it cannot, where it cannot."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.problem = ""
        folder.mkdir(parents=True)
        options = f"size={SIZE_MB}m,mode=700"
        self._is_mounted = _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder))
        if not self._is_mounted:
            self.problem = "mounting a small file system for the images needs root"

    def fill(self) -> None:
        """Leave no byte free."""
        with suppress(OSError), self._filler.open("wb", buffering=0) as filler:
            for size in _BLOCKS_BYTES:
                with suppress(OSError):
                    while filler.write(bytes(size)) == size:
                        pass

    def free(self) -> None:
        """Give the space back."""
        self._filler.unlink(missing_ok=True)

    def take_down(self, *, keep: bool) -> None:
        """Unmount it, with its files copied to where it was if they are to be kept."""
        if not self._is_mounted:
            return
        aside = self._folder.with_name("media-kept")
        if keep:
            _run("cp", "-a", str(self._folder), str(aside))
        self._is_mounted = not (
            _run("umount", str(self._folder)) or _run("umount", "-l", str(self._folder))
        )
        if keep and not self._is_mounted:
            self._folder.rmdir()
            aside.rename(self._folder)

    @property
    def _filler(self) -> Path:
        return self._folder / "filler"


def _run(*command: str) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0
