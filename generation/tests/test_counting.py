"""Which requests are counted for their caller: what is accepted, once, after it is kept."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import settings
from django.db import connections, transaction
from rest_framework.test import APIClient

from conftest import api_for, sketch_base64
from generation.models import Job
from generation.services import jobs_cancel
from usage.count_writer import counts_drain
from usage.models import AddressDay, User

CALLER = "203.0.113.77"

# A request's transaction really ends, so that what waits for it happens.
pytestmark = pytest.mark.django_db(transaction=True)


def send(api: APIClient, path: str = "/api/generate", *, key: str = "", **body: Any) -> Any:
    """Send a request from the caller's address."""
    headers = {"Idempotency-Key": key} if key else {}
    return api.post(path, body, format="json", headers=headers, REMOTE_ADDR=CALLER)


def generate(api: APIClient, **changes: Any) -> Any:
    """Ask for images."""
    return send(api, **{"sketch": sketch_base64(), "prompt": "a house", **changes})


def counts() -> list[int]:
    """All counts, once they are written."""
    counts_drain()
    return list(AddressDay.objects.values_list("accepted", flat=True))


def test_each_job_of_a_batch_counts_for_the_callers_day(api: APIClient) -> None:
    response = generate(api, count=3)
    counts_drain()

    row = AddressDay.objects.get()
    salt = settings.PENCIL.usage_salt.encode()
    assert response.status_code == 202
    assert row.accepted == 3
    assert row.address_hash == hmac.new(salt, CALLER.encode(), hashlib.sha256).hexdigest()
    assert row.day == datetime.now(UTC).date()


def test_users_behind_one_address_are_one_caller(api: APIClient, stranger: User) -> None:
    generate(api)
    generate(api_for(stranger), count=2)

    assert counts() == [3]


def test_a_request_that_is_sent_again_counts_once(api: APIClient) -> None:
    sketch = sketch_base64()

    answers = [generate(api, sketch=sketch, seed=1, key="same").json() for _ in range(3)]

    assert answers[0] == answers[1] == answers[2]
    assert counts() == [1]


def test_a_retry_counts_and_its_repetition_does_not(api: APIClient) -> None:
    job_id = generate(api).json()["jobs"][0]["id"]
    jobs_cancel([Job.objects.get(id=job_id)])

    statuses = [send(api, f"/api/jobs/{job_id}/retry", key="again").status_code for _ in range(2)]

    assert statuses == [202, 202]
    assert counts() == [2]


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"denoise": 2}, 400), ({"count": 101}, 429), ({"sketch": "bm90IGFuIGltYWdl"}, 400)],
    ids=["a wrong field", "more than is left", "not an image"],
)
def test_what_is_refused_is_not_counted(
    api: APIClient, changes: dict[str, Any], status: int
) -> None:
    assert generate(api, **changes).status_code == status

    assert counts() == []


def test_a_key_that_is_used_for_something_else_is_not_counted(api: APIClient) -> None:
    generate(api, key="same")

    assert generate(api, key="same", prompt="a boat").status_code == 409

    assert counts() == [1]


def test_what_is_rolled_back_is_not_counted(api: APIClient) -> None:
    with transaction.atomic():
        generate(api)
        assert counts() == []
        transaction.set_rollback(True)

    assert counts() == []
    assert not Job.objects.exists()


def test_a_database_of_counts_that_is_slow_holds_up_no_answer(api: APIClient) -> None:
    generate(api)
    assert counts() == [1]

    # Somebody else has the caller's row, or with SQLite the database, until the answer is there.
    with transaction.atomic(using="usage"):
        AddressDay.objects.update(accepted=10)
        response = generate(api)
        assert AddressDay.objects.get().accepted == 10

    assert response.status_code == 202
    assert counts() == [11]


def test_a_broken_database_of_counts_refuses_nobody(
    api: APIClient, caplog: pytest.LogCaptureFixture
) -> None:
    with connections["usage"].cursor() as cursor:
        cursor.execute("ALTER TABLE usage_addressday RENAME TO gone")
    try:
        response = generate(api, count=2)
        counts_drain()
    finally:
        with connections["usage"].cursor() as cursor:
            cursor.execute("ALTER TABLE gone RENAME TO usage_addressday")

    assert response.status_code == 202
    assert Job.objects.count() == 2
    assert "accepted generations not counted" in caplog.text
    assert CALLER not in caplog.text
    assert counts() == []


def test_the_counts_name_nobody_and_the_jobs_no_caller(api: APIClient, owner: User) -> None:
    generate(api)

    assert {field.name for field in AddressDay._meta.get_fields()} == {
        "id",
        "day",
        "address_hash",
        "accepted",
    }
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT * FROM generation_job")
        columns = {column[0] for column in cursor.description}
    assert not {column for column in columns if "address" in column or "hash" in column}
