"""An attempt: one try at making a prompt's images on one node, from the claim to a verdict kept.

A prompt makes the image of one job, or of a few variations that were claimed together. Whatever
ends an attempt ends each of its jobs in one transition: succeeded, cancelled, back to the queue, or
failed. If the process dies instead, the leases run out and another worker takes up the same attempt
where the node's record of its prompt says it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from generation.models import Job, Node, NodeDuty, NodeHealth
from generation.nodes import (
    node_failed,
    node_lost,
    node_made_blank,
    node_made_image,
    node_quarantine,
    node_stuck,
)
from generation.pace import pace_note
from generation.scheduling import Claim, prompt_is_wanted
from generation.states import JobState
from generation.transitions import Lease, job_cancel_confirmed, job_succeed
from usage.connections import connection_lend, connection_take
from workers.chores import Chore
from workers.clients import client_for
from workers.comfy.client import ComfyClient
from workers.comfy.errors import ComfyError
from workers.comfy.mailboxes import Follower
from workers.comfy.protocol import OutputFile
from workers.comfy.records import PromptStatus, Verdict
from workers.failures import Failure, FailureKind, failure_of_verdict
from workers.fetches import Fetches
from workers.foretold import Foretold, is_near, verdict_ask
from workers.members import Member, Members, members_held
from workers.prompts import memory_free, prompt_runs, prompt_stop, prompt_supersede
from workers.reporter import Reporter
from workers.saver import image_save, image_succeed, thumbnail_save
from workers.sending import Sending
from workers.workflows.build import is_output_of

log = structlog.get_logger(__name__)

POLL_S = 1.0  # one verdict a second covers a dead socket and brings a cancellation in time
UNREACHABLE_S = 8.0  # chosen: longer than a hiccup of a tunnel, shorter than patience
ARRIVES_WITHIN_S = 0.05  # chosen: ten times what it takes; the job's row is locked meanwhile
SAVING_AFTER_S = 0.1  # chosen: a state that nobody could see costs a write and an event
UNKNOWN_POLLS = 3  # a node that says this often that it knows no such prompt has lost it

# Set when this process is told to stop: attempts let go of their jobs, which are adopted.
draining = threading.Event()


def attempt_run(claim: Claim) -> list[Chore]:
    """Make the images of claimed jobs; return what is left to do, for which nobody waits."""
    assert claim.job.prompt_id is not None
    return attempt_hold(claim.members, claim.node, claim.job.prompt_id, is_adopted=False)


def attempt_hold(
    pairs: Sequence[tuple[Lease, Job]], node: Node, prompt_id: UUID, *, is_adopted: bool
) -> list[Chore]:
    """Hold the jobs of a prompt, in the order of its outputs, until each has gone on.

    Returns what is left to do, for which nobody waits.
    """
    with members_held(pairs) as members:
        try:
            attempt = _Attempt(members, node, prompt_id, is_adopted=is_adopted)
        except Exception as error:
            # What cannot even be begun counts too, or it would come again for ever.
            log.exception("attempt not begun", job_id=str(pairs[0][1].id))
            problem = f"{type(error).__name__}: {error}"
            failure = Failure("node_failed", problem, FailureKind.INFRASTRUCTURE)
            for member in members:
                member.end(failure, node_id=node.pk)
            return []
        attempt.run()
        return attempt.chores


class _Attempt:
    """The state of one attempt while this process holds its jobs."""

    def __init__(self, members: Members, node: Node, prompt_id: UUID, *, is_adopted: bool) -> None:
        self.members = members
        self.node = node
        self.prompt_id = prompt_id
        self.client: ComfyClient = client_for(node.url)
        self.is_adopted = is_adopted
        # Events come only for prompts that this process sent over the connection that is open.
        self.hears_events = not is_adopted
        # As they were claimed: what the prompt puts out stays in this order whoever is dropped.
        self.jobs = members.jobs
        self.sending = Sending(self.client, node, self.jobs, prompt_id)
        self.looked_at = time.monotonic()
        self.node_health: str = node.health
        self.runs_since: float | None = None
        self.saving_at = 0.0
        self.is_late = False  # an image was not there when its job was to end
        self.reporter = Reporter(members, steps=self.sending.steps)
        self.lead: Job = self.jobs[0]
        self.chores: list[Chore] = []
        self.fetches = Fetches(self.client, self.jobs, has_pack=self.sending.has_pack)
        self.log = log.bind(
            job_id=str(self.lead.id),
            attempt=self.lead.attempt,
            images=len(members),
            node=node.name,
        )

    def run(self) -> None:
        """Work until the jobs have gone on, or until none is ours any more."""
        try:
            self._make()
        except Failure as failure:
            self._failed(failure)
        except _NothingLeft:
            self.log.info("attempt over")
        except _Draining:
            for member in self.members:
                member.let_go()
            self.log.info("jobs let go")
        except (DatabaseError, InterfaceError):
            # Nothing can be written now; the leases run out and the jobs are adopted.
            self.log.exception("database away")
        except Exception as error:
            # The outermost loop of a job: what nobody foresaw counts, or it would come again
            # at every adoption for ever.
            self.log.exception("attempt broke")
            self._failed(
                Failure(
                    "node_failed",
                    f"{type(error).__name__}: {error}",
                    FailureKind.INFRASTRUCTURE,
                    prompt_may_live=True,
                )
            )
        finally:
            self.fetches.close()

    def _make(self) -> None:
        with self.client.follow(self.prompt_id) as follower:
            if self.is_adopted:
                self._find()
            else:
                self._submit()
            verdict = self._follow(follower)
        self._save(verdict)

    def _submit(self) -> None:
        """Upload the pictures and submit the graph, once."""
        if draining.is_set():
            raise _Draining
        with self.sending.faults():
            self.sending.prepare()
            self._check_leases()
            self.sending.send(self._check_leases)
        # Only now: the node works already while this is written.
        self._note_submitted()
        if any(job.cancel_requested_at for job in self.members.jobs):
            self._look()

    def _note_submitted(self) -> None:
        try:
            self._advance({JobState.CLAIMED}, JobState.SUBMITTED)
        except _NothingLeft:
            # The jobs were taken away while it was sent: what comes of it could not get in.
            if not self._others_want_it():
                prompt_supersede(self.client, self.prompt_id)
            raise

    def _find(self) -> None:
        """Go on where the jobs' worker died: about when it sent the prompt, or after that."""
        if all(job.state == JobState.CLAIMED for job in self.members.jobs):
            with self.sending.faults():
                status = self.client.verdict(self.prompt_id).status
            if status is PromptStatus.UNKNOWN:
                # It was never sent; and a job that kills workers is counted.
                raise Failure("node_failed", "worker died", FailureKind.INFRASTRUCTURE)
        self._note_submitted()

    def _follow(self, follower: Follower) -> Verdict:
        """Follow the prompt until its record says that it is complete."""
        started_at = time.monotonic()
        answered_at = started_at
        unknown = 0
        while True:
            if self.reporter.is_near_end:
                self.fetches.foresee(self.sending.files)
                connection_take()
            else:
                connection_lend()
            looks_now = self.reporter.take(follower, POLL_S)
            if draining.is_set():
                raise _Draining
            self.hears_events &= not self.reporter.has_lost_events
            if self.reporter.has_started:
                self._advance({JobState.SUBMITTED}, JobState.RUNNING)
            named = self._own(self.reporter.files)
            if len(named) >= len(self.jobs):  # fewer, and their places would not be known
                self.fetches.begin(named)
            if not looks_now:
                continue
            if time.monotonic() - self.looked_at >= POLL_S:
                self._look()
            try:
                verdict = self._ask(named)
            except ComfyError as error:
                if time.monotonic() - answered_at > UNREACHABLE_S:
                    node_lost(self.node.pk, problem=str(error))
                    raise Failure(
                        "node_failed", str(error), FailureKind.INFRASTRUCTURE, prompt_may_live=True
                    ) from error
                continue
            answered_at = time.monotonic()
            unknown = unknown + 1 if verdict.status is PromptStatus.UNKNOWN else 0
            if verdict.status is PromptStatus.COMPLETED:
                return verdict
            if verdict.status is PromptStatus.RUNNING:
                self._advance({JobState.SUBMITTED}, JobState.RUNNING)
            if verdict.status is PromptStatus.CANCELLED:
                self._look()  # an owner may have wanted it, through another worker
            if verdict.status in {PromptStatus.FAILED, PromptStatus.CANCELLED}:
                raise failure_of_verdict(verdict)
            if unknown >= UNKNOWN_POLLS:
                raise Failure(
                    "node_failed", "the node has lost the prompt", FailureKind.INFRASTRUCTURE
                )
            self._watch(follower, verdict, age_s=time.monotonic() - started_at)

    def _ask(self, named: Sequence[OutputFile]) -> Verdict:
        """Ask for the record, and write meanwhile what it will say, where the events tell that."""
        execution_s = self.reporter.execution_s
        is_foretold = self.hears_events and len(named) == len(self.jobs) and is_near(self.client)
        # SQLite locks all rows, which whoever submits would wait for.
        if execution_s is None or not is_foretold or not connection.features.has_select_for_update:
            return verdict_ask(self.client, self.prompt_id)
        foretold = Foretold(self.client, self.prompt_id, files=named, execution_s=execution_s)
        confirm = partial(foretold.confirm, self._own)
        execution_s /= len(self.jobs)
        for member in self.members:
            if not self._succeed_at_once(member, named, execution_s, confirm=confirm):
                self.is_late = not self.fetches.have_arrived(named, within_s=0.0)
                break
            self._succeeded(member, named, execution_s)
        return foretold.verdict()

    def _advance(self, origins: set[JobState], to: JobState) -> None:
        self.members.advance(origins, to)
        if not self.members:
            raise _NothingLeft

    def _watch(self, follower: Follower, verdict: Verdict, *, age_s: float) -> None:
        """Notice a prompt that does not move: HTTP answers even if the execution thread is dead."""
        limits = settings.PENCIL
        is_running = verdict.status is PromptStatus.RUNNING
        self.runs_since = self.runs_since or (time.monotonic() if is_running else None)
        ran_s = time.monotonic() - self.runs_since if self.runs_since else 0.0
        is_silent = self.hears_events and min(follower.silent_s, ran_s) > limits.stall_timeout_s
        if is_running and (is_silent or age_s > limits.run_timeout_s):
            prompt_stop(self.client, self.prompt_id, is_over=self._is_over)
            if prompt_runs(self.client, self.prompt_id):
                node_stuck(self.node.pk, problem="a prompt does not move and cannot be cancelled")
            raise Failure("node_failed", "the prompt does not move", FailureKind.INFRASTRUCTURE)
        if is_running:
            return
        if self.node_health == NodeHealth.STUCK or age_s > limits.run_timeout_s:
            raise Failure(
                "node_failed",
                "the prompt waits behind one that does not move",
                FailureKind.INFRASTRUCTURE,
                prompt_may_live=True,
            )

    def _save(self, verdict: Verdict) -> None:
        """Bring each image into storage and end its job; the others do not wait for one's end."""
        files = self._own(verdict.files)
        if not self.is_adopted and len(files) != len(self.jobs):
            # Which is missing, nobody says: the others could be given a neighbour's image.
            problem = f"the prompt has {len(files)} files for {len(self.jobs)} images"
            raise Failure("node_failed", problem, FailureKind.INFRASTRUCTURE)
        self.fetches.begin(files)
        self.saving_at = time.monotonic() + SAVING_AFTER_S
        execution_s = verdict.execution_s
        if execution_s is not None:
            execution_s /= self._images_made()
        for member in self.members:
            try:
                self._save_one(member, files, execution_s)
            except _Dropped:
                continue
            except Failure as failure:
                self._note(failure)
                self._end(member, failure)

    def _images_made(self) -> int:
        if not self.is_adopted:
            return len(self.jobs)
        # Some of its jobs may have ended before, in the hands of the worker that died.
        return max(1, Job.objects.filter(prompt_id=self.prompt_id).count())

    def _save_one(
        self, member: Member, files: Sequence[OutputFile], execution_s: float | None
    ) -> None:
        if member not in self.members:
            return
        job = member.job
        if job.prompt_index >= len(files):
            raise Failure("node_failed", "the prompt has no file", FailureKind.INFRASTRUCTURE)

        def look() -> None:
            self._look()
            if member not in self.members:
                raise _Dropped

        succeeded = None
        if not self.is_late or self.fetches.have_arrived(files, within_s=0.0):
            succeeded = self._succeed_at_once(member, files, execution_s)
        if succeeded is None:
            if not self._have_arrived(files):
                self._advance({JobState.SUBMITTED, JobState.RUNNING}, JobState.SAVING)
            if member not in self.members:
                raise _Dropped
            fetched = self.fetches.take(files, job.prompt_index, look)
            image = image_save(fetched, job, look, method=self.sending.method())
            succeeded = job_succeed(member.lease, [image], execution_s=execution_s)
        if succeeded is None:
            look()
            self.members.drop(member, why="lease lost")
            return
        self._succeeded(member, files, execution_s)

    def _succeeded(
        self, member: Member, files: Sequence[OutputFile], execution_s: float | None
    ) -> None:
        """Have nothing more to do with a job that has its image, but what nobody waits for."""
        self.members.drop(member, why="job succeeded")
        job = member.job
        fetched = self.fetches.take(files, job.prompt_index, self._check_leases)
        self.chores.append(partial(thumbnail_save, fetched))
        if execution_s is not None:
            self.chores.append(partial(pace_note, job.parameters, execution_s))
        self.chores.append(partial(node_made_image, self.node.pk))

    def _succeed_at_once(
        self,
        member: Member,
        files: Sequence[OutputFile],
        execution_s: float | None,
        *,
        confirm: Callable[[], None] = lambda: None,
    ) -> Job | None:
        """Write the end of a job while its image comes; None where that is slow."""
        within_s = ARRIVES_WITHIN_S
        if not connection.features.has_select_for_update:
            # SQLite locks all rows: there the bytes come first.
            self._have_arrived(files)
            within_s = 0.0
        return image_succeed(
            self.fetches.find(files, member.job.prompt_index),
            member.lease,
            member.job,
            execution_s=execution_s,
            method=self.sending.method(),
            within_s=within_s,
            confirm=confirm,
        )

    def _have_arrived(self, files: Sequence[OutputFile]) -> bool:
        """Wait for all bytes until the jobs are to be called `saving`; whether they are here."""
        within_s = max(0.0, self.saving_at - time.monotonic())
        return self.fetches.have_arrived(files, within_s=within_s)

    def _own(self, files: Iterable[OutputFile]) -> list[OutputFile]:
        """The files that this prompt wrote: a server may name an earlier one's."""
        return [f for f in files if is_output_of(self.prompt_id, subfolder=f.subfolder)]

    def _check_leases(self) -> None:
        """Drop the jobs whose leases this process could not renew."""
        for member in self.members:
            if not member.is_held():
                self.members.drop(member, why="lease lost")
        if not self.members:
            raise _NothingLeft

    def _look(self) -> None:
        """Drop the jobs that are not ours or not wanted any more; stop where none is left."""
        self._check_leases()
        if draining.is_set():
            raise _Draining
        self.looked_at = time.monotonic()
        ids = [member.job.id for member in self.members]
        rows = {
            row[0]: row
            for row in Job.objects.filter(id__in=ids).values_list(
                "lease_token", "cancel_requested_at", "node__duty", "node__health"
            )
        }
        duties: set[str | None] = set()
        unwanted = []
        for member in self.members:
            row = rows.get(member.lease.token)
            if row is None:
                self.members.drop(member, why="lease lost")
                continue
            _, cancel_requested_at, duty, self.node_health = row
            duties.add(duty)
            if cancel_requested_at is not None:
                unwanted.append(member)
        self._cancel(unwanted)
        if not self.members:
            raise _NothingLeft
        if duties & {NodeDuty.DISABLED, NodeDuty.RETIRED, None}:
            raise Failure(
                "node_failed", "the node was disabled", prompt_may_live=True, kind=FailureKind.NONE
            )

    def _cancel(self, unwanted: list[Member]) -> None:
        """End jobs whose owner wants no more of them; the node goes on only for others."""
        if unwanted and len(unwanted) == len(self.members) and not self._others_want_it():
            prompt_stop(self.client, self.prompt_id, is_over=self._is_over)
        for member in unwanted:
            job_cancel_confirmed(member.lease)
            self.members.drop(member, why="job cancelled")

    def _others_want_it(self) -> bool:
        return prompt_is_wanted(self.prompt_id, besides=[job.id for job in self.members.jobs])

    def _is_over(self) -> bool:
        return not any(member.is_held() for member in self.members)

    def _failed(self, failure: Failure) -> None:
        """Give the jobs back to the queue, or end them."""
        ids = [member.job.id for member in self.members]
        held = set(Job.objects.filter(id__in=ids).values_list("lease_token", flat=True))
        for member in self.members:
            if member.lease.token not in held:
                # Whoever took the job may have cancelled its prompt: no failure of the node's.
                self.members.drop(member, why="lease lost")
        if not self.members:
            self.log.warning("lease lost", problem=failure.problem)
            return
        if failure.prompt_may_live and not self._others_want_it():
            prompt_supersede(self.client, self.prompt_id)
        if failure.kind is FailureKind.MEMORY:
            memory_free(self.client)
        self._note(failure)
        for member in self.members:
            self._end(member, failure)

    def _note(self, failure: Failure) -> None:
        """Log a failure, and hold it against the node where it was the node's."""
        self.log.warning("attempt failed", code=failure.code, problem=failure.problem)
        if failure.kind is FailureKind.BLANK:
            node_made_blank(self.node.pk)
        if failure.kind is FailureKind.REFUSED:
            node_quarantine(self.node.pk, problem=failure.problem)
        if failure.avoids_node and failure.kind is FailureKind.INFRASTRUCTURE:
            node_failed(self.node.pk, problem=failure.problem)

    def _end(self, member: Member, failure: Failure) -> None:
        member.end(failure, node_id=self.node.pk)
        self.members.drop(member, why="attempt ended")


class _NothingLeft(Exception):
    """Every job has ended or is somebody else's: end without effects."""


class _Dropped(Exception):
    """The job that is being saved is not ours or not wanted any more."""


class _Draining(Exception):
    """This process stops; the jobs are to be adopted by another."""
