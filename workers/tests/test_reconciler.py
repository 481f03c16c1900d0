"""What the reconciler finds and what it does about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now
from django.utils import timezone

from generation.models import Job, Node
from generation.scheduling import job_claim, jobs_expired
from generation.states import JobState
from usage.models import User
from usage.quota import usage_of
from workers.reconciler import reconcile

Submit = Callable[..., list[Job]]


def test_a_job_that_waited_too_long_fails_uncharged(
    owner: User, submit: Submit, settings: Any
) -> None:
    settings.PENCIL = dataclasses.replace(settings.PENCIL, queue_timeout_s=60.0)
    (old,) = submit(owner)
    (young,) = submit(owner)
    Job.objects.filter(id=old.id).update(created_at=timezone.now() - timedelta(seconds=61))

    reconcile()
    reconcile()

    old.refresh_from_db()
    young.refresh_from_db()
    assert (old.state, old.error_code) == (JobState.FAILED, "waited_too_long")
    assert young.state == JobState.QUEUED
    assert usage_of(owner).used_today == 1


def test_only_a_job_whose_lease_has_run_out_is_an_orphan(
    owner: User, submit: Submit, node: Node
) -> None:
    first, second = submit(owner, count=2)
    assert job_claim() is not None
    assert job_claim() is not None
    Job.objects.filter(id=second.id).update(lease_expires_at=Now() - timedelta(seconds=1))

    assert jobs_expired(10) == [second.id]
    assert first.id not in jobs_expired(10)
