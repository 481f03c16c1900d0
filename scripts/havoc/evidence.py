"""The evidence: gathered from PostgreSQL, the disk, the HTTP API and the nodes themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import requests

from scripts.havoc.audit import (
    Accepted,
    EventRow,
    Evidence,
    ImageRow,
    JobRow,
    LedgerRow,
)
from scripts.havoc.client import Told
from scripts.havoc.hues import Look, look_at

_JOBS = """
SELECT id, user_id, batch_id, state, attempt, error_code, (params->>'width')::int,
       (params->>'height')::int, extract(epoch FROM created_at)::float8,
       extract(epoch FROM finished_at)::float8, cancel_requested_at IS NOT NULL
FROM generation_job
"""
_IMAGES = """
SELECT image.id, image.job_id, image.file, image.size_bytes, job.user_id
FROM generation_generatedimage image JOIN generation_job job ON job.id = image.job_id
"""
REQUESTS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Sources:
    """Where to look. `accounts` are each user's id in the database and token."""

    database_url: str
    media: Path
    address: str
    accounts: Sequence[tuple[int, str]]

    def get(self, user: int, path: str) -> requests.Response:
        """Get a path as a user."""
        headers = {"Authorization": f"Bearer {self.accounts[user][1]}"}
        return requests.get(self.address + path, headers=headers, timeout=20)


def unfinished(database_url: str) -> int:
    """How many jobs have not ended.

    Raises:
        psycopg.Error: the database does not answer.
    """
    query = "SELECT count(*) FROM generation_job WHERE finished_at IS NULL"
    with psycopg.connect(database_url, connect_timeout=5) as connection:
        row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


def gather(
    sources: Sources, told: Sequence[Told], *, heard: Mapping[int, int], last_fault_at: float
) -> Evidence:
    """Gather everything, once all is quiet."""
    number = {pk: user for user, (pk, _) in enumerate(sources.accounts)}
    with psycopg.connect(sources.database_url) as connection:

        def rows(query: str) -> list[tuple[Any, ...]]:
            return connection.execute(query).fetchall()

        jobs = tuple(JobRow(str(r[0]), number[r[1]], str(r[2]), *r[3:]) for r in rows(_JOBS))
        images = rows(_IMAGES)
        ledger = tuple(
            LedgerRow(number[r[0]], str(r[1]), str(r[2]), r[3], r[4])
            for r in rows("SELECT user_id, day, job_id, kind, amount FROM usage_ledgerentry")
        )
        used = {
            (number[r[0]], str(r[1])): int(r[2])
            for r in rows("SELECT user_id, day, used FROM usage_quotaday")
        }
        events = tuple(
            EventRow(number[r[0]], r[1], r[2], str(r[3]))
            for r in rows("SELECT user_id, seq, type, job_id FROM generation_event")
        )
        last_seqs = {
            number[r[0]]: int(r[1])
            for r in rows("SELECT user_id, last_seq FROM generation_eventstream")
        }
        now = float(rows("SELECT extract(epoch FROM now())::float8")[0][0])
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        seen = tuple(pool.map(lambda row: _image(sources, row, number[row[4]]), images))
    return Evidence(
        users=len(sources.accounts),
        accepted=_accepted(told),
        jobs=jobs,
        images=seen,
        ledger=ledger,
        used=used,
        events=events,
        last_seqs=last_seqs,
        heard=heard,
        api_used=_api_used(sources),
        said=_said(told, {job.id: job.state for job in jobs}),
        last_fault_at=last_fault_at,
        now=now,
    )


def stray_files(media: Path, evidence: Evidence) -> int:
    """Image files on disk that no row names: left by attempts that died, and harmless."""
    named = {image.file for image in evidence.images}
    found = media.glob("images/*/*/*.*")
    return sum(
        str(path.relative_to(media)) not in named and "thumbnail" not in path.name for path in found
    )


def _accepted(told: Sequence[Told]) -> tuple[Accepted, ...]:
    unique = {
        job_id: Accepted(job_id, sent.batch_id, sent.user)
        for one in told
        for sent in one.sent
        for job_id in sent.jobs or ()
    }
    return tuple(unique.values())


def _image(sources: Sources, row: tuple[Any, ...], user: int) -> ImageRow:
    image_id, job_id, file, size_bytes, _ = row
    path = f"/api/images/{image_id}"
    owner = sources.get(user, path)
    stranger = sources.get((user + 1) % len(sources.accounts), path)
    look: Look | None = None
    with suppress(OSError):
        look = look_at(owner.content)
    on_disk = sources.media / file
    return ImageRow(
        job_id=str(job_id),
        file=file,
        size_bytes=size_bytes,
        disk_bytes=on_disk.stat().st_size if on_disk.is_file() else None,
        owner_status=owner.status_code,
        stranger_status=stranger.status_code,
        look=look,
    )


def _api_used(sources: Sources) -> dict[int, int]:
    found = {}
    for user in range(len(sources.accounts)):
        answer = sources.get(user, "/api/usage")
        found[user] = int(answer.json()["total"]) if answer.status_code == 200 else -1
    return found


def _said(told: Sequence[Told], states: Mapping[str, str]) -> tuple[str, ...]:
    """What the clients were told that does not hold together."""
    return tuple(
        line
        for one in told
        for line in (
            *one.conflicts,
            *one.changed,
            *(
                f"{sent.key}: neither accepted nor refused"
                for sent in one.sent
                if sent.jobs is None and sent.refusal is None
            ),
            *(
                f"{job_id}: said to be {state}, is {states.get(job_id)}"
                for job_id, state in one.ended.items()
                if states.get(job_id) != state
            ),
        )
    )
