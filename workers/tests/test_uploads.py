"""Uploads: what a node has is not sent again, and nothing else is ever taken for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import workers.sending as sending_module
from conftest import sketch_png
from generation.models import Job
from generation.states import JobState
from generation.storage import sketch_keep, sketch_name
from usage.models import User
from workers.comfy.client import ComfyClient, UploadedImage
from workers.comfy.errors import BadReply
from workers.tests.conftest import Simulator, node_for
from workers.tests.test_attempt import run_to_the_end
from workers.uploads import picture_upload, uploads_forget

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
