"""Saves: what became of the files that were promised, for the latest prompts.

In memory alone. After a restart nothing is known here, and whether `/view` has a file is the truth.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

SaveWord = Literal["waiting", "written", "failed"]

_FOLDERS_MAX = 1024  # chosen: hours of work of one machine, in well under a megabyte


@dataclass(frozen=True)
class SaveState:
    """Where one file stands. `error` says why it failed, without a path.

    `data` is the whole file while it waits to be written, `path` is where it lies on this machine
    from then on; that is told to nobody.
    """

    state: SaveWord
    error: str = ""
    path: Path | None = field(default=None, compare=False, repr=False)
    data: bytes | None = field(default=None, compare=False, repr=False)


class SaveTable:
    """States by subfolder and file name. Any thread may use it."""

    def __init__(self, *, folders_max: int = _FOLDERS_MAX) -> None:
        self._folders_max = folders_max
        self._lock = threading.Lock()
        self._folders: OrderedDict[str, dict[str, SaveState]] = OrderedDict()
        self._listeners: list[Callable[[], None]] = []

    def names(self, subfolder: str) -> list[str]:
        """Return the file names that are taken, on disk or not yet."""
        return list(self.of(subfolder))

    def of(self, subfolder: str) -> dict[str, SaveState]:
        """Return the states of a subfolder's files; empty where none is known."""
        with self._lock:
            return dict(self._folders.get(subfolder, {}))

    @contextmanager
    def listening(self, listener: Callable[[], None]) -> Iterator[None]:
        """Call a listener, which must not wait, after each note; in the thread that notes."""
        with self._lock:
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(listener)

    def note(self, subfolder: str, name: str, state: SaveState) -> None:
        """Keep a file's state, and forget the oldest subfolders in which no file waits."""
        with self._lock:
            self._folders.setdefault(subfolder, {})[name] = state
            self._folders.move_to_end(subfolder)
            too_many = len(self._folders) - self._folders_max
            if too_many > 0:
                for oldest in self._settled()[:too_many]:
                    del self._folders[oldest]
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    def _settled(self) -> list[str]:
        latest = next(reversed(self._folders))
        return [
            subfolder
            for subfolder, files in self._folders.items()
            if subfolder != latest and all(file.state != "waiting" for file in files.values())
        ]
