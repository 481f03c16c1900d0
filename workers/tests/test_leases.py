"""Leases as one process renews them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from generation.models import Job, Node
from generation.scheduling import job_claim, jobs_expired
from generation.transitions import lease_take
from usage.models import User
from workers.leases import LeaseKeeper, LeaseLost

pytestmark = pytest.mark.django_db(transaction=True)


def test_renewal_keeps_others_off(
    owner: User, submit: Callable[..., list[Job]], node: Node
) -> None:
    (job,) = submit(owner)
    claim = job_claim()
    assert claim is not None
    keeper = LeaseKeeper()
    with keeper.keep(claim.lease) as held:
        Job.objects.filter(id=job.id).update(lease_expires_at=Now() + timedelta(milliseconds=1))

        keeper.renew()

        assert jobs_expired(10) == []
        held.check()


def test_a_lease_that_was_taken_over_is_lost(
    owner: User, submit: Callable[..., list[Job]], node: Node
) -> None:
    (job,) = submit(owner)
    claim = job_claim()
    assert claim is not None
    keeper = LeaseKeeper()
    with keeper.keep(claim.lease) as held:
        Job.objects.filter(id=job.id).update(lease_expires_at=Now() - timedelta(seconds=1))
        taken = lease_take(job.id)

        keeper.renew()

        assert taken is not None
        with pytest.raises(LeaseLost):
            held.check()


def test_a_lease_that_could_not_be_renewed_in_time_is_lost(
    owner: User, submit: Callable[..., list[Job]], node: Node
) -> None:
    submit(owner)
    claim = job_claim()
    assert claim is not None
    with LeaseKeeper().keep(claim.lease) as held:
        held.renewed_at -= 16

        with pytest.raises(LeaseLost):
            held.check()
