"""The audit: the promise, held against what was found. Pure: evidence in, findings out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from scripts.havoc.hues import CHROMA_MIN, Look, hue_of_user, nearest_user

TERMINAL = frozenset({"succeeded", "failed", "cancelled"})
STALL_MAX_S = 90.0  # after the last fault


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as its row says; times in seconds since 1970, sizes in pixels."""

    id: str
    user: int
    batch_id: str
    state: str
    attempt: int
    error_code: str
    width: int
    height: int
    created_at: float
    finished_at: float | None
    is_cancel_requested: bool


@dataclass(frozen=True, slots=True)
class ImageRow:
    """An image as its row says, with what lies on the disk and what HTTP gave.

    `look` is None when the owner could not fetch it whole; `stranger_status` is what another got.
    """

    job_id: str
    file: str
    size_bytes: int
    disk_bytes: int | None
    owner_status: int
    stranger_status: int
    look: Look | None


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A line of the ledger."""

    user: int
    day: str
    job_id: str
    kind: str
    amount: int


@dataclass(frozen=True, slots=True)
class EventRow:
    """A numbered event."""

    user: int
    seq: int
    type: str
    job_id: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A job that a caller was told of."""

    job_id: str
    batch_id: str
    user: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that was gathered. Users are numbered from 0, as the clients number them.

    Attributes:
        accepted: one for each job id of every 202.
        used: the counters, by user and day.
        last_seqs: each user's last event number, as its stream says.
        heard: the last event that each user's socket heard without a gap.
        api_used: what the API says that each user has used today.
        said: contradictions that the clients met.
        last_fault_at: when the last fault had ended, in seconds since 1970.
    """

    users: int
    accepted: tuple[Accepted, ...]
    jobs: tuple[JobRow, ...]
    images: tuple[ImageRow, ...]
    ledger: tuple[LedgerRow, ...]
    used: Mapping[tuple[int, str], int]
    events: tuple[EventRow, ...]
    last_seqs: Mapping[int, int]
    heard: Mapping[int, int]
    api_used: Mapping[int, int]
    said: tuple[str, ...]
    last_fault_at: float
    now: float


@dataclass(slots=True)
class Findings:
    """What the audit found: each finding under its heading, and the numbers of the table.

    `weak` is what should not be, and does not break the promise.
    """

    broken: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    numbers: dict[str, str | int | float] = field(default_factory=dict)
    weak: list[str] = field(default_factory=list)

    @property
    def is_kept(self) -> bool:
        """Whether the promise was kept."""
        return not any(self.broken.values())

    def add(self, heading: str, lines: Iterable[str]) -> None:
        """Add findings under a heading, which stays in the table without any too."""
        self.broken[heading].extend(lines)


HEADINGS = (
    "lost",
    "doubled",
    "wrong owner",
    "images not as they should be",
    "double charge",
    "ledger drift",
    "events",
    "contradictions",
    "too late",
)


def audit(evidence: Evidence) -> Findings:
    """Hold the evidence against the promise."""
    findings = Findings()
    for heading in HEADINGS:
        findings.add(heading, ())
    findings.add("lost", lost(evidence.accepted, evidence.jobs))
    findings.add("doubled", doubled(evidence))
    owners, pictures = wrong_images(evidence)
    findings.add("wrong owner", owners)
    findings.add("images not as they should be", pictures)
    findings.add("double charge", double_charges(evidence.ledger))
    findings.add("ledger drift", ledger_drift(evidence))
    findings.add("events", event_faults(evidence))
    findings.add("contradictions", evidence.said)
    findings.add("contradictions", broken_cancels(evidence.jobs))
    findings.add("too late", too_late(evidence))
    findings.numbers = numbers(evidence)
    return findings


def lost(accepted: Iterable[Accepted], jobs: Iterable[JobRow]) -> list[str]:
    """Accepted jobs without a row of their user's, or that have not ended."""
    rows = {job.id: job for job in jobs}
    found = []
    for one in accepted:
        row = rows.get(one.job_id)
        if row is None:
            found.append(f"{one.job_id}: accepted, and no row")
        elif row.user != one.user:
            found.append(f"{one.job_id}: accepted for user {one.user}, a row of user {row.user}")
        elif row.state not in TERMINAL:
            found.append(f"{one.job_id}: {row.state}, attempt {row.attempt}")
    return found


def doubled(evidence: Evidence) -> list[str]:
    """Jobs with two images, files in two rows, and jobs that nobody was told of."""
    per_job = Counter(image.job_id for image in evidence.images)
    per_file = Counter(image.file for image in evidence.images)
    told = {one.job_id for one in evidence.accepted}
    return [
        *(f"{job_id}: {count} images" for job_id, count in per_job.items() if count > 1),
        *(f"{file}: in {count} rows" for file, count in per_file.items() if count > 1),
        *(
            f"{job.id}: a job that nobody was told of"
            for job in evidence.jobs
            if job.id not in told
        ),
    ]


