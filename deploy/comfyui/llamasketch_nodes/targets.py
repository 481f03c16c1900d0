"""Targets: the folder and the numbered names that a filename prefix stands for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_REFUSED_CHARACTERS = re.compile(r"[\x00-\x1f\\:]")


class BadPrefix(ValueError):
    """A filename prefix that names no file, or one outside the output folder."""


@dataclass(frozen=True)
class SaveTarget:
    """Where the files of one prefix go. `subfolder` is as `/view` takes it, with slashes."""

    directory: Path
    subfolder: str
    stem: str

    def name(self, number: int, suffix: str) -> str:
        """Name a file as ComfyUI's own node does, such as `image_00001_.webp`."""
        return f"{self.stem}_{number:05}_.{suffix}"

    def highest_in(self, names: list[str]) -> int:
        """Return the highest number among file names of this prefix; 0 without one."""
        pattern = re.compile(re.escape(self.stem) + r"_(\d+)_\.")
        return max((int(found[1]) for name in names if (found := pattern.match(name))), default=0)

    def names_on_disk(self) -> list[str]:
        """List the files that are there already; quick, as the folder is one prompt's own."""
        if not self.directory.is_dir():
            return []
        return [path.name for path in self.directory.iterdir()]


def target_of(prefix: str, *, root: Path) -> SaveTarget:
    """Find the target of a prefix such as `llamasketch/{prompt_id}/image`.

    The prefix is taken as it is: no %date% or %width% is filled in.

    Raises:
        BadPrefix: it is absolute, has `..`, a backslash, a colon or a control character, or ends
            in a slash. A link inside the output folder is the operator's own doing, and followed.
    """
    path = PurePosixPath(prefix)
    is_outside = path.is_absolute() or ".." in path.parts
    if is_outside or prefix.endswith("/") or _REFUSED_CHARACTERS.search(prefix) or not path.name:
        raise BadPrefix("LlamaSketch: the filename prefix leads out of the output folder.")
    subfolder = "" if path.parent == PurePosixPath() else path.parent.as_posix()
    return SaveTarget(root / subfolder, subfolder, path.name)
