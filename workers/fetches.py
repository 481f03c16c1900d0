"""Fetches: the files of a prompt, brought over by threads as soon as the node has written them.

A node names a file before its record says that the prompt is complete, and the node pack before the
file is written. What the pack will call it can be told beforehand, so where a prompt is at its last
step its files are asked for: the node answers when it has them, and they are mostly here when the
verdict comes. None is taken that the prompt does not name in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as NotYet
from typing import TypeAlias

from generation.models import Job
from workers.comfy.client import ComfyClient
from workers.comfy.protocol import OutputFile
from workers.download import Download, Fetched

LOOK_EVERY_S = 1.0
# Chosen: each waits for a node most of its time, and a node that hangs holds eight at most.
THREADS = 64
_Key: TypeAlias = tuple[int, str, str]

_pool = ThreadPoolExecutor(THREADS, thread_name_prefix="fetch")


class Fetches:
    """The fetches of one prompt's images, one for each of its jobs."""

    def __init__(self, client: ComfyClient, jobs: Sequence[Job], *, has_pack: bool) -> None:
        self._client = client
        self._has_pack = has_pack
        self._jobs = {job.prompt_index: job for job in jobs}
        self._begun: dict[_Key, Download] = {}

    def foresee(self, files: Sequence[OutputFile]) -> None:
        """Ask for the files that the prompt is likely to name, unless it has named some."""
        if not any(download.is_named for download in self._begun.values()):
            self._begin(files, are_named=False)

    def begin(self, files: Sequence[OutputFile]) -> None:
        """Have files fetched that are not being fetched yet. Give all that the prompt named.

        What it was expected to name, or named before, and does not now is not kept.
        """
        named = {_key(index, file) for index, file in enumerate(files)}
        for key, download in self._begun.items():
            if key not in named:
                download.stop()
        self._begin(files, are_named=True)

    def have_arrived(self, files: Sequence[OutputFile], *, within_s: float) -> bool:
        """Wait so long at most for the bytes; whether each file's are here or never will be."""
        keys = (_key(index, file) for index, file in enumerate(files))
        begun = [self._begun[key] for key in keys if key in self._begun]
        return not wait([download.arrived for download in begun], within_s).not_done

    def find(self, files: Sequence[OutputFile], index: int) -> Download:
        """The download of one of the files."""
        self.begin(files)
        return self._begun[_key(index, files[index])]

    def take(self, files: Sequence[OutputFile], index: int, look: Callable[[], None]) -> Fetched:
        """Wait for one of the files; `look` is called meanwhile and raises to stop that.

        Raises:
            Failure: it never came whole, or has another size.
        """
        download = self.find(files, index)
        while True:
            try:
                return download.coming.result(LOOK_EVERY_S)
            except NotYet:
                look()

    def close(self) -> None:
        """Try nothing again that has not come yet."""
        for download in self._begun.values():
            download.stop()

    def _begin(self, files: Sequence[OutputFile], *, are_named: bool) -> None:
        for index, file in enumerate(files):
            key, job = _key(index, file), self._jobs.get(index)
            download = self._begun.get(key)
            if (download is None or download.is_over) and job is not None:
                download = Download(self._client, file, job, has_pack=self._has_pack)
            if download is None:
                continue
            if are_named:
                download.name()
            if self._begun.get(key) is not download:
                self._begun[key] = download
                download.begin(_pool)


def _key(index: int, file: OutputFile) -> _Key:
    return (index, file.subfolder, file.name)