def wrong_images(evidence: Evidence) -> tuple[list[str], list[str]]:
    """Images of somebody else's sketch or for somebody else's eyes; images that are not right."""
    jobs = {job.id: job for job in evidence.jobs}
    owners: list[str] = []
    pictures: list[str] = []
    for image in evidence.images:
        job = jobs.get(image.job_id)
        if job is None or job.state != "succeeded":
            pictures.append(f"{image.file}: its job is {job.state if job else 'not there'}")
            continue
        if image.stranger_status != 404:
            owners.append(f"{image.file}: {image.stranger_status} for a stranger")
        if image.disk_bytes != image.size_bytes:
            pictures.append(f"{image.file}: {image.disk_bytes} of {image.size_bytes} bytes on disk")
        look = image.look
        if image.owner_status != 200 or look is None:
            pictures.append(f"{image.file}: {image.owner_status} for its owner, or not whole")
        elif look.chroma < CHROMA_MIN:
            pictures.append(f"{image.file}: shows no colour ({look.chroma:.2f})")
        elif nearest_user(look.hue, evidence.users) != job.user:
            own = hue_of_user(job.user, evidence.users)
            owners.append(f"{image.file}: hue {look.hue:.2f}, its owner draws in {own:.2f}")
        elif (look.width, look.height) != (job.width, job.height):
            pictures.append(f"{image.file}: {look.width}×{look.height} px")
    with_image = {image.job_id for image in evidence.images}
    pictures += [
        f"{job.id}: succeeded, and no image"
        for job in evidence.jobs
        if job.state == "succeeded" and job.id not in with_image
    ]
    return owners, pictures


def double_charges(ledger: Iterable[LedgerRow]) -> list[str]:
    """Jobs with two lines of a kind, or both settled and refunded."""
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for line in ledger:
        kinds[line.job_id][line.kind] += 1
    return [
        f"{job_id}: {dict(count)}"
        for job_id, count in kinds.items()
        if max(count.values()) > 1 or {"settle", "refund"} <= set(count)
    ]


def ledger_drift(evidence: Evidence) -> list[str]:
    """Counters that are not the sum of their lines, and outcomes that are not the job's."""
    sums: Counter[tuple[int, str]] = Counter()
    kinds: dict[str, set[str]] = defaultdict(set)
    for line in evidence.ledger:
        sums[line.user, line.day] += line.amount
        kinds[line.job_id].add(line.kind)
    found = [
        f"user {key[0]}, {key[1]}: counter {evidence.used.get(key, 0)}, lines {sums[key]}"
        for key in sorted({*sums, *evidence.used})
        if evidence.used.get(key, 0) != sums[key]
    ]
    for job in evidence.jobs:
        outcome = {"succeeded": {"settle"}, "failed": {"refund"}, "cancelled": {"refund"}}
        should = {"reserve"} | outcome.get(job.state, set())
        if kinds[job.id] != should:
            found.append(f"{job.id}: {job.state}, ledger {sorted(kinds[job.id])}")
    known = {job.id for job in evidence.jobs}
    found += [f"{job_id}: in the ledger, and no row" for job_id in kinds if job_id not in known]
    totals: Counter[int] = Counter()
    for (user, _day), used in evidence.used.items():
        totals[user] += used
    found += [
        f"user {user}: the API says {said}, the counters {totals[user]}"
        for user, said in evidence.api_used.items()
        if said != totals[user]
    ]
    return found


def event_faults(evidence: Evidence) -> list[str]:
    """Numbers that are missing, endings not told exactly once, sockets that missed some."""
    seqs: dict[int, list[int]] = defaultdict(list)
    endings: dict[str, list[str]] = defaultdict(list)
    for event in evidence.events:
        seqs[event.user].append(event.seq)
        if event.type.removeprefix("job.") in TERMINAL:
            endings[event.job_id].append(event.type.removeprefix("job."))
    found = []
    for user in range(evidence.users):
        numbers_ = sorted(seqs[user])
        last = evidence.last_seqs.get(user, 0)
        if numbers_ != list(range(1, last + 1)):
            found.append(f"user {user}: {len(numbers_)} events, the stream says {last}")
        if user in evidence.heard and evidence.heard[user] < last:
            found.append(f"user {user}: the socket heard {evidence.heard[user]} of {last}")
    for job in evidence.jobs:
        should = [job.state] if job.state in TERMINAL else []
        if endings[job.id] != should:
            found.append(f"{job.id}: {job.state}, endings told {endings[job.id]}")
    return found


def broken_cancels(jobs: Iterable[JobRow]) -> list[str]:
    """Jobs that succeeded although their cancellation was on record before."""
    return [
        f"{job.id}: cancelled by its owner, and succeeded"
        for job in jobs
        if job.state == "succeeded" and job.is_cancel_requested
    ]


def too_late(evidence: Evidence) -> list[str]:
    """Jobs that took longer than they may once nothing was broken any more."""
    return [
        f"{job.id}: {job.state}, {stall:.0f} s after the last fault"
        for job in evidence.jobs
        if (stall := _stall_s(job, evidence)) > STALL_MAX_S
    ]


def numbers(evidence: Evidence) -> dict[str, str | int | float]:
    """The numbers of the table that are no findings."""
    states = Counter(job.state for job in evidence.jobs)
    codes = Counter(job.error_code for job in evidence.jobs if job.state == "failed")
    ages = [(job.finished_at or evidence.now) - job.created_at for job in evidence.jobs]
    return {
        "accepted": len(evidence.accepted),
        "terminal": sum(states[state] for state in TERMINAL),
        "succeeded": states["succeeded"],
        "failed": states["failed"],
        **{f"  {code or 'without a code'}": count for code, count in sorted(codes.items())},
        "cancelled": states["cancelled"],
        "charged": sum(line.kind == "settle" for line in evidence.ledger),
        "images": len(evidence.images),
        "attempts": sum(job.attempt for job in evidence.jobs),
        "events": len(evidence.events),
        "longest stall (s)": round(
            max((_stall_s(j, evidence) for j in evidence.jobs), default=0), 1
        ),
        "longest age (s)": round(max(ages, default=0), 1),
    }


def _stall_s(job: JobRow, evidence: Evidence) -> float:
    """Seconds from the last fault, or the job's birth if that was later, to its end."""
    ended_at = evidence.now if job.finished_at is None else job.finished_at
    return max(0.0, ended_at - max(job.created_at, evidence.last_fault_at))
