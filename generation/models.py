"""The rows: nodes, batches of jobs, their images and their events."""

from __future__ import annotations

import uuid

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from generation.params import MODES, VARIATIONS_PER_SEED, JobParams
from generation.states import ACTIVE, ON_NODE, JobState, Lane
from usage.models import User


class NodeHealth(models.TextChoices):
    """What is known of a node. Only a healthy one gets jobs."""

    UNKNOWN = "unknown", "not asked yet"
    PROVING = "proving", "makes its canary image"
    HEALTHY = "healthy", "made a good image and answers"
    UNREACHABLE = "unreachable", "does not answer"
    STUCK = "stuck", "answers, but its prompts do not move"
    QUARANTINED = "quarantined", "made bad images, or lacks something"


class NodeDuty(models.TextChoices):
    """What the operator wants of a node."""

    ACTIVE = "active", "takes jobs"
    DRAINING = "draining", "finishes what it has and takes nothing new"
    DISABLED = "disabled", "gives back what it has"
    RETIRED = "retired", "its address has gone from PENCIL_COMFYUI_URL"


def _no_abilities() -> dict[str, list[str]]:
    return {"classes": [], "models": []}


def _all_modes() -> list[str]:
    return list(MODES)


class Node(models.Model):
    """A GPU host that runs ComfyUI."""

    name = models.CharField(max_length=80, unique=True)
    url = models.URLField(
        "address", unique=True, help_text="Of its ComfyUI, such as http://127.0.0.1:18188"
    )
    depth = models.PositiveSmallIntegerField(
        default=2,
        validators=[MinValueValidator(1)],
        help_text="Prompts it may hold: one that runs and one that waits for it.",
    )
    duty = models.CharField(max_length=10, choices=NodeDuty.choices, default=NodeDuty.ACTIVE)
    is_from_environment = models.BooleanField(
        "from PENCIL_COMFYUI_URL", default=False, editable=False
    )
    health = models.CharField(
        max_length=12, choices=NodeHealth.choices, default=NodeHealth.UNKNOWN, editable=False
    )
    workflows = models.JSONField(
        default=_all_modes,
        editable=False,
        help_text="The kinds of image that it has all models and node classes for.",
    )
    abilities = models.JSONField(
        default=_no_abilities,
        editable=False,
        help_text="Its models and node classes, as it named them.",
    )
    images_per_prompt = models.PositiveSmallIntegerField(
        default=VARIATIONS_PER_SEED,
        validators=[MinValueValidator(1), MaxValueValidator(VARIATIONS_PER_SEED)],
        help_text="Variations that it may make at once.",
    )
    memory_mb = models.PositiveIntegerField(
        "GPU memory (MB)", null=True, editable=False, help_text="Of its largest card."
    )
    blank_images = models.PositiveSmallIntegerField(
        "blank images in a row", default=0, editable=False
    )
    failures = models.PositiveSmallIntegerField("failures in a row", default=0, editable=False)
    canary_due_at = models.DateTimeField(null=True, editable=False)
    version = models.CharField("ComfyUI", max_length=40, blank=True, editable=False)
    gpu = models.CharField("GPU", max_length=120, blank=True, editable=False)
    problem = models.CharField(max_length=300, blank=True, editable=False)
    probed_at = models.DateTimeField(null=True, editable=False)

    def __str__(self) -> str:
        return self.name


class Share(models.Model):
    """How much GPU time a user has had, and whether they want more: what fairness goes by.

    `virtual_s` is GPU seconds divided by the weight of the user's plan. Who has the least goes
    next. The flags may be set a moment too long, never too short.
    """

    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True)
    virtual_s = models.FloatField(default=0.0)
    waits_live = models.BooleanField(default=False)
    waits_batch = models.BooleanField(default=False)

    class Meta:
        indexes = [
            models.Index(
                fields=["virtual_s", "user"], condition=Q(waits_live=True), name="share_live"
            ),
            models.Index(
                fields=["virtual_s", "user"], condition=Q(waits_batch=True), name="share_batch"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.virtual_s:.1f} s"


class FairClock(models.Model):
    """The virtual time of the latest claim, in one row: where somebody who was idle joins."""

    virtual_s = models.FloatField(default=0.0)

    def __str__(self) -> str:
        return f"{self.virtual_s:.1f} s"


class Pace(models.Model):
    """How long a kind of job takes on the nodes there are: a moving mean."""

    kind = models.CharField(max_length=60, primary_key=True)
    mean_s = models.FloatField()
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.kind}: {self.mean_s:.2f} s"


class Batch(models.Model):
    """The jobs of one accepted request."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="batches")
    size = models.PositiveSmallIntegerField(default=1, help_text="How many jobs it has.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name_plural = "batches"

    def __str__(self) -> str:
        return str(self.id)


class BatchPicture(models.Model):
    """A picture in storage, beside the sketch, that a batch's jobs are made from."""

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="pictures")
    name = models.CharField(max_length=200, db_index=True, help_text="Its name in storage.")

    def __str__(self) -> str:
        return self.name


