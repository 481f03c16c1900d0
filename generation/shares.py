"""Shares of GPU time: stride scheduling's virtual time, per user.

A claim adds the job's likely seconds, divided by the weight of the user's plan; the end of the
attempt corrects that to what it took. Whoever has the least goes next, so while several wait, each
gets GPU time in proportion to their weight, and none is ever ahead by more than the jobs they have
on nodes. Somebody who was idle joins at the latest claim's virtual time: idleness banks no credit.
Source: Waldspurger and Weihl, "Stride scheduling", MIT, 1995; the joining rule is that of
start-time fair queueing (Goyal, Vin and Cheng, 1996).
"""

from __future__ import annotations

from functools import cache

from django.db import transaction
from django.db.models import (
    Case,
    Exists,
    F,
    FloatField,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    When,
)
from django.db.models.functions import Coalesce, Greatest

from generation.models import FairClock, Job, Share
from generation.states import ACTIVE, JobState, Lane
from usage.models import User
from usage.statements import Slot, Update
from usage.upserts import counter_raise
from usage.writes import Write

CLOCK = 1  # the one row's id
WAITS = {Lane.LIVE: "waits_live", Lane.BATCH: "waits_batch"}


def _own() -> QuerySet[Share]:
    return Share.objects.filter(user_id=Slot("user_id", IntegerField()))


def _weight() -> Coalesce:
    plans = User.objects.filter(pk=OuterRef("user_id")).values("plan__weight")
    return Coalesce(Subquery(plans), 1)


_CHARGE = Update(lambda: (_own(), {"virtual_s": F("virtual_s") + Slot("virtual_s", FloatField())}))
_CORRECT = Update(
    lambda: (
        _own(),
        {
            "virtual_s": F("virtual_s")
            + Slot("took_s", FloatField()) / _weight()
            - Slot("charged_virtual_s", FloatField())
        },
    ),
)


@cache
def _join(lane: Lane) -> Update[Share]:
    active = Job.objects.filter(user_id=OuterRef("user_id"), state__in=ACTIVE)
    clock = Subquery(FairClock.objects.filter(pk=CLOCK).values("virtual_s"))
    joined = Greatest(F("virtual_s"), Coalesce(clock, 0.0))
    virtual_s = Case(When(Exists(active), then=F("virtual_s")), default=joined)
    return Update(lambda: (_own(), {WAITS[lane]: True, "virtual_s": virtual_s}))


def share_join(user_id: int, lane: Lane) -> Write:
    """Note that a user has jobs waiting in a lane; one who had none at all joins at the clock.

    To be written in the transaction that inserts them, before or with them. The share's row is
    locked from then to the commit, so that `shares_forget_idle` sees either no jobs and the flag,
    or both. It changes no row where the user has no share yet: see `share_make`.
    """
    return _join(lane).write(user_id=user_id)


def share_make(user_id: int) -> None:
    """Make a user's share, unless there is one; it joins at the clock."""
    clock = FairClock.objects.filter(pk=CLOCK).values_list("virtual_s", flat=True).first()
    Share.objects.get_or_create(user_id=user_id, defaults={"virtual_s": clock or 0.0})


def share_lock(user_id: int) -> None:
    """Lock a user's share. Call inside a transaction, before it takes the user's event stream."""
    share_make(user_id)
    Share.objects.select_for_update().get(user_id=user_id)


def share_want(user_id: int, lane: Lane) -> None:
    """Note that a user's job waits in a lane again. Call inside the transaction that queues it."""
    Share.objects.filter(user_id=user_id).update(**{WAITS[lane]: True})


def share_charge(user_id: int, virtual_s: float) -> Write:
    """Add to a user's share, or take back what was added too much."""
    return _CHARGE.write(user_id=user_id, virtual_s=virtual_s)


def share_correct(user_id: int, *, charged_virtual_s: float, took_s: float) -> Write:
    """Put what an attempt took in place of what its claim had charged for it."""
    return _CORRECT.write(user_id=user_id, charged_virtual_s=charged_virtual_s, took_s=took_s)


def shares_forget_idle() -> None:
    """Clear the flags of users who have no jobs waiting, one at a time."""
    for lane, flag in WAITS.items():
        waiting = Job.objects.filter(user=OuterRef("user"), state=JobState.QUEUED, lane=lane)
        flagged = Share.objects.filter(Q(**{flag: True}), ~Exists(waiting))
        for user_id in flagged.values_list("user_id", flat=True):
            _forget_if_idle(user_id, lane, flag)


def clock_advance(virtual_s: float) -> Write:
    """Move the clock on to a claim's virtual time; it never goes back."""
    return counter_raise(FairClock, "virtual_s", virtual_s, id=CLOCK)


def _forget_if_idle(user_id: int, lane: Lane, flag: str) -> None:
    with transaction.atomic():
        # A submission holds this row until its jobs can be seen.
        Share.objects.select_for_update().filter(user_id=user_id).first()
        if not Job.objects.filter(user_id=user_id, state=JobState.QUEUED, lane=lane).exists():
            Share.objects.filter(user_id=user_id).update(**{flag: False})
