"""An attempt: one try at making a job's image on one node, from the claim to a verdict kept.

Whatever ends an attempt ends in one transition: succeeded, cancelled, back to the queue, or
failed. If the process dies instead, the lease runs out and another worker takes up the same
attempt where the node's record of its prompt says it is.
"""

from __future__ import annotations

import threading
import time
from datetime import timedelta
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
from generation.scheduling import Claim
from generation.states import JobState
from generation.storage import blob_read
from generation.transitions import (
    Lease,
    job_advance,
    job_cancel_confirmed,
    job_fail,
    job_requeue,
    job_succeed,
    lease_release,
    lease_take,
)
from workers.clients import client_for
from workers.comfy.client import ComfyClient
from workers.comfy.errors import BadReply, ComfyError, NodeUnreachable, OutcomeUnknown, Refused
from workers.comfy.mailboxes import Follower
from workers.comfy.records import PromptStatus, Verdict
from workers.failures import (
    BACKOFF,
    MESSAGES,
    NOT_COMFYUI,
    Failure,
    FailureKind,
    failure_of_refusal,
    failure_of_verdict,
)
from workers.leases import HeldLease, LeaseLost, keeper
from workers.prompts import memory_free, prompt_runs, prompt_stop, prompt_supersede
from workers.reporter import Reporter
from workers.saver import image_save
from workers.workflows.paint import PaintParams, is_output_of, paint_graph, sampler_steps

log = structlog.get_logger(__name__)

POLL_S = 1.0  # one verdict a second covers a dead socket and brings a cancellation in time
UNREACHABLE_S = 8.0  # chosen: longer than a hiccup of a tunnel, shorter than patience
UNKNOWN_POLLS = 3  # a node that says this often that it knows no such prompt has lost it

UPLOADS = "llamasketch"

# Set when this process is told to stop: attempts let go of their jobs, which are adopted.
draining = threading.Event()


def attempt_run(claim: Claim) -> None:
    """Make a claimed job's image."""
    _Attempt(claim, is_adopted=False).run()


def attempt_adopt(job_id: UUID) -> bool:
    """Take up a job whose worker has died; False when there is nothing to take up."""
    lease = lease_take(job_id)
    job = Job.objects.select_related("node").filter(id=job_id).first() if lease else None
    if lease is None or job is None:
        return False
    log.info("job adopted", job_id=str(job_id), state=job.state, attempt=lease.attempt)
    if job.node is None:
        # Its node's row was deleted: nobody can be asked what became of the prompt.
        failure = Failure("node_failed", "the node is gone", FailureKind.INFRASTRUCTURE)
        _end_attempt(lease, job, failure, node_id=None)
        return True
    _Attempt(Claim(lease, job, job.node), is_adopted=True).run()
    return True


