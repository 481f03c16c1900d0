"""The event socket: a snapshot, then every event once and in order, and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
import redis
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from django.test import Client
from knox.models import AuthToken

from generation.events import progress_publish
from generation.models import Event, EventStream, Job, Node
from generation.previews import Progress
from generation.publisher import user_group
from generation.routing import websocket_application
from generation.services import jobs_cancel
from generation.states import JobState
from generation.tests.stages import bring
from usage.models import User

pytestmark = [pytest.mark.asyncio, pytest.mark.django_db(transaction=True)]

Submit = Callable[..., list[Job]]
ORIGIN = (b"origin", b"http://localhost")
PATIENCE_S = 10.0


@pytest.fixture(autouse=True)
def _redis(valkey: redis.Redis) -> None:
    """Nothing of an earlier test is on its way."""


@pytest.fixture
def owner(transactional_db: None) -> User:
    """Somebody who draws, visible to every connection."""
    return User.objects.create_user("owner@example.com")


@pytest.fixture
def stranger(transactional_db: None) -> User:
    """Somebody else, visible to every connection."""
    return User.objects.create_user("stranger@example.com")


@asynccontextmanager
async def socket(
    user: User | None = None,
    *,
    since: str | None = None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> AsyncIterator[WebsocketCommunicator]:
    """An open socket; a user is signed in by a session cookie."""
    all_headers = [ORIGIN, *headers]
    if user is not None:
        all_headers.append((b"cookie", await _session_cookie(user)))
    path = "/ws/events/" + ("" if since is None else f"?since={since}")
    communicator = WebsocketCommunicator(websocket_application, path, headers=all_headers)
    is_open, _ = await communicator.connect(timeout=PATIENCE_S)
    assert is_open
    try:
        yield communicator
    finally:
        await communicator.disconnect()
        await (_layer()).flush()


@database_sync_to_async  # type: ignore[untyped-decorator]  # channels has no types
def _session_cookie(user: User) -> bytes:
    client = Client()
    client.force_login(user)
    return f"sessionid={client.cookies['sessionid'].value}".encode()


def _layer() -> Any:
    return get_channel_layer()


async def received(communicator: WebsocketCommunicator) -> dict[str, Any]:
    """The next message of any kind."""
    message: dict[str, Any] = await communicator.receive_json_from(timeout=PATIENCE_S)
    return message


async def received_of(communicator: WebsocketCommunicator, type_: str) -> dict[str, Any]:
    """The next message of one kind; others are passed over."""
    while True:
        message = await received(communicator)
        if message["type"] == type_:
            return message


async def event_seqs(communicator: WebsocketCommunicator, count: int) -> list[int]:
    """The numbers of the next events."""
    return [(await received_of(communicator, "event"))["seq"] for _ in range(count)]


async def closed_with(communicator: WebsocketCommunicator) -> int:
    """The code that the server closes with."""
    message = await communicator.receive_output(timeout=PATIENCE_S)
    assert message["type"] == "websocket.close"
    code: int = message["code"]
    return code


async def unpublished_events(user: User, count: int) -> list[dict[str, Any]]:
    """Rows of events whose messages have not been sent, as those messages."""

    @database_sync_to_async  # type: ignore[untyped-decorator]  # channels has no types
    def insert() -> list[dict[str, Any]]:
        stream, _ = EventStream.objects.get_or_create(user=user)
        messages = []
        for seq in range(stream.last_seq + 1, stream.last_seq + count + 1):
            event = {"type": "job.running", "job": {"id": str(uuid4())}}
            Event.objects.create(
                user=user, seq=seq, type="job.running", job_id=uuid4(), payload=event
            )
            messages.append({"type": "job.event", "seq": seq, "event": event})
        EventStream.objects.filter(user=user).update(last_seq=stream.last_seq + count)
        return messages

    made: list[dict[str, Any]] = await insert()
    return made


async def say(user: User, *messages: dict[str, Any]) -> None:
    """Send to a user's sockets in this order."""
    for message in messages:
        await _layer().group_send(user_group(user.pk), message)


# --- The snapshot ---


async def test_the_snapshot_comes_first(owner: User, submit: Submit) -> None:
    jobs = await database_sync_to_async(submit)(owner, count=2)

    async with socket(owner) as communicator:
        message = await received(communicator)

    assert message["type"] == "snapshot"
    assert message["seq"] == 2
    assert [job["id"] for job in message["jobs"]] == [str(job.id) for job in reversed(jobs)]
    assert [job["position"] for job in message["jobs"]] == [2, 1]
    assert message["usage"]["used_today"] == 2


async def test_a_new_users_snapshot_is_empty(owner: User) -> None:
    async with socket(owner) as communicator:
        message = await received(communicator)

    assert (message["seq"], message["jobs"]) == (0, [])


async def test_without_since_nothing_is_replayed(owner: User, submit: Submit) -> None:
    await database_sync_to_async(submit)(owner, count=3)

    async with socket(owner) as communicator:
        assert (await received(communicator))["type"] == "snapshot"
        await database_sync_to_async(submit)(owner)
        assert (await received_of(communicator, "event"))["seq"] == 4


