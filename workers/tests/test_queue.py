"""`manage.py queue`: for people, for programs, and with nothing there."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from generation.models import Job, Node
from generation.overview import overview
from generation.states import JobState
from generation.tests.stages import bring, expire
from usage.models import User
from workers.broker import BrokerLook
from workers.management.commands.queue import Command, page

Submit = Callable[..., list[Job]]
WELL = BrokerLook("", {"generation": 3, "maintenance": 0}, ["worker@llamasketch"])


@pytest.fixture
def without_redis(settings: Settings) -> None:
    """A Redis that is away."""
    settings.REDIS_URL = "redis://127.0.0.1:9/0"


def test_an_empty_database_without_redis_is_said_plainly(db: None, without_redis: None) -> None:
    out = io.StringIO()

    call_command("queue", stdout=out)

    assert "0 wait; 0 on nodes; 0 of 0 nodes take jobs" in out.getvalue()
    assert "Redis does not answer" in out.getvalue()


def test_json_is_one_object(owner: User, node: Node, submit: Submit, without_redis: None) -> None:
    submit(owner)
    out = io.StringIO()

    call_command("queue", "--json", stdout=out)

    seen = json.loads(out.getvalue())
    assert (seen["waiting"], seen["users"][0]["email"]) == (1, "owner@example.com")
    assert seen["celery"]["workers"] is None


def test_nobody_who_answers_is_said_plainly(db: None) -> None:
    text = page(overview(), BrokerLook("", {"generation": 0, "maintenance": 0}, []))

    assert "nobody answered" in text


def test_a_page_has_people_nodes_and_leases_but_no_prompt_sketch_or_address(
    owner: User, node: Node, submit: Submit
) -> None:
    running, waiting = submit(owner, count=2, prompt="a confidential house")
    expire(bring(running, node, JobState.RUNNING))

    text = page(overview(), WELL)

    for part in (str(running.id), str(waiting.id), "owner@example.com", "one", "ran out 1 min"):
        assert part in text
    assert "generation 3, maintenance 0" in text
    assert "worker@llamasketch" in text
    for secret in ("confidential", waiting.sketch, node.url):
        assert secret not in text


def test_what_a_node_says_does_nothing_to_the_terminal(node: Node) -> None:
    Node.objects.update(problem="\x1b[2Jgone")

    assert "\x1b" not in page(overview(), WELL)


def test_watching_prints_again_until_ctrl_c(db: None, without_redis: None) -> None:
    pauses: list[float] = []

    class Watched(Command):
        @staticmethod
        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                raise KeyboardInterrupt

    out = io.StringIO()

    call_command(Watched(), "--watch", "5", stdout=out)

    assert pauses == [5.0, 5.0, 5.0]
    assert out.getvalue().count("nodes take jobs") == 3


@pytest.mark.parametrize("arguments", [("--watch", "0"), ("--watch", "x"), ("--watch", "--json")])
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        call_command("queue", *arguments)
