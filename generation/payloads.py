"""A job as JSON values, the same over HTTP and the event socket."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypedDict

from generation.models import GeneratedImage, Job
from generation.previews import Progress
from generation.states import JobState, Lane


class ImagePayload(TypedDict):
    """An image's addresses and its size in pixels; `method` says how it was enlarged, if it was."""

    id: str
    url: str
    thumbnail_url: str
    width: int
    height: int
    method: str


class ParamsPayload(TypedDict):
    """What was asked for; sizes in pixels, `references` beside the sketch."""

    prompt: str
    negative_prompt: str
    mode: str
    model: str
    variation: int
    references: int
    anchored: bool
    denoise: float
    steps: int
    width: int
    height: int


class ProgressPayload(TypedDict):
    """Steps done, of how many."""

    step: int
    steps: int


class ErrorPayload(TypedDict):
    """What happened, as a stable code and a sentence."""

    code: str
    message: str


class JobPayload(TypedDict):
    """Everything that its owner sees of a job; times are ISO 8601, `position` 1 is next."""

    id: str
    batch_id: str
    state: str
    lane: Literal["live", "batch"]
    position: int | None
    eta_s: float | None
    progress: ProgressPayload | None
    preview_url: str | None
    seed: int
    params: ParamsPayload
    sketch_url: str
    images: list[ImagePayload]
    error: ErrorPayload | None
    charged: bool
    cancel_requested: bool
    created_at: str
    started_at: str | None
    finished_at: str | None


class EventPayload(TypedDict):
    """Something that happened to a job; `type` is `job.` and a state, or another fact."""

    type: str
    job: JobPayload


def job_payload(
    job: Job,
    images: Iterable[GeneratedImage] = (),
    *,
    progress: Progress | None = None,
    position: int | None = None,
    eta_s: float | None = None,
) -> JobPayload:
    """Turn a job, with what is known about it right now, into JSON values."""
    params = job.parameters
    return {
        "id": str(job.id),
        "batch_id": str(job.batch_id),
        "state": job.state,
        "lane": "live" if job.lane == Lane.LIVE else "batch",
        "position": position,
        "eta_s": eta_s,
        "progress": {"step": progress.step, "steps": progress.steps} if progress else None,
        "preview_url": preview_url(job, progress),
        "seed": params.seed,
        "params": {
            "prompt": params.prompt,
            "negative_prompt": params.negative_prompt,
            "mode": params.mode,
            "model": params.model,
            "variation": params.variation,
            "references": len(params.references),
            "anchored": bool(params.anchor_image),
            "denoise": params.denoise,
            "steps": params.steps,
            "width": params.width,
            "height": params.height,
        },
        "sketch_url": f"/api/jobs/{job.id}/sketch",
        "images": [image_payload(image) for image in images],
        "error": (
            {"code": job.error_code, "message": job.error_message} if job.error_code else None
        ),
        "charged": job.state == JobState.SUCCEEDED,
        "cancel_requested": job.cancel_requested_at is not None,
        "created_at": job.created_at.isoformat(),
        "started_at": job.started_at.isoformat() if job.started_at else None,
        "finished_at": job.finished_at.isoformat() if job.finished_at else None,
    }


def image_payload(image: GeneratedImage) -> ImagePayload:
    """Turn an image into its addresses and size."""
    return {
        "id": str(image.id),
        "url": f"/api/images/{image.id}",
        "thumbnail_url": f"/api/images/{image.id}/thumbnail",
        "width": image.width,
        "height": image.height,
        "method": image.method,
    }


def preview_url(job: Job, progress: Progress | None) -> str | None:
    """Where a job's newest preview is; the number makes each address new to the browser."""
    if progress is None or progress.preview == 0:
        return None
    return f"/api/jobs/{job.id}/preview?n={progress.preview}"