class Job(models.Model):
    """One image to be made.

    Only `transitions.py` writes `state`, `attempt` and the lease. `attempt` counts claims; the
    prompt of each attempt has a name of its own on the node. Variations that were claimed together
    share a prompt, and each is the output `prompt_index` of it; in all else they go their own ways.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="jobs")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="jobs")
    index = models.PositiveSmallIntegerField(help_text="Place within the batch, from 0.")
    lane = models.PositiveSmallIntegerField(
        choices=[(lane.value, lane.name.lower()) for lane in Lane]
    )
    params = models.JSONField(help_text="See `JobParams`.")
    workflow = models.CharField(max_length=24, help_text="What a node must be able to make.")
    charged_virtual_s = models.FloatField(
        default=0.0, editable=False, help_text="What its claim added to the owner's share."
    )
    sketch = models.CharField(max_length=200, help_text="The sketch's name in storage.")

    state = models.CharField(
        max_length=10,
        choices=[(state.value, state.value) for state in JobState],
        default=JobState.QUEUED,
    )
    attempt = models.PositiveIntegerField(default=0)
    node = models.ForeignKey(
        Node, on_delete=models.SET_NULL, null=True, blank=True, related_name="jobs"
    )
    prompt_id = models.UUIDField(null=True, db_index=True, editable=False)
    prompt_index = models.PositiveSmallIntegerField(default=0, editable=False)
    lease_token = models.UUIDField(null=True, editable=False)
    lease_expires_at = models.DateTimeField(null=True, editable=False)
    not_before = models.DateTimeField(null=True, editable=False)
    avoid_node = models.ForeignKey(
        Node, on_delete=models.SET_NULL, null=True, blank=True, related_name="+", editable=False
    )
    infrastructure_failures = models.PositiveSmallIntegerField(default=0)
    memory_failures = models.PositiveSmallIntegerField(default=0)
    blank_failures = models.PositiveSmallIntegerField(default=0)
    refused_failures = models.PositiveSmallIntegerField(default=0)
    cancel_requested_at = models.DateTimeField(null=True, editable=False)
    error_code = models.CharField(max_length=40, blank=True)
    error_message = models.CharField(max_length=400, blank=True)

    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, editable=False, help_text="When the node began.")
    finished_at = models.DateTimeField(null=True, editable=False)
    execution_s = models.FloatField("seconds on the node", null=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["batch", "index"], name="job_batch_index"),
            models.CheckConstraint(
                condition=Q(state__in=[state.value for state in JobState]), name="job_state_known"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=sorted(ON_NODE))
                | Q(lease_token__isnull=False, attempt__gte=1),
                name="job_on_node_has_lease",
            ),
            models.CheckConstraint(
                condition=Q(state__in=sorted(ACTIVE)) | Q(finished_at__isnull=False),
                name="job_terminal_has_end",
            ),
        ]
        indexes = [
            models.Index(
                fields=["user", "lane", "created_at", "id"],
                condition=Q(state="queued"),
                name="job_queue",
            ),
            models.Index(fields=["created_at"], condition=Q(state="queued"), name="job_queue_age"),
            models.Index(
                fields=["node", "state"], condition=Q(state__in=sorted(ON_NODE)), name="job_on_node"
            ),
            models.Index(
                fields=["lease_expires_at"],
                condition=Q(state__in=sorted(ON_NODE)),
                name="job_lease",
            ),
            models.Index(fields=["user", "-created_at", "-id"], name="job_history"),
            models.Index(
                fields=["user", "state"],
                condition=Q(state__in=sorted(ACTIVE)),
                name="job_user_active",
            ),
            models.Index(fields=["sketch"], name="job_sketch"),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def has_failed(self) -> bool:
        """Whether an attempt at it failed in a way that counts."""
        return any(
            (
                self.infrastructure_failures,
                self.memory_failures,
                self.blank_failures,
                self.refused_failures,
            )
        )

    @property
    def parameters(self) -> JobParams:
        """The parameters, parsed."""
        return JobParams.from_json(self.params)


class GeneratedImage(models.Model):
    """An image that a job made; its bytes lie in storage under `file` and `thumbnail`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="images")
    index = models.PositiveSmallIntegerField()
    file = models.CharField(max_length=200)
    thumbnail = models.CharField(max_length=200)
    content_type = models.CharField(max_length=40)
    width = models.PositiveIntegerField("width (px)")
    height = models.PositiveIntegerField("height (px)")
    size_bytes = models.PositiveIntegerField()
    method = models.CharField(max_length=80, blank=True, help_text="How it was enlarged.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "index"], name="image_job_index")]

    def __str__(self) -> str:
        return f"{self.job_id}/{self.index}"


class EventStream(models.Model):
    """The last `seq` given to a user; its row is the lock under which events are numbered."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True)
    last_seq = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.user_id}: {self.last_seq}"


class Event(models.Model):
    """Something that happened to a user's job, numbered without gaps for that user."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveBigIntegerField()
    type = models.CharField(max_length=32)
    job_id = models.UUIDField()
    payload = models.JSONField(help_text="See `EventPayload`.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "seq"], name="event_user_seq")]
        indexes = [models.Index(fields=["created_at"], name="event_age")]

    def __str__(self) -> str:
        return f"{self.user_id}/{self.seq} {self.type}"


class IdempotencyKey(models.Model):
    """A caller's name for a request, with the digest of its body and the answer it got."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    body_digest = models.CharField(max_length=64)
    answer = models.JSONField(null=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="idempotency_user_key")]
        indexes = [models.Index(fields=["created_at"], name="idempotency_age")]

    def __str__(self) -> str:
        return self.key
