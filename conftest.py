"""What tests of all packages share: people, drawings, and requests."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from PIL import Image, ImageDraw
from rest_framework.test import APIClient

from generation.models import Job, Node, NodeHealth
from generation.params import JobParams
from generation.places import queue_shape_forget
from generation.services import job_submit
from generation.states import Lane
from generation.submissions import Submission
from usage.count_writer import counts_drain
from usage.models import User

_DATABASE_FIXTURES = {"db", "transactional_db", "live_server"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test that uses a database all of them, as a request has.

    pytest-django's own default is the first one alone, and a test would have to know that its
    request counts the caller in another.
    """
    for item in items:
        marker = item.get_closest_marker("django_db")
        if marker or _DATABASE_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            asked = {"databases": "__all__", **(marker.kwargs if marker else {})}
            args = marker.args if marker else ()
            item.add_marker(pytest.mark.django_db(*args, **asked), append=False)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown() -> None:
    """Let no count of one test be written in the next, or after the database has gone."""
    counts_drain()


@pytest.fixture(autouse=True)
def _postgres_only(request: pytest.FixtureRequest) -> None:
    """Leave tests that need two real connections to the run on PostgreSQL."""
    if request.node.get_closest_marker("postgres") and connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL: runs there")


@pytest.fixture(autouse=True)
def _fresh_memory() -> None:
    """Forget what the process remembers of the test before: rows that are gone."""
    queue_shape_forget()
    cache.clear()


@pytest.fixture
def owner(db: None) -> User:
    """Somebody who draws."""
    return User.objects.create_user("owner@example.com", "a long enough passphrase")


@pytest.fixture
def stranger(db: None) -> User:
    """Somebody else."""
    return User.objects.create_user("stranger@example.com", "another long passphrase")


@pytest.fixture
def node(db: None) -> Node:
    """A node that answers and may hold two prompts, of one image each."""
    return Node.objects.create(
        name="one", url="http://127.0.0.1:1", health=NodeHealth.HEALTHY, images_per_prompt=1
    )


@pytest.fixture
def api(owner: User) -> APIClient:
    """The owner's requests."""
    return api_for(owner)


def api_for(user: User) -> APIClient:
    """A user's requests."""
    client = APIClient()
    client.force_authenticate(user)
    return client


def sketch_png(color: str = "red", size: tuple[int, int] = (512, 512)) -> bytes:
    """A filled circle of one colour on white paper, as a PNG."""
    image = Image.new("RGB", size, "white")
    width, height = size
    box = (width // 4, height // 4, width * 3 // 4, height * 3 // 4)
    ImageDraw.Draw(image).ellipse(box, fill=color, outline="black", width=6)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def sketch_base64(color: str = "red") -> str:
    """`sketch_png` as it travels in a request."""
    return base64.b64encode(sketch_png(color)).decode()


def params(**changes: Any) -> JobParams:
    """Parameters that differ from ordinary ones in what is given."""
    ordinary: dict[str, Any] = {
        "prompt": "a house",
        "mode": "paint",
        "denoise": 0.75,
        "steps": 4,
        "seed": 7,
        "width": 512,
        "height": 512,
    }
    return JobParams(**{**ordinary, **changes})


@pytest.fixture
def submit() -> Callable[..., list[Job]]:
    """Submit for a user and return the jobs, in order."""

    def _submit(
        user: User, *, count: int = 1, lane: Lane = Lane.BATCH, sketch: bytes = b"", **changes: Any
    ) -> list[Job]:
        answer = job_submit(
            user, Submission(sketch or sketch_png(), params(**changes), count, lane)
        )
        return list(Job.objects.filter(batch_id=answer["batch_id"]).order_by("index"))

    return _submit
