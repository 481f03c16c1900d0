"""The folders input/, output/ and temp/, and the names in them."""

import mimetypes
import os
import re
from dataclasses import dataclass
from pathlib import Path

FOLDER_TYPES = ("input", "output", "temp")


class OutsideFolder(ValueError):
    """A name that leads out of its folder."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as the interface names it."""

    name: str
    subfolder: str
    type: str


@dataclass(frozen=True, slots=True)
class SaveTarget:
    """Where the next numbered files go."""

    directory: Path
    stem: str
    counter: int
    subfolder: str

    def name(self, index: int) -> str:
        """Name the file number `index` of the batch."""
        return f"{self.stem}_{self.counter + index:05}_.png"


class Folders:
    """Files on disk. They outlive the process, unlike the history."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        for folder in FOLDER_TYPES:
            (self._root / folder).mkdir(parents=True, exist_ok=True)

    def folder(self, folder_type: str) -> Path:
        """Return the folder of a type; KeyError for an unknown type."""
        if folder_type not in FOLDER_TYPES:
            raise KeyError(folder_type)
        return self._root / folder_type

    def store_upload(
        self, data: bytes, *, name: str, subfolder: str, folder_type: str, overwrite: bool
    ) -> StoredFile:
        """Store an upload, under another name when the name is taken by other content."""
        base = self.folder(folder_type)
        directory = Path(os.path.normpath(base / subfolder))
        target = Path(os.path.normpath(directory / name))
        if not target.is_relative_to(base):
            raise OutsideFolder(name)
        directory.mkdir(parents=True, exist_ok=True)
        stored_name = name
        number = 1
        while not overwrite and target.exists():
            if target.read_bytes() == data:
                return StoredFile(stored_name, subfolder, folder_type)
            path = Path(name)
            stored_name = f"{path.with_suffix('')} ({number}){path.suffix}"
            target = directory / stored_name
            number += 1
        target.write_bytes(data)
        return StoredFile(stored_name, subfolder, folder_type)

    def input_path(self, reference: str) -> Path | None:
        """Find the file that a LoadImage names ("folder/name.png [output]"); None without one."""
        match = re.fullmatch(r"(.*?)(?: \[(input|output|temp)\])?", reference, re.DOTALL)
        if match is None or not match[1]:
            return None
        base = self.folder(match[2] or "input")
        path = Path(os.path.normpath(base / match[1]))
        return path if path.is_relative_to(base) and path.is_file() else None

    def uploads(self) -> list[str]:
        """Name the files at the top of input/, as LoadImage's choices."""
        return sorted(path.name for path in self.folder("input").iterdir() if path.is_file())

    def view_path(self, *, filename: str, subfolder: str, folder_type: str) -> Path | None:
        """Find a file for /view; None without one. OutsideFolder when the subfolder escapes."""
        base = self.folder(folder_type)
        directory = Path(os.path.normpath(base / subfolder))
        if not directory.is_relative_to(base):
            raise OutsideFolder(subfolder)
        path = directory / Path(filename).name
        return path if path.is_file() else None

    def save_target(self, prefix: str, folder_type: str) -> SaveTarget:
        """Find the next free number for a prefix by listing its folder, as ComfyUI does."""
        base = self.folder(folder_type)
        path = Path(os.path.normpath(prefix))
        directory = Path(os.path.normpath(base / path.parent))
        if not directory.is_relative_to(base):
            raise OutsideFolder(prefix)
        directory.mkdir(parents=True, exist_ok=True)
        stem = path.name
        pattern = re.compile(re.escape(stem) + r"_(\d+)", re.IGNORECASE)
        numbers = [
            int(match[1]) for path in directory.iterdir() if (match := pattern.match(path.name))
        ]
        subfolder = "" if path.parent == Path() else path.parent.as_posix()
        return SaveTarget(directory, stem, max(numbers, default=0) + 1, subfolder)


def content_type(path: Path) -> str:
    """Guess a file's media type from its name, as /view does."""
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"
