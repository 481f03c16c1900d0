"""Uploads: what a node has is not sent again, and nothing else is ever taken for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import workers.sending as sending_module
from conftest import sketch_png
from generation.models import Job
from generation.scheduling import job_claim
from generation.states import JobState
from generation.storage import sketch_keep, sketch_name
from usage.models import User
from workers.clients import client_for
from workers.comfy.client import ComfyClient, UploadedImage
from workers.comfy.errors import BadReply, NodeUnreachable
from workers.tests.conftest import Simulator, attempt, node_for
from workers.tests.test_attempt import run_to_the_end
from workers.uploads import picture_upload, pictures_foresee, uploads_forget

pytestmark = pytest.mark.django_db(transaction=True)


class Renaming:
    """A client of a node that calls every upload alike."""

    base_url = "http://127.0.0.1:1"

    def upload_image(self, data: bytes, *, subfolder: str) -> UploadedImage:
        """Keep the last upload alone."""
        return UploadedImage("image.png", subfolder, "input")


def test_two_sketches_never_have_one_name_on_a_node() -> None:
    client: Any = Renaming()
    sketches = [(1, sketch_png("navy")), (2, sketch_png("green"))]

    for user_id, sketch in sketches:
        name = sketch_name(user_id, sketch)
        sketch_keep(name, sketch)
        with pytest.raises(BadReply):
            picture_upload(client, name, attempt=1)


def test_a_node_that_has_lost_its_uploads_gets_them_again_whoever_noticed_first(
    owner: User,
    submit: Callable[..., list[Job]],
    faulty: Callable[..., Simulator],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulator = faulty()
    node_for(simulator)
    (job,) = submit(owner)
    send = ComfyClient.upload_image
    sent: list[str] = []

    def lost_at_first(client: ComfyClient, data: bytes, **options: Any) -> UploadedImage:
        uploaded = send(client, data, **options)
        sent.append(uploaded.name)
        gone = UploadedImage(f"{uploaded.name}.gone", uploaded.subfolder, uploaded.type)
        return gone if len(sent) == 1 else uploaded

    def forgotten_already(client: ComfyClient) -> None:
        uploads_forget(client)  # by the attempt beside this one
        uploads_forget(client)

    monkeypatch.setattr(ComfyClient, "upload_image", lost_at_first)
    monkeypatch.setattr(sending_module, "uploads_forget", forgotten_already)

    run_to_the_end(job)

    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)
    assert len(sent) == 2


def test_a_picture_that_is_foreseen_is_sent_once(
    owner: User, submit: Callable[..., list[Job]], faulty: Callable[..., Simulator]
) -> None:
    simulator = faulty()
    node = node_for(simulator)
    (job,) = submit(owner)

    claim = job_claim(pictures_foresee)

    assert claim is not None
    assert claim.node == node
    attempt(claim)
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED
    assert simulator.state()["uploads"] == 1


def test_threads_that_need_a_picture_at_once_send_it_once(
    owner: User, submit: Callable[..., list[Job]], faulty: Callable[..., Simulator]
) -> None:
    simulator = faulty()
    (job,) = submit(owner)
    client = client_for(simulator.url)
    together = threading.Barrier(8)

    def upload() -> str:
        together.wait(10)
        return picture_upload(client, job.sketch, attempt=1)

    with ThreadPoolExecutor(8) as pool:
        names = {future.result() for future in [pool.submit(upload) for _ in range(8)]}

    assert len(names) == 1
    assert simulator.state()["uploads"] == 1


def test_what_failed_when_it_was_foreseen_is_sent_when_it_is_needed(
    owner: User,
    submit: Callable[..., list[Job]],
    faulty: Callable[..., Simulator],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulator = faulty()
    node_for(simulator)
    (job,) = submit(owner)
    send, tried = ComfyClient.upload_image, threading.Event()

    def fail_at_first(client: ComfyClient, data: bytes, **options: Any) -> UploadedImage:
        if not tried.is_set():
            tried.set()
            raise NodeUnreachable("The node is away for a moment.")
        return send(client, data, **options)

    monkeypatch.setattr(ComfyClient, "upload_image", fail_at_first)
    claim = job_claim(pictures_foresee)
    assert claim is not None
    assert tried.wait(10)

    attempt(claim)

    job.refresh_from_db()
    assert (job.state, job.infrastructure_failures) == (JobState.SUCCEEDED, 0)
