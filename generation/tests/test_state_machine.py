"""What holds whatever happens in whatever order: a state machine against the real database.

Two users, two nodes, any number of workers with leases that they keep and use again when they are
long void, a reconciler, owners who cancel and retry, and a clock. Each example is one transaction
that is rolled back, so examples know nothing of each other; what happens at the same moment is in
`test_concurrency.py`.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from copy import copy
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from pytest_django import Settings

from conftest import params, sketch_png
from generation.exceptions import NotRetryable, TooManyWaiting
from generation.keys import Idempotency
from generation.ledger_check import ledger_drifts
from generation.models import Event, EventStream, GeneratedImage, Job, Node, NodeHealth, Share
from generation.params import prompt_id_for
from generation.scheduling import job_claim, jobs_expired, jobs_overdue
from generation.services import job_retry, job_submit, jobs_cancel
from generation.shares import WAITS, shares_forget_idle
from generation.states import ACTIVE, NEXT, ON_NODE, TERMINAL, JobState, Lane
from generation.submissions import Submission
from generation.tests.stages import IMAGE, traces_of
from generation.transitions import (
    Lease,
    StoredImage,
    job_advance,
    job_cancel_confirmed,
    job_cancel_queued,
    job_cancel_request,
    job_expire_queued,
    job_fail,
    job_requeue,
    job_succeed,
    job_take,
    lease_release,
    lease_take,
    leases_renew,
)
from usage.exceptions import QuotaExhausted
from usage.models import LedgerEntry, Plan, QuotaDay, User
from usage.quota import usage_of

DAILY_LIMIT = 30
QUEUE_LIMIT = 9
SKETCH = sketch_png(size=(16, 16))

Rows = dict[UUID, dict[str, Any]]  # everything that the database says of the jobs

# What an attempt moves a job to, and from where: see `workers/attempt.py`.
ADVANCES: dict[JobState, frozenset[JobState]] = {
    JobState.SUBMITTED: frozenset({JobState.CLAIMED}),
    JobState.RUNNING: frozenset({JobState.SUBMITTED}),
    JobState.SAVING: frozenset({JobState.SUBMITTED, JobState.RUNNING}),
}
HAVE_IMAGE = frozenset({JobState.SUBMITTED, JobState.RUNNING, JobState.SAVING})
ON_WAY = ["claimed", "submitted", "running", "saving"]
# How far a worker gets with a job.
ALL_WAYS = [*ON_WAY, "succeeded", "succeeded", "failed", "requeued"]
WAYS = st.lists(st.sampled_from(ALL_WAYS), min_size=1, max_size=3)
# Seconds. No sum of them comes nearer than one to a lease's life or a delay (15 and 5): how long a
# step takes must not decide whether something has run out, or the same steps would go another way.
PASSES_S = [2, 8, 17]
STATE_OF_EVENT = {f"job.{state}": state for state in JobState} | {"job.requeued": JobState.QUEUED}


class Jobs(RuleBasedStateMachine):
    """Everybody who may touch a job, doing so in any order."""

    jobs = Bundle("jobs")  # as they were when they were submitted
    leases = Bundle("leases")  # all that were ever given out, most of them void

    def __init__(self) -> None:
        super().__init__()
        self.sandbox = transaction.atomic()
        self.sandbox.__enter__()
        # Two prompts, and one: of the second user at most one at a time. Variations share a prompt
        # on the first node alone.
        self.nodes = [
            Node.objects.create(
                name=name,
                url=f"http://{name}:1",
                depth=depth,
                images_per_prompt=images,
                health=NodeHealth.HEALTHY,
            )
            for name, depth, images in (("one", 2, 4), ("two", 1, 1))
        ]
        plan = Plan.objects.create(name="studio", weight=3, in_flight_limit=1)
        self.users = [
            User.objects.create_user("owner@example.com"),
            User.objects.create_user("stranger@example.com", plan=plan),
        ]
        self.ended: dict[UUID, dict[str, Any]] = {}  # the rows of jobs when they ended
        self.made: dict[UUID, list[str]] = {}  # the files that a success was told of
        self.attempts: Counter[UUID] = Counter()
        self.held_at = time.monotonic()

    def teardown(self) -> None:
        """Finish all that is left, look once more, and leave nothing behind."""
        try:
            if sys.exc_info()[0] is None:
                self.drain()
                self.everything_holds()
                self.nothing_is_left()
        finally:
            transaction.set_rollback(True)
            self.sandbox.__exit__(None, None, None)

    # --- People ---

    @initialize(target=jobs, lane=st.sampled_from(Lane), count=st.integers(2, 4))
    def begin(self, lane: Lane, count: int) -> MultipleResults[Job]:
        """Both users want something: an empty queue is the least of it."""
        begun = []
        for user in self.users:
            call = partial(job_submit, user, Submission(SKETCH, params(), count, lane))
            begun += self.accepted(user, call, is_repeated=False)
        return multiple(*begun)

    @rule(
        target=jobs,
        who=st.sampled_from([0, 1]),
        lane=st.sampled_from(Lane),
        count=st.integers(1, 4),
        is_repeated=st.booleans(),
    )
    def submit(
        self, who: int, lane: Lane, count: int, is_repeated: bool
    ) -> MultipleResults[Job] | Job:
        """Ask for images; a new live frame takes the place of those that wait."""
        user = self.users[who]
        waiting = Job.objects.filter(user=user, lane=Lane.LIVE, state=JobState.QUEUED)
        superseded = set(waiting.values_list("id", flat=True)) if lane == Lane.LIVE else set()
        key = Idempotency(str(uuid4()), "digest")
        call = partial(job_submit, user, Submission(SKETCH, params(), count, lane), idempotency=key)

        accepted = self.accepted(user, call, is_repeated=is_repeated)

        if accepted:
            assert len(accepted) == count
            ends = Job.objects.filter(id__in=superseded).values_list("state", flat=True)
            assert set(ends) <= {JobState.CANCELLED}
        return multiple(*accepted)

    @rule(target=jobs, job=jobs, is_repeated=st.booleans())
    def retry(self, job: Job, is_repeated: bool) -> MultipleResults[Job] | Job:
        """Ask again for what failed or was cancelled."""
        seen = Job.objects.get(id=job.id)
        key = Idempotency(str(uuid4()), "digest")
        call = partial(job_retry, seen.user, seen, idempotency=key)
        if seen.state not in {JobState.FAILED, JobState.CANCELLED}:
            before = self.world()
            with pytest.raises(NotRetryable):
                call()
            assert self.world() == before
            return multiple()
        return multiple(*self.accepted(seen.user, call, is_repeated=is_repeated))

    @rule(job=jobs, is_stale=st.booleans(), is_repeated=st.booleans())
    def cancel(self, job: Job, is_stale: bool, is_repeated: bool) -> None:
        """Cancel a job, as it is or as a page that was opened long ago still shows it."""
        fresh = Job.objects.get(id=job.id)
        seen = Job(id=job.id, attempt=job.attempt, state=job.state) if is_stale else fresh
        jobs_cancel([seen])

        self.is_over_or_asked_for([job.id])
        if is_repeated:
            before = traces_of(job.id)
            jobs_cancel([Job.objects.get(id=job.id), job])
            assert traces_of(job.id) == before

    @rule(who=st.sampled_from([0, 1]))
    def cancel_all(self, who: int) -> None:
        """Cancel whatever a user has."""
        active = list(Job.objects.filter(user=self.users[who], state__in=ACTIVE))
        jobs_cancel(active)
        self.is_over_or_asked_for(job.id for job in active)

    # --- Workers ---

    # Hypothesis leaves rules out of examples at random; this one is there twice, because without
    # it few jobs would get far enough for the others to do them harm.

    @rule(target=leases, ways=WAYS)
    def work(self, ways: list[str]) -> MultipleResults[Lease]:
        """Claim some jobs and bring each some way."""
        leases = []
        for way in ways:
            for claimed in self.claim():
                self.bring(claimed, way)
                leases.append(claimed)
        return multiple(*leases)

    @rule(target=leases, ways=WAYS)
    def work_more(self, ways: list[str]) -> MultipleResults[Lease]:
        """Claim more jobs."""
        return self.work(ways)

    @rule(which=st.integers(0, 2), way=st.sampled_from(ALL_WAYS))
    def go_on(self, which: int, way: str) -> None:
        """Go on with a job that is held, by whomever."""
        held = list(Job.objects.filter(state__in=ON_NODE).order_by("created_at", "id"))
        if held:
            job = held[which % len(held)]
            assert job.lease_token is not None
            self.bring(Lease(job.id, job.attempt, job.lease_token), way)

    def bring(self, lease: Lease, way: str) -> None:
        """Move a held job on from where it is: to a state, to an end, or back."""
        for to, origins in ADVANCES.items():
            row = Job.objects.get(id=lease.job_id)
            if way in {"failed", "requeued"} or row.state == way:
                break
            if row.state in origins:
                self.advance_held(lease, to, origins)
        if way == JobState.SUCCEEDED:
            self.succeed_held(lease, 1.0, is_repeated=False)
        elif way == JobState.FAILED:
            self.tried(lease, partial(job_fail, lease, code="x", message="x"), ON_NODE, False)
        elif way == "requeued":
            call = partial(job_requeue, lease, failure="infrastructure")
            self.tried(lease, call, ON_NODE, False, heeds_cancel=True)

    def claim(self) -> list[Lease]:
        """Claim what is next: something whenever there is something, the live lane first.

        What shares a prompt is one user's, in one lane, and has a place of its own in it.
        """
        best_lane = self.best_lane()

        claim = job_claim()

        if claim is None:
            assert best_lane is None
            return []
        shared = {(job.user_id, job.batch_id, job.prompt_id) for _, job in claim.members}
        assert len(shared) == 1
        assert len(claim.members) <= claim.node.images_per_prompt
        for place, (lease, job) in enumerate(claim.members):
            assert (job.lane, job.prompt_index) == (best_lane, place)
            assert job.attempt == lease.attempt == self.attempts[job.id] + 1
            self.attempts[job.id] += 1
            before = traces_of(job.id)
            as_it_was = copy(job)
            as_it_was.attempt -= 1
            assert job_take(as_it_was, node_id=self.nodes[0].pk) is None
            assert traces_of(job.id) == before
        return [lease for lease, _ in claim.members]

    @rule(lease=leases, to=st.sampled_from(list(ADVANCES)), is_repeated=st.booleans())
    def advance(self, lease: Lease, to: JobState, is_repeated: bool) -> None:
        """Move a job on."""
        self.advance_held(lease, to, ADVANCES[to], is_repeated=is_repeated)

    def advance_held(
        self, lease: Lease, to: JobState, origins: Iterable[JobState], *, is_repeated: bool = False
    ) -> None:
        """Move a job on, if the lease is good for it."""
        self.tried(lease, partial(job_advance, lease, origins, to), origins, is_repeated)

    @rule(lease=leases, seconds=st.sampled_from([None, 0.0, 0.5, 30.0]), is_repeated=st.booleans())
    def succeed(self, lease: Lease, seconds: float | None, is_repeated: bool) -> None:
        """Bring a job's image, under a name of this lease alone."""
        self.succeed_held(lease, seconds, is_repeated=is_repeated)

    def succeed_held(self, lease: Lease, seconds: float | None, *, is_repeated: bool) -> None:
        """End a job well, if the lease is good for it."""
        image = image_of(lease)
        call = partial(job_succeed, lease, [image], execution_s=seconds)
        if self.tried(lease, call, HAVE_IMAGE, is_repeated, heeds_cancel=True):
            self.made[lease.job_id] = [image.file]

    @rule(lease=leases, is_repeated=st.booleans())
    def fail(self, lease: Lease, is_repeated: bool) -> None:
        """End a job badly."""
        call = partial(job_fail, lease, code="node_failed", message="It broke.")
        self.tried(lease, call, ON_NODE, is_repeated)

    @rule(
        lease=leases,
        failure=st.sampled_from(["none", "infrastructure", "memory", "blank", "refused"]),
        delay_s=st.sampled_from([0, 5]),
        avoids=st.sampled_from([None, 0, 1]),
        is_repeated=st.booleans(),
    )
    def requeue(
        self, lease: Lease, failure: str, delay_s: int, avoids: int | None, is_repeated: bool
    ) -> None:
        """Give a job back, at once or for later, perhaps for another node."""
        call = partial(
            job_requeue,
            lease,
            failure=failure,
            delay=timedelta(seconds=delay_s),
            avoid_node_id=None if avoids is None else self.nodes[avoids].pk,
        )
        self.tried(lease, call, ON_NODE, is_repeated, heeds_cancel=True)

    @rule(lease=leases, is_repeated=st.booleans())
    def confirm_cancel(self, lease: Lease, is_repeated: bool) -> None:
        """End a job as cancelled, its node having let go of it."""
        self.tried(lease, partial(job_cancel_confirmed, lease), ON_NODE, is_repeated)

    @rule(held=st.lists(leases, max_size=4))
    def renew(self, held: list[Lease]) -> None:
        """Renew what a worker believes to hold."""
        valid = {lease.token for lease in held if self.is_held(lease)}
        assert leases_renew([lease.token for lease in held]) == valid

    @rule(lease=leases)
    def release(self, lease: Lease) -> None:
        """Let go of a job, as a worker does that is told to stop."""
        before = traces_of(lease.job_id)
        is_held = self.is_held(lease)

        lease_release(lease)

        assert (lease.job_id in jobs_expired(100)) or not is_held
        assert is_held or traces_of(lease.job_id) == before

    # --- Time ---

    @rule(seconds=st.sampled_from(PASSES_S))
    def let_time_pass(self, seconds: int) -> None:
        """Make everything that is compared with the clock that much older."""
        past = timedelta(seconds=seconds)
        active = Job.objects.filter(state__in=ACTIVE)
        active.update(lease_expires_at=F("lease_expires_at") - past)
        active.update(not_before=F("not_before") - past)

    def hold_time(self) -> None:
        """Give back the time that the step took, on a busy machine seconds, to what still runs."""
        now = time.monotonic()
        took = timedelta(seconds=now - self.held_at)
        self.held_at = now
        active = Job.objects.filter(state__in=ACTIVE)
        for clock in ("lease_expires_at", "not_before"):
            active.filter(**{f"{clock}__gt": Now()}).update(**{clock: F(clock) + took})

    @rule(target=leases)
    def adopt_orphans(self) -> MultipleResults[Lease] | Lease:
        """Take over every job whose worker is dead, once each."""
        # What was renewed together runs out together, in no order of its own.
        expired = Job.objects.filter(id__in=jobs_expired(100)).order_by("created_at")
        orphans = list(expired.values_list("id", flat=True))
        taken = [lease_take(job_id) for job_id in orphans]
        assert [lease_take(job_id) for job_id in orphans] == [None] * len(orphans)
        assert None not in taken
        return multiple(*[lease for lease in taken if lease is not None])

    @rule(job=jobs)
    def adopt_early(self, job: Job) -> None:
        """Try to take over a job whose worker lives, or that has none."""
        if job.id not in jobs_expired(100):
            before = traces_of(job.id)
            assert lease_take(job.id) is None
            assert traces_of(job.id) == before

    @rule(job=jobs, is_late=st.booleans())
    def end_overdue(self, job: Job, is_late: bool) -> None:
        """End what has waited an hour; or try with an attempt that is no longer true."""
        message = "It waited too long."
        if is_late:
            fresh = Job.objects.get(id=job.id)
            if fresh.state == JobState.QUEUED and fresh.attempt == job.attempt:
                return
            before = traces_of(job.id)
            assert job_cancel_queued(job.id, job.attempt) is None
            assert job_expire_queued(job.id, job.attempt, code="x", message=message) is None
            assert traces_of(job.id) == before
            return
        hour = timedelta(seconds=4000)
        Job.objects.filter(id=job.id, state__in=ACTIVE).update(created_at=F("created_at") - hour)
        for job_id, attempt in jobs_overdue(100):
            assert job_expire_queued(job_id, attempt, code="waited_too_long", message=message)
        assert Job.objects.get(id=job.id).state != JobState.QUEUED

    @rule(job=jobs)
    def request_cancel_twice(self, job: Job) -> None:
        """Note a wish to cancel on what is on a node, and on nothing else; and note it once."""
        fresh = Job.objects.get(id=job.id)
        is_new = fresh.state in ON_NODE and fresh.cancel_requested_at is None
        assert (job_cancel_request(job.id) is not None) == is_new
        before = traces_of(job.id)
        assert job_cancel_request(job.id) is None
        assert traces_of(job.id) == before

    @rule()
    def forget_idle(self) -> None:
        """Clear the flags of those who wait for nothing."""
        shares_forget_idle()
        for share in Share.objects.all():
            for lane, flag in WAITS.items():
                queued = Job.objects.filter(user=share.user_id, lane=lane, state=JobState.QUEUED)
                assert getattr(share, flag) == queued.exists()

    # --- What always holds ---

    @invariant()
    def everything_holds(self) -> None:
        """Look at all rows there are."""
        rows: Rows = {row["id"]: dict(row) for row in Job.objects.values()}
        self.ends_stay(rows)
        self.states_fit(rows)
        self.nobody_has_too_much(rows)
        self.images_fit(rows)
        self.books_balance(rows)
        self.events_fit(rows)
        self.shares_fit(rows)
        self.hold_time()

    def ends_stay(self, rows: Rows) -> None:
        """What has ended never changes, in no column."""
        for job_id, row in self.ended.items():
            assert rows[job_id] == row
        self.ended |= {key: row for key, row in rows.items() if row["state"] in TERMINAL}

    def states_fit(self, rows: Rows) -> None:
        """The columns of a job say the same as its state."""
        for row in rows.values():
            is_on_node = row["state"] in ON_NODE
            assert (row["lease_token"] is not None) == is_on_node
            assert (row["lease_expires_at"] is not None) == is_on_node
            assert row["attempt"] == self.attempts[row["id"]]
            if is_on_node:
                assert row["node_id"] is not None
                assert row["prompt_id"] is not None
                if row["prompt_index"] == 0:
                    assert row["prompt_id"] == prompt_id_for(row["id"], row["attempt"])
            if row["state"] == JobState.QUEUED:
                assert row["cancel_requested_at"] is None
                assert (row["node_id"], row["prompt_id"]) == (None, None)
                assert row["charged_virtual_s"] == 0.0
            if row["state"] == JobState.SUCCEEDED:
                assert row["cancel_requested_at"] is None

    def nobody_has_too_much(self, rows: Rows) -> None:
        """No node holds more than its depth; no user is over a limit."""
        on_node = [row for row in rows.values() if row["state"] in ON_NODE]
        prompts = {row["prompt_id"]: row for row in on_node}
        held = Counter(row["node_id"] for row in prompts.values())
        assert all(held[node.pk] <= node.depth for node in self.nodes)
        assert Counter(row["user_id"] for row in prompts.values())[self.users[1].pk] <= 1
        places = Counter((row["prompt_id"], row["prompt_index"]) for row in on_node)
        assert max(places.values(), default=1) == 1
        for row in on_node:
            same = prompts[row["prompt_id"]]
            assert (row["batch_id"], row["node_id"]) == (same["batch_id"], same["node_id"])
        active = Counter(row["user_id"] for row in rows.values() if row["state"] in ACTIVE)
        assert max(active.values(), default=0) <= QUEUE_LIMIT

    def images_fit(self, rows: Rows) -> None:
        """A job that succeeded has the images of the lease that won; no other job has any."""
        images: defaultdict[UUID, list[str]] = defaultdict(list)
        found = GeneratedImage.objects.order_by("job", "index")
        for job_id, file in found.values_list("job_id", "file"):
            images[job_id].append(file)
        assert images == self.made
        succeeded = {key for key, row in rows.items() if row["state"] == JobState.SUCCEEDED}
        assert set(self.made) == succeeded

    def books_balance(self, rows: Rows) -> None:
        """Each job has one reservation and, once it has ended, the one outcome of its end."""
        kinds: defaultdict[UUID, list[str]] = defaultdict(list)
        sums: Counter[tuple[int, Any]] = Counter()
        lines = LedgerEntry.objects.order_by("id")
        for user_id, day, job_id, kind, amount in lines.values_list(
            "user_id", "day", "job_id", "kind", "amount"
        ):
            assert rows[job_id]["user_id"] == user_id
            kinds[job_id].append(kind)
            sums[user_id, day] += amount
        outcomes = {state: ["reserve"] for state in ACTIVE}
        outcomes |= {JobState.SUCCEEDED: ["reserve", "settle"]}
        outcomes |= {
            state: ["reserve", "refund"] for state in (JobState.FAILED, JobState.CANCELLED)
        }
        assert kinds == {key: outcomes[row["state"]] for key, row in rows.items()}
        counters = {
            (user_id, day): used
            for user_id, day, used in QuotaDay.objects.values_list("user_id", "day", "used")
        }
        assert {key: used for key, used in counters.items() if used} == +sums
        assert max(counters.values(), default=0) <= DAILY_LIMIT

    def events_fit(self, rows: Rows) -> None:
        """Events have no gaps, and each job's tell the way it went, to where it is."""
        seqs: defaultdict[int, list[int]] = defaultdict(list)
        ways: defaultdict[UUID, list[JobState]] = defaultdict(list)
        claims: Counter[UUID] = Counter()
        wishes: Counter[UUID] = Counter()
        found = Event.objects.order_by("user", "seq")
        for user_id, seq, type_, job_id, payload in found.values_list(
            "user_id", "seq", "type", "job_id", "payload"
        ):
            assert rows[job_id]["user_id"] == user_id
            seqs[user_id].append(seq)
            if type_ == "job.cancel_requested":
                assert ways[job_id][-1] in ON_NODE
                wishes[job_id] += 1
            else:
                ways[job_id].append(STATE_OF_EVENT[type_])
            assert payload["job"]["id"] == str(job_id)
            assert payload["job"]["state"] == ways[job_id][-1]
            claims[job_id] += type_ == "job.claimed"
        last = dict(EventStream.objects.values_list("user_id", "last_seq"))
        assert seqs == {user: list(range(1, count + 1)) for user, count in last.items()}
        assert +claims == +self.attempts
        assert set(ways) == set(rows)
        for job_id, way in ways.items():
            assert way[0] == JobState.QUEUED
            assert way[-1] == rows[job_id]["state"]
            assert all(after in NEXT[before] for before, after in pairwise(way))
            assert wishes[job_id] <= 1

    def shares_fit(self, rows: Rows) -> None:
        """Whoever waits has their flag up; whatever is on a node has been charged."""
        shares = {share.user_id: share for share in Share.objects.all()}
        charged: Counter[int] = Counter()
        for row in rows.values():
            share = shares[row["user_id"]]
            if row["state"] == JobState.QUEUED:
                assert getattr(share, WAITS[Lane(row["lane"])])
            if row["state"] in ON_NODE:
                assert row["charged_virtual_s"] > 0
                charged[row["user_id"]] += row["charged_virtual_s"]
        for user_id, seconds in charged.items():
            assert shares[user_id].virtual_s >= seconds - 1e-6
        assert all(share.virtual_s >= -1e-6 for share in shares.values())

    # --- The end ---

    def drain(self) -> None:
        """Every worker dies; others take everything over and go on until nothing is left."""
        given_back: set[tuple[int, int]] = set()
        for _ in range(3 * len(self.attempts) + 3 * Job.objects.count() + 3):
            self.let_time_pass(60)
            for job_id in jobs_expired(1000):
                lease = lease_take(job_id)
                assert lease is not None
                if not self.is_given_back(lease, given_back):
                    self.finish(lease)
            if job_claim_counted(self.attempts) is None:
                break

    def is_given_back(self, lease: Lease, done: set[tuple[int, int]]) -> bool:
        """Give back, once, the last job of a user in a lane, when nobody remembers that they wait.

        Nothing but its own way back to the queue can have it claimed again.
        """
        job = Job.objects.get(id=lease.job_id)
        queued = Job.objects.filter(user=job.user_id, lane=job.lane, state=JobState.QUEUED)
        if (job.user_id, job.lane) in done or queued.exists():
            return False
        done.add((job.user_id, job.lane))
        shares_forget_idle()
        return job_requeue(lease, failure="none") is not None

    def finish(self, lease: Lease) -> None:
        """Bring a job to its end as an attempt does."""
        for to, origins in ADVANCES.items():
            job_advance(lease, origins, to)
        image = image_of(lease)
        if job_succeed(lease, [image], execution_s=1.0):
            self.made[lease.job_id] = [image.file]
        else:
            assert job_cancel_confirmed(lease)

    def nothing_is_left(self) -> None:
        """Every job has ended, and whoever checks the books or the keys finds nothing."""
        assert not Job.objects.filter(state__in=ACTIVE).exists()
        assert list(ledger_drifts()) == []
        connection.check_constraints()

    # --- Of the rules ---

    def accepted(
        self, user: User, call: Callable[[], dict[str, Any]], *, is_repeated: bool
    ) -> list[Job]:
        """The jobs that a request made; refused, it left nothing, and repeated, it made no more."""
        before = self.world()
        try:
            answer = call()
        except QuotaExhausted:
            assert usage_of(user).remaining in range(4)
        except TooManyWaiting:
            assert Job.objects.filter(user=user, state__in=ACTIVE).count() > QUEUE_LIMIT - 4
        else:
            after = self.world()
            if is_repeated:
                assert call() == answer
                assert self.world() == after
            made = [UUID(job["id"]) for job in answer["jobs"]]
            return list(Job.objects.filter(id__in=made).order_by("index"))
        assert self.world() == before
        return []

    def tried(
        self,
        lease: Lease,
        call: Callable[[], Job | None],
        origins: Iterable[JobState],
        is_repeated: bool,
        *,
        heeds_cancel: bool = False,
    ) -> bool:
        """Whether a step was made: only by who holds the job; otherwise it leaves no trace."""
        row = Job.objects.get(id=lease.job_id)
        may = self.is_held(lease) and row.state in set(origins)
        if heeds_cancel and row.cancel_requested_at is not None:
            may = False
        before = traces_of(lease.job_id)

        changed = call() is not None

        assert changed == may
        after = traces_of(lease.job_id)
        assert changed or after == before
        if is_repeated:
            assert call() is None
            assert traces_of(lease.job_id) == after
        return changed

    def is_held(self, lease: Lease) -> bool:
        """Whether a lease is still the row's."""
        row = Job.objects.get(id=lease.job_id)
        return row.state in ON_NODE and (row.attempt, row.lease_token) == (
            lease.attempt,
            lease.token,
        )

    def is_over_or_asked_for(self, job_ids: Iterable[UUID]) -> None:
        """Each job has ended, or its worker will see that it is to end."""
        for job in Job.objects.filter(id__in=list(job_ids)):
            assert job.state in TERMINAL or job.cancel_requested_at is not None

    def best_lane(self) -> Lane | None:
        """The lane that the next claim must be of; None if there is nothing to claim."""
        rows = list(Job.objects.filter(state__in=ACTIVE))
        prompts = {job.prompt_id: job for job in rows if job.state in ON_NODE}.values()
        held = Counter(job.node_id for job in prompts)
        room = {node.pk for node in self.nodes if held[node.pk] < node.depth}
        in_flight = Counter(job.user_id for job in prompts)
        limits = {self.users[0].pk: 4, self.users[1].pk: 1}
        now = timezone.now()
        lanes = [
            Lane(job.lane)
            for job in rows
            if job.state == JobState.QUEUED
            and (job.not_before is None or job.not_before <= now)
            and room - {job.avoid_node_id}
            and in_flight[job.user_id] < limits[job.user_id]
        ]
        return min(lanes, default=None)

    def world(self) -> dict[str, Any]:
        """All that a request could have written."""
        return {
            "jobs": list(Job.objects.order_by("id").values()),
            "shares": list(Share.objects.order_by("user").values()),
            "days": list(QuotaDay.objects.order_by("id").values("id", "used")),
            "lines": LedgerEntry.objects.count(),
            "events": list(EventStream.objects.order_by("user").values()),
        }


def image_of(lease: Lease) -> StoredImage:
    """An image that nobody but the holder of this lease can have made."""
    return dataclasses.replace(IMAGE, file=f"images/{lease.token}.png")


def job_claim_counted(attempts: Counter[UUID]) -> Lease | None:
    """Claim everything that can be claimed, counting; the last lease."""
    last = None
    while (claim := job_claim()) is not None:
        for lease, job in claim.members:
            attempts[job.id] += 1
            last = lease
    return last


@pytest.mark.django_db
def test_whatever_happens_in_whatever_order_the_promise_holds(settings: Settings) -> None:
    settings.PENCIL = dataclasses.replace(
        settings.PENCIL, daily_limit=DAILY_LIMIT, queue_limit=QUEUE_LIMIT, in_flight_limit=4
    )
    name = hypothesis_settings.get_current_profile_name()
    budget = hypothesis_settings.get_profile(name if name == "long" else "short")

    run_state_machine_as_test(
        Jobs, settings=hypothesis_settings(budget, suppress_health_check=list(HealthCheck))
    )