class _Attempt:
    """The state of one attempt while this process holds it."""

    def __init__(self, claim: Claim, *, is_adopted: bool) -> None:
        assert claim.job.prompt_id is not None
        self.lease = claim.lease
        self.job = claim.job
        self.node: Node = claim.node
        self.prompt_id: UUID = claim.job.prompt_id
        self.client: ComfyClient = client_for(claim.node.url)
        self.is_adopted = is_adopted
        # Events come only for prompts that this process sent over the connection that is open.
        self.hears_events = not is_adopted
        params = claim.job.parameters
        self.node_health: str = claim.node.health
        self.runs_since: float | None = None
        self.reporter = Reporter(
            claim.job, steps=sampler_steps(steps=params.steps, denoise=params.denoise)
        )
        self.log = log.bind(
            job_id=str(claim.job.id), attempt=claim.lease.attempt, node=claim.node.name
        )

    def run(self) -> None:
        """Work until the job has gone on, or until it is not ours any more."""
        with keeper.keep(self.lease) as held:
            self.held: HeldLease = held
            try:
                self._make()
            except Failure as failure:
                self._failed(failure)
            except _Cancelled:
                job_cancel_confirmed(self.lease)
                self.log.info("job cancelled")
            except _Draining:
                # What was never sent goes back to the queue; what a node has is adopted.
                is_unsent = Job.objects.filter(id=self.job.id, state=JobState.CLAIMED).exists()
                if not (is_unsent and job_requeue(self.lease, failure=FailureKind.NONE)):
                    lease_release(self.lease)
                self.log.info("job let go")
            except LeaseLost:
                self.log.warning("lease lost")
            except (DatabaseError, InterfaceError):
                # Nothing can be written now; the lease runs out and the job is adopted.
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

    def _make(self) -> None:
        with self.client.follow(self.prompt_id) as follower:
            if not self.is_adopted:
                self._submit()
            elif self.job.state == JobState.CLAIMED:
                # Its worker died before anything was sent; a job that kills workers is counted.
                raise Failure("node_failed", "worker died", FailureKind.INFRASTRUCTURE)
            verdict = self._follow(follower)
        self._save(verdict)

    def _submit(self) -> None:
        """Upload the sketch and submit the graph, once."""
        params = self.job.parameters
        try:
            sketch = blob_read(self.job.sketch)
        except FileNotFoundError as error:
            raise Failure("sketch_missing", "the sketch is not in storage") from error
        try:
            uploaded = self.client.upload_image(sketch, subfolder=self._upload_folder())
            graph = paint_graph(
                PaintParams(
                    prompt_id=self.prompt_id,
                    sketch=uploaded.reference,
                    prompt=params.prompt,
                    denoise=params.denoise,
                    steps=params.steps,
                    seed=params.seed,
                    width=params.width,
                    height=params.height,
                )
            )
            self._look()
            if job_advance(self.lease, {JobState.CLAIMED}, JobState.SUBMITTED) is None:
                raise LeaseLost
            try:
                self.client.submit(graph, prompt_id=self.prompt_id)
            except OutcomeUnknown as error:
                self.log.warning("submission's outcome unknown", problem=str(error))
                self._settle_unknown()
        except Refused as error:
            if error.reason in NOT_COMFYUI:
                node_lost(self.node.pk, problem=str(error))
            raise failure_of_refusal(error) from error
        except NodeUnreachable as error:
            node_lost(self.node.pk, problem=str(error))
            raise Failure(
                "node_failed", str(error), FailureKind.INFRASTRUCTURE, avoids_node=True
            ) from error
        except (BadReply, OutcomeUnknown) as error:
            raise Failure(
                "node_failed", str(error), FailureKind.INFRASTRUCTURE, prompt_may_live=True
            ) from error

    def _upload_folder(self) -> str:
        """Where the sketch goes on the node: for a further attempt, somewhere new.

        A server keeps what each graph node put out and takes it again for the same inputs, a
        black picture too. Another path makes it work anew.
        """
        attempt = self.lease.attempt
        return UPLOADS if attempt == 1 else f"{UPLOADS}/attempt-{attempt}"

    def _settle_unknown(self) -> None:
        """Ask whether the node has the prompt; if it has not, this attempt is over.

        Nothing is sent again under this id: the first request may still be on its way.
        """
        deadline = time.monotonic() + UNREACHABLE_S
        while True:
            self.held.check()
            try:
                if self.client.verdict(self.prompt_id).status is not PromptStatus.UNKNOWN:
                    return
            except NodeUnreachable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_S)
                continue
            raise OutcomeUnknown("The node does not know the prompt.")

    def _follow(self, follower: Follower) -> Verdict:
        """Follow the prompt until its record says that it is complete."""
        started_at = time.monotonic()
        answered_at = started_at
        unknown = 0
        while True:
            _connection_lend()
            looks_now = self.reporter.take(follower, POLL_S)
            if self.reporter.has_lost_events:
                self.hears_events = False
            if self.reporter.has_started:
                self._advance_running()
            if not looks_now:
                continue
            self._look()
            try:
                verdict = self.client.verdict(self.prompt_id)
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
                self._advance_running()
            if verdict.status in {PromptStatus.FAILED, PromptStatus.CANCELLED}:
                raise failure_of_verdict(verdict)
            if unknown >= UNKNOWN_POLLS:
                raise Failure(
                    "node_failed", "the node has lost the prompt", FailureKind.INFRASTRUCTURE
                )
            self._watch(follower, verdict, age_s=time.monotonic() - started_at)

    def _advance_running(self) -> None:
        if self.job.state == JobState.RUNNING:
            return
        job = job_advance(self.lease, {JobState.SUBMITTED}, JobState.RUNNING)
        if job is None:
            raise LeaseLost
        self.job = job

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
        """Bring the images into storage and end the job."""
        origins = {JobState.SUBMITTED, JobState.RUNNING}
        if self.job.state != JobState.SAVING:
            job = job_advance(self.lease, origins, JobState.SAVING)
            if job is None:
                raise LeaseLost
            self.job = job
        files = [f for f in verdict.files if is_output_of(self.prompt_id, subfolder=f.subfolder)]
        if not files:
            raise Failure("node_failed", "the prompt has no file", FailureKind.INFRASTRUCTURE)
        images = [
            image_save(self.client, file, self.job, index, self._look)
            for index, file in enumerate(files[:1])
        ]
        if job_succeed(self.lease, images, execution_s=verdict.execution_s) is None:
            self._look()
            raise LeaseLost
        if verdict.execution_s is not None:
            pace_note(self.job.parameters, verdict.execution_s)
        node_made_image(self.node.pk)
        self.log.info("job succeeded", execution_s=verdict.execution_s)

    def _look(self) -> None:
        """Stop where the lease is lost, this process drains, or the owner wants no more of it."""
        self.held.check()
        if draining.is_set():
            raise _Draining
        row = (
            Job.objects.filter(id=self.lease.job_id, lease_token=self.lease.token)
            .values_list("cancel_requested_at", "node__duty", "node__health")
            .first()
        )
        if row is None:
            raise LeaseLost
        cancel_requested_at, duty, self.node_health = row
        if cancel_requested_at is not None:
            prompt_stop(self.client, self.prompt_id, is_over=self._is_over)
            raise _Cancelled
        if duty in {NodeDuty.DISABLED, NodeDuty.RETIRED, None}:
            raise Failure(
                "node_failed", "the node was disabled", prompt_may_live=True, kind=FailureKind.NONE
            )

    def _is_over(self) -> bool:
        return self.held.is_lost

    def _failed(self, failure: Failure) -> None:
        """Give the job back to the queue, or end it."""
        if not Job.objects.filter(id=self.job.id, lease_token=self.lease.token).exists():
            # Whoever took the job may have cancelled its prompt: no failure of the node's.
            self.log.warning("lease lost", problem=failure.problem)
            return
        self.log.warning("attempt failed", code=failure.code, problem=failure.problem)
        if failure.prompt_may_live:
            prompt_supersede(self.client, self.prompt_id)
        if failure.kind is FailureKind.MEMORY:
            memory_free(self.client)
        if failure.kind is FailureKind.BLANK:
            node_made_blank(self.node.pk)
        if failure.kind is FailureKind.REFUSED:
            node_quarantine(self.node.pk, problem=failure.problem)
        if failure.avoids_node and failure.kind is FailureKind.INFRASTRUCTURE:
            node_failed(self.node.pk, problem=failure.problem)
        _end_attempt(self.lease, self.job, failure, node_id=self.node.pk)


def _end_attempt(lease: Lease, job: Job, failure: Failure, *, node_id: int | None) -> None:
    """Give the job back to the queue, end it, or do what its owner asked for meanwhile."""
    if failure.is_final_for(job):
        job_fail(lease, code=failure.code, message=MESSAGES[failure.code])
        return
    requeued = job_requeue(
        lease,
        failure=failure.kind or FailureKind.INFRASTRUCTURE,
        delay=BACKOFF if failure.kind is FailureKind.INFRASTRUCTURE else timedelta(0),
        avoid_node_id=node_id if failure.avoids_node else None,
    )
    if requeued is None:
        # Its owner wants it cancelled; or it is not ours any more, and this does nothing.
        job_cancel_confirmed(lease)


def _connection_lend() -> None:
    """Give the thread's database connection back while it waits: there are fewer than threads."""
    if connection.vendor == "postgresql" and not connection.in_atomic_block:
        connection.close()


class _Cancelled(Exception):
    """The owner wanted the job to stop, and the node has let go of it."""


class _Draining(Exception):
    """This process stops; the job is to be adopted by another."""
