"""Every kind of image, from the request to the file, with the node pack and without it."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest
from PIL import Image, ImageChops, ImageDraw

from conftest import api_for, sketch_png
from generation.models import Job
from generation.params import Mode, Model
from generation.states import JobState
from generation.storage import blob_read
from usage.models import User
from workers.canary import abilities_ask
from workers.clients import client_for
from workers.tests.conftest import Simulator, node_for
from workers.tests.test_attempt import run_to_the_end
from workers.workflows.abilities import ability_key
from workers.workflows.order import Model as OrderModel
from workers.workflows.order import Workflow

pytestmark = pytest.mark.django_db(transaction=True)

SIDE = 256


@pytest.fixture(scope="module", params=["stock", "pack"])
def simulator(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """A simulator as ComfyUI comes, and one with the node pack."""
    options = ["--pack"] if request.param == "pack" else []
    started = Simulator("--step-seconds", "0.01", *options)
    yield started
    started.stop()


def encoded(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def made(user: User, **fields: Any) -> Job:
    """The job of a request, run to its end."""
    sketch = base64.b64encode(sketch_png("green", (SIDE, SIDE))).decode()
    body = {"sketch": sketch, "prompt": "a pear", "seed": 3, **fields}
    if body.get("mode") not in {"hd", "upscale"}:
        body |= {"width": SIDE, "height": SIDE}
    response = api_for(user).post("/api/generate", body, format="json")
    assert response.status_code == 202, response.json()
    job = run_to_the_end(Job.objects.get(id=response.json()["jobs"][0]["id"]))
    assert job.state == JobState.SUCCEEDED, job.error_message
    return job


def picture(job: Job) -> Image.Image:
    return Image.open(io.BytesIO(blob_read(job.images.get().file)))


def test_a_workflow_has_the_same_name_here_as_in_the_queue(
    submit: Callable[..., list[Job]], owner: User
) -> None:
    for mode in get_args(Mode):
        for model in get_args(Model):
            for anchor in ("", "a") if mode in {"paint", "follow"} else ("",):
                (job,) = submit(owner, mode=mode, model=model)
                params = job.parameters.__class__(
                    **{**job.parameters.as_json(), "anchor_image": anchor, "anchor_mask": anchor}
                )
                key = ability_key(Workflow(mode), OrderModel(model), is_anchored=bool(anchor))
                assert params.workflow == key


def test_a_whole_node_offers_everything(simulator: Simulator) -> None:
    offers = abilities_ask(client_for(simulator.url)).offers()

    assert {"paint", "paint-base", "follow", "follow-base", "hd", "upscale"} <= set(offers)
    assert {"paint-anchor", "follow-base-anchor", "hd-base"} <= set(offers)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="paint"),
        pytest.param({"model": "base", "negative_prompt": "rain", "steps": 6}, id="base"),
        pytest.param({"mode": "follow"}, id="follow"),
        pytest.param({"mode": "follow", "model": "base", "steps": 6}, id="follow base"),
        pytest.param(
            {"mode": "follow", "references": [encoded(Image.new("RGB", (64, 64), "blue"))]},
            id="references",
        ),
        pytest.param({"denoise": 0.0}, id="nothing painted"),
        pytest.param({"variation": 3}, id="a variation alone"),
    ],
)
def test_it_is_made(owner: User, simulator: Simulator, fields: dict[str, Any]) -> None:
    node_for(simulator)

    job = made(owner, **fields)

    assert picture(job).size == (SIDE, SIDE)


@pytest.mark.parametrize(("mode", "method"), [("hd", "lanczos"), ("upscale", "")])
def test_a_finished_image_is_enlarged_and_says_how(
    owner: User, simulator: Simulator, mode: str, method: str
) -> None:
    node_for(simulator)
    first = made(owner)

    larger = made(owner, mode=mode, sketch=f"image:{first.images.get().id}")

    assert picture(larger).size == (SIDE * 2, SIDE * 2)
    assert larger.images.get().method.startswith(method)
    assert larger.images.get().method


@pytest.mark.parametrize(
    "fields", [{"denoise": 0.0}, {"mode": "upscale"}], ids=["paint", "upscale"]
)
def test_an_empty_paper_may_come_back_and_no_machine_is_blamed(
    owner: User, simulator: Simulator, fields: dict[str, Any]
) -> None:
    node = node_for(simulator)
    paper = encoded(Image.new("RGB", (SIDE, SIDE), "white"))

    job = made(owner, sketch=paper, **fields)

    node.refresh_from_db()
    assert (job.blank_failures, node.blank_images, node.health) == (0, 0, "healthy")


def test_what_is_anchored_stays_to_the_pixel(owner: User, simulator: Simulator) -> None:
    node_for(simulator)
    kept = Image.new("RGB", (SIDE, SIDE), "white")
    for x in range(0, SIDE, 8):  # something that no compression would leave alone
        ImageDraw.Draw(kept).line((x, 0, SIDE - x, SIDE), fill=(x, 255 - x, 40))
    mask = Image.new("RGB", (SIDE, SIDE), "black")
    box = (32, 48, 160, 144)
    mask.paste("white", box)

    job = made(owner, anchor={"image": encoded(kept), "mask": encoded(mask)}, denoise=1.0)

    image = picture(job).convert("RGB")
    assert ImageChops.difference(image.crop(box), kept.crop(box)).getbbox() is None
    outside = ImageChops.difference(image.crop((180, 0, 256, 256)), kept.crop((180, 0, 256, 256)))
    assert outside.getbbox() is not None
