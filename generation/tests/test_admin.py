"""The admin's pages of jobs, images, nodes, people and quota, as a superuser sees them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from generation.models import Job, Node
from generation.states import JobState
from usage.models import User


@pytest.fixture
def admin_client(db: None) -> Client:
    """A superuser's browser."""
    client = Client()
    client.force_login(User.objects.create_superuser("admin@example.com", "a long passphrase"))
    return client


@pytest.mark.parametrize(
    "page",
    [
        "",
        "generation/job/",
        "generation/node/",
        "generation/node/add/",
        "generation/generatedimage/",
        "usage/user/",
        "usage/quotaday/",
        "usage/ledgerentry/",
    ],
)
def test_every_list_opens(
    admin_client: Client,
    owner: User,
    node: Node,
    submit: Callable[..., list[Job]],
    page: str,
) -> None:
    submit(owner)

    assert admin_client.get(f"/admin/{page}").status_code == 200


def test_a_job_shows_neither_prompt_nor_sketch(
    admin_client: Client, owner: User, submit: Callable[..., list[Job]]
) -> None:
    (job,) = submit(owner, prompt="nobody else reads this")

    page = admin_client.get(f"/admin/generation/job/{job.id}/change/")

    assert page.status_code == 200
    assert "nobody else reads this" not in page.content.decode()
    assert job.sketch not in page.content.decode()


def test_an_administrator_cancels_uncharged(
    admin_client: Client, owner: User, submit: Callable[..., list[Job]]
) -> None:
    (job,) = submit(owner)

    admin_client.post(
        "/admin/generation/job/", {"action": "cancel", "_selected_action": [str(job.id)]}
    )

    job.refresh_from_db()
    assert job.state == JobState.CANCELLED


def test_nobody_else_sees_the_admin(owner: User) -> None:
    client = Client()
    client.force_login(owner)

    assert client.get("/admin/generation/job/").status_code == 302