async def test_what_was_missed_is_replayed_in_order(owner: User, submit: Submit) -> None:
    await database_sync_to_async(submit)(owner, count=5)

    async with socket(owner, since="2") as communicator:
        messages = [await received(communicator) for _ in range(4)]

    assert [(message["type"], message["seq"]) for message in messages] == [
        ("snapshot", 5),
        ("event", 3),
        ("event", 4),
        ("event", 5),
    ]
    assert messages[1]["event"]["type"] == "job.queued"


@pytest.mark.parametrize("since", ["", "-1", "x", "1.5", "٣", "9" * 40, "1&since=2", "%00"])
async def test_an_odd_since_does_no_harm(owner: User, submit: Submit, since: str) -> None:
    await database_sync_to_async(submit)(owner)

    async with socket(owner, since=since) as communicator:
        assert (await received(communicator))["type"] == "snapshot"


# --- Events ---


async def test_a_jobs_way_is_told_as_it_goes(owner: User, submit: Submit) -> None:
    node = await database_sync_to_async(Node.objects.create)(name="one", url="http://127.0.0.1:1")

    async with socket(owner) as communicator:
        await received(communicator)
        (job,) = await database_sync_to_async(submit)(owner)
        await database_sync_to_async(bring)(job, node, JobState.SUCCEEDED)
        events = [await received_of(communicator, "event") for _ in range(6)]

    assert [event["seq"] for event in events] == [1, 2, 3, 4, 5, 6]
    assert [event["event"]["type"] for event in events] == [
        "job.queued",
        "job.claimed",
        "job.submitted",
        "job.running",
        "job.saving",
        "job.succeeded",
    ]
    assert len(events[-1]["event"]["job"]["images"]) == 1


async def test_events_are_sent_in_order_though_they_are_published_out_of_order(
    owner: User,
) -> None:
    async with socket(owner) as communicator:
        await received(communicator)
        first, second, third = await unpublished_events(owner, 3)

        await say(owner, third, first, second)

        assert await event_seqs(communicator, 3) == [1, 2, 3]
        (fourth,) = await unpublished_events(owner, 1)
        await say(owner, fourth)
        assert await event_seqs(communicator, 1) == [4]


async def test_a_lost_message_is_filled_in_from_the_rows(owner: User) -> None:
    async with socket(owner) as communicator:
        await received(communicator)
        messages = await unpublished_events(owner, 5)

        await say(owner, messages[0], messages[4])

        assert await event_seqs(communicator, 5) == [1, 2, 3, 4, 5]


async def test_a_doubled_message_is_sent_once(owner: User) -> None:
    async with socket(owner) as communicator:
        await received(communicator)
        first, second = await unpublished_events(owner, 2)

        await say(owner, first, first, second, first, second)

        assert await event_seqs(communicator, 2) == [1, 2]
        (third,) = await unpublished_events(owner, 1)
        await say(owner, third)
        assert await event_seqs(communicator, 1) == [3]


async def test_a_lost_message_is_followed_by_all_that_came_later(owner: User) -> None:
    """More rows than one look brings."""
    async with socket(owner) as communicator:
        await received(communicator)
        messages = await unpublished_events(owner, 520)

        await say(owner, messages[-1])

        assert await event_seqs(communicator, 520) == list(range(1, 521))


async def test_two_sockets_of_one_user_hear_the_same(owner: User, submit: Submit) -> None:
    async with socket(owner) as first, socket(owner) as second:
        await received(first)
        await received(second)

        await database_sync_to_async(submit)(owner)

        assert await event_seqs(first, 1) == await event_seqs(second, 1) == [1]


async def test_usage_follows_what_changes_it(owner: User, submit: Submit) -> None:
    async with socket(owner) as communicator:
        await received(communicator)

        jobs = await database_sync_to_async(submit)(owner)
        assert (await received_of(communicator, "usage"))["usage"]["used_today"] == 1
        await database_sync_to_async(jobs_cancel)(jobs)
        assert (await received_of(communicator, "usage"))["usage"]["used_today"] == 0


async def test_a_strangers_events_never_come(owner: User, stranger: User, submit: Submit) -> None:
    async with socket(owner, since="0") as communicator:
        await received(communicator)

        (others,) = await database_sync_to_async(submit)(stranger)
        await database_sync_to_async(progress_publish)(others, Progress(1, 4, 0))
        await database_sync_to_async(jobs_cancel)([others])
        (own,) = await database_sync_to_async(submit)(owner)

        message = await received(communicator)
        assert message["type"] == "event"
        assert message["event"]["job"]["id"] == str(own.id)


async def test_progress_is_passed_on(owner: User, submit: Submit) -> None:
    (job,) = await database_sync_to_async(submit)(owner)

    async with socket(owner) as communicator:
        await received(communicator)
        await database_sync_to_async(progress_publish)(job, Progress(2, 4, 1))
        message = await received_of(communicator, "progress")

    assert message == {
        "type": "progress",
        "job_id": str(job.id),
        "step": 2,
        "steps": 4,
        "preview_url": f"/api/jobs/{job.id}/preview?n=1",
    }


