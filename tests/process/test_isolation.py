"""Two users at once: neither sees anything of the other."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.process.api import Api
from tests.process.pictures import hue_distance, hue_of, sketch
from tests.process.stack import Stack

pytestmark = pytest.mark.process

JOBS_EACH = 4


def test_events_of_two_users_at_once_reach_their_own_socket_alone(stack: Stack) -> None:
    users = stack.users("left", "right")

    with ThreadPoolExecutor(4) as pool:
        sockets = [pool.submit(_listen, api) for api in users]
        time.sleep(0.5)
        works = [pool.submit(_work, api, hue) for api, hue in zip(users, (0.0, 0.5), strict=True)]
        jobs = [work.result() for work in works]
        heard = [socket.result() for socket in sockets]

    own = [{job["id"] for job in mine} for mine in jobs]
    assert own[0].isdisjoint(own[1])
    for messages, ids in zip(heard, own, strict=True):
        assert {found for message in messages for found in _job_ids(message)} == ids
        kinds = {message["type"] for message in messages}
        assert {"snapshot", "event", "progress"} <= kinds
    for mine, hue in zip(jobs, (0.0, 0.5), strict=True):
        for job in mine:
            assert job["state"] == "succeeded"
            assert hue_distance(job["hue"], hue) < 0.05


def test_what_one_user_owns_is_not_there_for_another(stack: Stack) -> None:
    owner, stranger = stack.users("owner", "stranger")
    owner.events()  # somebody watches: previews are made for them alone
    stack.fault("slow", factor=10, once=True)
    (job,) = owner.generate(sketch(0.8), count=1)
    running = _with_preview(owner, job["id"])

    paths = [f"/api/jobs/{job['id']}", running["sketch_url"], running["preview_url"]]
    assert owner.get(running["preview_url"]).status_code == 200
    assert _statuses(stranger, paths) == [404] * 3
    for action in ("cancel", "retry"):
        assert stranger.post(f"/api/jobs/{job['id']}/{action}").status_code == 404
    stranger.post("/api/jobs/cancel", {"ids": [job["id"]]})
    stranger.post("/api/jobs/cancel", {"batch_id": job["batch_id"]})
    stranger.post("/api/jobs/cancel")
    ended = owner.wait(job["id"])

    assert ended["state"] == "succeeded", "somebody else's cancel changed nothing"
    image = ended["images"][0]
    assert _statuses(owner, [image["url"], image["thumbnail_url"]]) == [200, 200]
    assert _statuses(stranger, [image["url"], image["thumbnail_url"]]) == [404, 404]
    assert stranger.jobs() == []
    assert stranger.used_today() == 0


def test_nothing_is_there_for_somebody_who_is_not_signed_in(stack: Stack) -> None:
    owner = stack.user("owner")
    (job,) = owner.generate(sketch(0.8))
    job = owner.wait(job["id"])
    nobody = Api(stack.address, None)

    paths = ["/api/jobs", f"/api/jobs/{job['id']}", job["sketch_url"], job["images"][0]["url"]]
    assert _statuses(nobody, [*paths, "/api/usage", "/api/me"]) == [401] * 6
    assert nobody.post("/api/generate", {}).status_code == 401
    with pytest.raises(ConnectionClosed) as closed:
        list(nobody.listen(quiet_s=5))
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


def _listen(api: Api) -> list[dict[str, Any]]:
    return list(api.listen(quiet_s=6))


def _work(api: Api, hue: float) -> list[dict[str, Any]]:
    jobs = [api.generate(sketch(hue), seed=number)[0] for number in range(JOBS_EACH)]
    ended = [api.wait(job["id"]) for job in jobs]
    return [{**job, "hue": hue_of(api.image(job))} for job in ended]


def _job_ids(message: dict[str, Any]) -> set[str]:
    """Every job that a message speaks of."""
    found = {job["id"] for job in message.get("jobs", [])}
    if message["type"] == "event":
        found.add(message["event"]["job"]["id"])
    if message["type"] == "progress":
        found.add(message["job_id"])
    return found


def _with_preview(api: Api, job_id: str) -> dict[str, Any]:
    for _ in range(300):
        job = api.job(job_id)
        if job["preview_url"]:
            return job
        time.sleep(0.05)
    raise AssertionError(f"no preview: {api.job(job_id)}")


def _statuses(api: Api, paths: list[str]) -> list[int]:
    return [api.get(path).status_code for path in paths]
