"""Mailboxes: what waits, and what is lost first."""

import threading

import pytest

from workers.comfy.mailboxes import Mailbox, MailRoom
from workers.comfy.protocol import (
    Disconnected,
    Finished,
    Message,
    OutputReady,
    Preview,
    Progress,
    PromptEvent,
    Reconnected,
    Started,
)


def waiting(mailbox: Mailbox) -> list[PromptEvent]:
    events = []
    while (event := mailbox.next(0)) is not None:
        events.append(event)
    return events


def test_only_the_latest_preview_waits() -> None:
    mailbox = Mailbox()
    for number in range(3):
        mailbox.put(Progress(number, 3, "12"))
        mailbox.put(Preview("image/jpeg", bytes([number])))

    events = waiting(mailbox)

    assert [event for event in events if isinstance(event, Preview)] == [
        Preview("image/jpeg", b"\x02")
    ]
    assert len(events) == 4


@pytest.mark.parametrize("capacity", [3, 4, 10])
def test_a_full_mailbox_loses_progress_and_keeps_what_decides(capacity: int) -> None:
    mailbox = Mailbox(capacity)
    mailbox.put(Started())
    for number in range(100):
        mailbox.put(Progress(number, 100, "12"))
    mailbox.put(OutputReady(()))
    mailbox.put(Finished())

    events = waiting(mailbox)

    assert len(events) == capacity
    assert events[0] == Started()
    assert events[-2:] == [OutputReady(()), Finished()]


def test_a_mailbox_is_bounded_whatever_a_server_sends() -> None:
    mailbox = Mailbox(4)
    for _ in range(100):
        mailbox.put(Started())
    mailbox.put(Finished())

    events = waiting(mailbox)

    assert len(events) == 4
    assert events[-1] == Finished()


def test_being_cut_off_is_told_once() -> None:
    mailbox = Mailbox()
    mailbox.restore()
    mailbox.cut()
    mailbox.cut()
    mailbox.restore()
    mailbox.restore()

    assert waiting(mailbox) == [Disconnected(), Reconnected()]


def test_a_waiting_reader_is_woken() -> None:
    mailbox = Mailbox()
    events: list[PromptEvent | None] = []
    reader = threading.Thread(target=lambda: events.append(mailbox.next(10)))
    reader.start()

    mailbox.put(Started())
    reader.join()

    assert events == [Started()]


def test_a_closed_follower_leaves_nothing_behind() -> None:
    room = MailRoom()
    follower, mailbox = room.follow("a")

    follower.close()
    follower.close()
    room.deliver(Message("a", Started()))

    assert waiting(mailbox) == []
    assert room._followed == {}


def test_prompts_that_nobody_follows_are_forgotten_in_time() -> None:
    room = MailRoom()
    for number in range(1000):
        room.expect(str(number))
        room.deliver(Message(str(number), Started()))

    assert len(room._expected) == 64
    assert waiting(room.follow("999")[1]) == [Started()]
    assert waiting(room.follow("0")[1]) == []


def test_a_refused_prompt_is_forgotten() -> None:
    room = MailRoom()
    room.expect("a")
    room.forget("a")

    assert len(room._expected) == 0