async def test_whoever_waits_is_told_their_place(owner: User, submit: Submit) -> None:
    jobs = await database_sync_to_async(submit)(owner, count=2)

    async with socket(owner) as communicator:
        message = await received_of(communicator, "queue")

    assert [(job["id"], job["position"]) for job in message["jobs"]] == [
        (str(jobs[0].id), 1),
        (str(jobs[1].id), 2),
    ]
    assert all(job["eta_s"] > 0 for job in message["jobs"])


# --- What the browser says ---

JUNK = {
    "nothing": "null",
    "not JSON": "hello",
    "a number": "7",
    "a list": "[1]",
    "an unknown type": '{"type": "job.event", "seq": 1, "event": {}}',
    "an acknowledgement of text": '{"type": "ack", "seq": "x"}',
    "an acknowledgement of nothing": '{"type": "ack"}',
    "a type that is no text": '{"type": {"a": 1}}',
    "nested too deep": "[" * 200_000,
    "bytes": b"\xff\xfe",
    "a lone surrogate": '"\\ud800"',
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
async def test_junk_from_the_browser_is_ignored(owner: User, junk: str | bytes) -> None:
    async with socket(owner) as communicator:
        await received(communicator)

        if isinstance(junk, bytes):
            await communicator.send_to(bytes_data=junk)
        else:
            await communicator.send_to(text_data=junk)
        await communicator.send_json_to({"type": "ack", "seq": 0})
        await say(owner, *await unpublished_events(owner, 1))

        assert await event_seqs(communicator, 1) == [1]


async def test_an_empty_message_is_ignored(owner: User) -> None:
    async with socket(owner) as communicator:
        await received(communicator)

        await communicator.send_input({"type": "websocket.receive", "text": ""})
        await say(owner, *await unpublished_events(owner, 1))

        assert await event_seqs(communicator, 1) == [1]


# --- Who may listen ---

HEADERS = {
    "nothing": (),
    "no token": ((b"authorization", b"Bearer"),),
    "an unknown token": ((b"authorization", b"Bearer nonsense"),),
    "another scheme": ((b"authorization", b"Basic b3duZXI6eA=="),),
    "not UTF-8": ((b"authorization", b"Bearer \xff\xfe"),),
    "a null character": ((b"authorization", b"Bearer a\0b"),),
    "an unknown session": ((b"cookie", b"sessionid=nonsense"),),
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
async def test_whoever_is_not_signed_in_is_turned_away(
    owner: User, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    async with socket(headers=headers) as communicator:
        assert await closed_with(communicator) == 4401


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer"])
async def test_a_program_comes_in_by_its_token(owner: User, scheme: bytes) -> None:
    _, token = await database_sync_to_async(AuthToken.objects.create)(user=owner)
    header = (b"authorization", scheme + b" " + token.encode())

    async with socket(headers=(header,)) as communicator:
        assert (await received(communicator))["type"] == "snapshot"


async def test_a_revoked_token_lets_nobody_in(owner: User) -> None:
    row, token = await database_sync_to_async(AuthToken.objects.create)(user=owner)
    await database_sync_to_async(row.delete)()

    async with socket(headers=((b"authorization", b"Bearer " + token.encode()),)) as communicator:
        assert await closed_with(communicator) == 4401


@pytest.mark.parametrize("way", ["session", "token"])
async def test_somebody_who_was_shut_out_is_turned_away(owner: User, way: str) -> None:
    _, token = await database_sync_to_async(AuthToken.objects.create)(user=owner)
    cookie = await _session_cookie(owner)
    owner.is_active = False
    await database_sync_to_async(owner.save)()
    header = (
        (b"cookie", cookie) if way == "session" else (b"authorization", b"Bearer " + token.encode())
    )

    async with socket(headers=(header,)) as communicator:
        assert await closed_with(communicator) == 4401


async def test_a_page_of_another_site_is_turned_away(owner: User) -> None:
    cookie = await _session_cookie(owner)
    communicator = WebsocketCommunicator(
        websocket_application,
        "/ws/events/",
        headers=[(b"origin", b"https://evil.example.com"), (b"cookie", cookie)],
    )

    is_open, _ = await communicator.connect(timeout=PATIENCE_S)

    assert not is_open


async def test_a_program_that_names_no_origin_comes_in_by_its_token(owner: User) -> None:
    _, token = await database_sync_to_async(AuthToken.objects.create)(user=owner)
    communicator = WebsocketCommunicator(
        websocket_application,
        "/ws/events/",
        headers=[(b"authorization", b"Bearer " + token.encode())],
    )

    is_open, _ = await communicator.connect(timeout=PATIENCE_S)

    assert is_open
    await communicator.disconnect()


async def test_a_closed_socket_leaves_its_group(owner: User, valkey: redis.Redis) -> None:
    async with socket(owner) as communicator:
        await received(communicator)
        assert valkey.pubsub_channels("*")

    for _ in range(100):
        if not valkey.pubsub_channels("*group*"):
            break
        await asyncio.to_thread(valkey.ping)
    assert not valkey.pubsub_channels("*group*")
