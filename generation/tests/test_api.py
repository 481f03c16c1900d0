"""The interface over HTTP: what is refused and how, who sees what, what fits the schema."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
import requests
import schemathesis
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from knox.models import AuthToken
from PIL import Image
from pytest_django import Settings
from rest_framework.test import APIClient
from schemathesis.openapi.checks import JsonSchemaError

from conftest import api_for, sketch_base64, sketch_png
from generation.images import SKETCH_BYTES_MAX
from generation.models import Event, GeneratedImage, Job, Node, NodeHealth
from generation.params import COUNT_MAX, SIZES
from generation.places import queue_shape_forget
from generation.presets import preset_list
from generation.previews import Progress, progress_put
from generation.states import ON_NODE, TERMINAL, JobState
from generation.storage import blob_path, blob_write
from generation.tests.stages import IMAGE, bring, traces_of
from usage.models import LedgerEntry, User
from usage.quota import usage_of

Submit = Callable[..., list[Job]]
GENERATE = "/api/generate"


def posted(client: APIClient, path: str, body: object, **headers: str) -> Any:
    """Post JSON; bytes go as they are."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(path, raw, content_type="application/json", headers=headers)


def request_body(**changes: object) -> dict[str, object]:
    """A request that is taken, with what is given changed."""
    return {"sketch": SKETCH, "prompt": "a house", **changes}


def raw_body(field: str, value: str) -> bytes:
    """A request in which one field's value is written like this."""
    return f'{{"sketch": "{SKETCH}", "{field}": {value}}}'.encode()


def encoded(image: Image.Image, format_: str, **options: Any) -> str:
    """An image as base64."""
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return base64.b64encode(buffer.getvalue()).decode()


def huge_png() -> str:
    """A PNG whose header promises 50,000 × 50,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + chunk).decode()


SKETCH = sketch_base64()
RED, BLUE = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue")

# (what is sent, the field that the answer must name)
REFUSED: dict[str, tuple[object, str]] = {
    "empty object": ({}, "sketch"),
    "empty body": (b"", "sketch"),
    "a list": ([1], "body"),
    "a text": ("sketch", "body"),
    "a number": (7, "body"),
    "null": (None, "body"),
    "true": (True, "body"),
    "broken JSON": (b'{"sketch": ', "body"),
    "not UTF-8": (b'{"sketch": "\xff\xfe"}', "body"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "body"),
    "nested too deep": (b"[" * 200_000, "body"),
    "nested too deep in a field": (b'{"prompt": ' + b"[" * 200_000, "body"),
    "a number with 5,000 digits": (raw_body("seed", "9" * 5000), "body"),
    "sketch null": (request_body(sketch=None), "sketch"),
    "sketch empty": (request_body(sketch=""), "sketch"),
    "sketch spaces": (request_body(sketch="   "), "sketch"),
    "sketch a number": (request_body(sketch=7), "sketch"),
    "sketch a list": (request_body(sketch=[SKETCH]), "sketch"),
    "sketch an object": (request_body(sketch={"data": SKETCH}), "sketch"),
    "sketch not base64": (request_body(sketch="@@@@"), "sketch"),
    "sketch badly padded": (request_body(sketch="A"), "sketch"),
    "sketch not ASCII": (request_body(sketch="ümläut"), "sketch"),
    "sketch a lone surrogate": (raw_body("sketch", '"\\ud800"'), "sketch"),
    "sketch not an image": (
        request_body(sketch=base64.b64encode(b"not an image").decode()),
        "sketch",
    ),
    "sketch an animated GIF": (
        request_body(sketch=encoded(RED, "GIF", save_all=True, append_images=[BLUE])),
        "sketch",
    ),
    "sketch an animated WebP": (
        request_body(sketch=encoded(RED, "WEBP", save_all=True, append_images=[BLUE])),
        "sketch",
    ),
    "sketch a bomb": (request_body(sketch=huge_png()), "sketch"),
    "sketch cut off": (
        request_body(sketch=base64.b64encode(sketch_png()[:900]).decode()),
        "sketch",
    ),
    "sketch of 8 MB and one": (
        request_body(sketch=base64.b64encode(b"\0" * (SKETCH_BYTES_MAX + 1)).decode()),
        "sketch",
    ),
    "data URL without data": (request_body(sketch="data:image/png;base64,"), "sketch"),
    "data URL without comma": (request_body(sketch="data:image/png;base64"), "sketch"),
    "unknown preset": (request_body(sketch="preset:nothing"), "sketch"),
    "nameless preset": (request_body(sketch="preset:"), "sketch"),
    "preset elsewhere": (request_body(sketch="preset:../../secret"), "sketch"),
    "preset a lone surrogate": (raw_body("sketch", '"preset:\\ud800"'), "sketch"),
    "prompt of 2,001 characters": (request_body(prompt="x" * 2001), "prompt"),
    "prompt of 10,000 characters": (request_body(prompt="x" * 10_000), "prompt"),
    "prompt null": (request_body(prompt=None), "prompt"),
    "prompt a number": (request_body(prompt=7), "prompt"),
    "prompt a list": (request_body(prompt=["a house"]), "prompt"),
    "prompt with a null character": (request_body(prompt="a\0house"), "prompt"),
    "prompt with a lone surrogate": (raw_body("prompt", '"\\udc00"'), "prompt"),
    "mode unknown": (request_body(mode="sculpt"), "mode"),
    "mode null": (request_body(mode=None), "mode"),
    "mode a list": (request_body(mode=["paint"]), "mode"),
    "mode a lone surrogate": (raw_body("mode", '"\\ud800"'), "mode"),
    "denoise NaN": (raw_body("denoise", "NaN"), "denoise"),
    "denoise Infinity": (raw_body("denoise", "Infinity"), "denoise"),
    "denoise -Infinity": (raw_body("denoise", "-Infinity"), "denoise"),
    "denoise 1e999": (raw_body("denoise", "1e999"), "denoise"),
    "denoise huge": (raw_body("denoise", "1" + "0" * 400), "denoise"),
    "denoise a text": (request_body(denoise="0.5"), "denoise"),
    "denoise true": (request_body(denoise=True), "denoise"),
    "denoise null": (request_body(denoise=None), "denoise"),
    "denoise below": (request_body(denoise=-0.01), "denoise"),
    "denoise above": (request_body(denoise=1.01), "denoise"),
    "steps 0": (request_body(steps=0), "steps"),
    "steps 51": (request_body(steps=51), "steps"),
    "steps 4.5": (request_body(steps=4.5), "steps"),
    "steps a text": (request_body(steps="4"), "steps"),
    "steps true": (request_body(steps=True), "steps"),
    "steps NaN": (raw_body("steps", "NaN"), "steps"),
    "seed -1": (request_body(seed=-1), "seed"),
    "seed 2**60": (request_body(seed=2**60), "seed"),
    "seed 2**53": (request_body(seed=2**53), "seed"),
    "seed a text": (request_body(seed="7"), "seed"),
    "seed 1.5": (request_body(seed=1.5), "seed"),
    "seed true": (request_body(seed=True), "seed"),
    "width 17": (request_body(width=17), "width"),
    "width 0": (request_body(width=0), "width"),
    "width -512": (request_body(width=-512), "width"),
    "width 240": (request_body(width=240), "width"),
    "width 1552": (request_body(width=1552), "width"),
    "width huge": (raw_body("width", "16" + "0" * 400), "width"),
    "width a text": (request_body(width="512"), "width"),
    "width null": (request_body(width=None), "width"),
    "height 513": (request_body(height=513), "height"),
    "height a list": (request_body(height=[512]), "height"),
    "count 0": (request_body(count=0), "count"),
    "count 129": (request_body(count=COUNT_MAX + 1), "count"),
    "count true": (request_body(count=True), "count"),
    "count null": (request_body(count=None), "count"),
    "lane unknown": (request_body(lane="fast"), "lane"),
    "lane a number": (request_body(lane=0), "lane"),
    "lane upper case": (request_body(lane="LIVE"), "lane"),
    "lane null": (request_body(lane=None), "lane"),
    "unknown field": (request_body(promt="a house"), "promt"),
    "unknown field, a lone surrogate": (raw_body("\\ud800", "1"), "\\ud800"),
    "unknown field, empty": (raw_body("", "1"), ""),
}


@pytest.mark.parametrize(("body", "field"), REFUSED.values(), ids=REFUSED)
def test_a_bad_request_is_refused_by_the_fields_name_and_makes_no_job(
    api: APIClient, body: object, field: str
) -> None:
    response = posted(api, GENERATE, body)

    assert response.status_code == 400
    answer = response.json()
    assert answer["code"] == "invalid"
    if field != "\\ud800":  # what cannot be written is named some other way
        assert list(answer["extra"]["fields"]) == [field]
        assert answer["message"].startswith(f"{field}: ")
    assert all(sentences for sentences in answer["extra"]["fields"].values())
    assert not Job.objects.exists()
    assert not LedgerEntry.objects.exists()


def test_several_wrong_fields_are_all_named(api: APIClient) -> None:
    response = posted(api, GENERATE, request_body(denoise=7, width=17, count=0))

    assert set(response.json()["extra"]["fields"]) == {"denoise", "width", "count"}


def test_a_request_of_20_mb_is_refused_before_it_is_read(api: APIClient) -> None:
    response = posted(api, GENERATE, request_body(sketch="A" * 20 * 2**20))

    assert response.status_code == 413
    assert response.json()["code"] == "body_too_large"
    assert list(response.json()["extra"]["fields"]) == ["sketch"]
    assert response.json()["message"].startswith("sketch: ")
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""],
)
def test_anything_but_json_is_an_unsupported_media_type(api: APIClient, content_type: str) -> None:
    response = api.generic("POST", GENERATE, json.dumps(request_body()), content_type=content_type)

    assert response.status_code == 415
    assert response.json()["code"] == "unsupported_media_type"
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "charset",
    ["utf-16", "hex", "rot13", "base64", "zlib", "undefined", "idna", "punycode", "nonsense"],
)
def test_an_odd_charset_is_a_bad_request_at_worst(api: APIClient, charset: str) -> None:
    response = api.post(GENERATE, b"{}", content_type=f"application/json; charset={charset}")

    assert response.status_code in {400, 415}


def test_a_compressed_body_is_not_unpacked(api: APIClient) -> None:
    packed = zlib.compress(b" " * 50_000_000 + b"{}")

    response = api.post(GENERATE, packed, content_type="application/json; charset=zlib")

    # Unpacked it would be an object that lacks its sketch; packed it is not JSON.
    assert response.status_code in {400, 415}
    assert "sketch" not in response.json()["extra"].get("fields", {})


KEYS = {
    "empty": ("", 202),
    "200 characters": ("k" * 200, 202),
    "201 characters": ("k" * 201, 400),
    "spaces": ("   ", 202),
    "not ASCII": ("schlüssel", 202),
    "a null character": ("a\0b", 400),
}


@pytest.mark.parametrize(("key", "status"), KEYS.values(), ids=KEYS)
def test_an_idempotency_key_is_short_text(api: APIClient, key: str, status: int) -> None:
    response = posted(api, GENERATE, request_body(), **{"Idempotency-Key": key})

    assert response.status_code == status
    if status == 400:
        assert list(response.json()["extra"]["fields"]) == ["Idempotency-Key"]
    assert Job.objects.exists() is (status == 202)


# --- What is taken ---

TAKEN: dict[str, dict[str, object]] = {
    "defaults": {},
    "a data URL": {"sketch": f"data:image/png;base64,{SKETCH}"},
    "an empty prompt": {"prompt": ""},
    "a prompt of 2,000 characters": {"prompt": "🦙" * 2000},
    "whole strength as an integer": {"denoise": 1},
    "no strength": {"denoise": 0},
    "seed null": {"seed": None},
    "the largest seed": {"seed": 2**53 - 1},
    "the largest size": {"width": 1536, "height": 1536},
    "live": {"lane": "live"},
    "50 steps": {"steps": 50},
}


@pytest.mark.parametrize("changes", TAKEN.values(), ids=TAKEN)
def test_a_good_request_is_accepted(api: APIClient, changes: dict[str, object]) -> None:
    response = posted(api, GENERATE, request_body(**changes))

    assert response.status_code == 202
    (job,) = response.json()["jobs"]
    assert Job.objects.filter(id=job["id"], state=JobState.QUEUED).exists()
    for name in set(changes) & {"prompt", "denoise", "steps", "width", "height"}:
        assert job["params"][name] == changes[name]


@pytest.mark.parametrize("count", [1, 3, COUNT_MAX])
def test_a_batch_has_as_many_jobs_as_were_asked_for(
    api: APIClient, settings: Settings, count: int
) -> None:
    settings.PENCIL = replace(settings.PENCIL, daily_limit=None)

    response = posted(api, GENERATE, request_body(count=count, seed=5))

    assert response.status_code == 202
    named = [(job["seed"], job["params"]["variation"]) for job in response.json()["jobs"]]
    assert named == [(5 + index // 4, index % 4) for index in range(count)]
    assert {job["batch_id"] for job in response.json()["jobs"]} == {response.json()["batch_id"]}


def test_every_seed_that_the_server_names_can_be_sent_again(api: APIClient) -> None:
    last = posted(api, GENERATE, request_body(count=4, seed=2**53 - 129)).json()["jobs"][-1]

    response = posted(api, GENERATE, request_body(seed=last["seed"]))

    assert response.status_code == 202


def test_every_preset_can_be_sent(api: APIClient) -> None:
    presets = [preset["id"] for preset in api.get("/api/config").json()["presets"]]

    statuses = [
        posted(api, GENERATE, request_body(sketch=f"preset:{name}")).status_code for name in presets
    ]

    assert statuses == [202] * len(presets)
    assert presets


def test_the_same_key_gets_the_same_answer(api: APIClient) -> None:
    answers = [
        posted(api, GENERATE, request_body(), **{"Idempotency-Key": "key"}).json() for _ in range(2)
    ]

    assert answers[0] == answers[1]
    assert Job.objects.count() == 1


def test_the_same_key_with_another_body_is_a_conflict(api: APIClient) -> None:
    posted(api, GENERATE, request_body(), **{"Idempotency-Key": "key"})

    response = posted(api, GENERATE, request_body(seed=8), **{"Idempotency-Key": "key"})

    assert response.status_code == 409
    assert response.json()["code"] == "idempotency_key_reused"


def test_a_full_day_says_when_it_ends(api: APIClient, owner: User) -> None:
    owner.daily_limit = 1
    owner.save()

    response = posted(api, GENERATE, request_body(count=2))

    assert response.status_code == 429
    assert response.json()["code"] == "quota_exhausted"
    assert response.json()["extra"] == {"limit": 1, "remaining": 1}
    assert 0 < int(response["Retry-After"]) <= 86400


def test_a_full_queue_says_when_to_come_back(
    api: APIClient, settings: Settings, submit: Submit, owner: User
) -> None:
    settings.PENCIL = replace(settings.PENCIL, queue_limit=1)
    (waiting,) = submit(owner)

    response = posted(api, GENERATE, request_body())

    assert (response.status_code, response.json()["code"]) == (429, "too_many_waiting")
    assert int(response["Retry-After"]) > 0
    assert [job.id for job in Job.objects.all()] == [waiting.id]
    assert usage_of(owner).used_today == 1
    assert Event.objects.count() == 1


def test_a_full_disk_is_the_servers_fault(
    api: APIClient, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    settings.MEDIA_ROOT = tmp_path / "file" / "media"

    response = posted(api, GENERATE, request_body())

    assert (response.status_code, response.json()["code"]) == (503, "storage_full")
    assert not Job.objects.exists()


# --- Anything at all ---

_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
_fields = st.sampled_from(
    ["sketch", "prompt", "mode", "denoise", "steps", "seed", "width", "height", "count", "lane"]
)
_requests = (
    st.dictionaries(_fields, _json, max_size=4).map(lambda odd: request_body(**odd))
    | st.dictionaries(st.text(st.characters(exclude_categories=()), max_size=8), _json, max_size=3)
    | _json
).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60)


@hypothesis_settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(body=_requests)
def test_whatever_is_sent_the_server_does_not_break(api: APIClient, body: bytes) -> None:
    response = posted(api, GENERATE, body)

    assert response.status_code in {202, 400, 429}
    assert "code" in response.json() or "jobs" in response.json()


# --- Who may ---

PATHS = [
    ("POST", "generate"),
    ("GET", "jobs"),
    ("POST", "jobs/cancel"),
    ("GET", "jobs/{job}"),
    ("POST", "jobs/{job}/cancel"),
    ("POST", "jobs/{job}/retry"),
    ("GET", "jobs/{job}/sketch"),
    ("GET", "jobs/{job}/preview"),
    ("GET", "images/{image}"),
    ("GET", "images/{image}/thumbnail"),
    ("GET", "usage"),
    ("GET", "me"),
]
OWNED = [(method, path) for method, path in PATHS if "{" in path]


def names_of(cases: list[tuple[str, str]]) -> list[str]:
    """Names for the rows of a table of paths."""
    return [f"{method} {path}" for method, path in cases]


@pytest.fixture
def finished(owner: User, node: Node, submit: Submit, valkey: redis.Redis) -> Job:
    """The owner's job with an image, a thumbnail and a preview."""
    (job,) = submit(owner)
    bring(job, node, JobState.SUCCEEDED)
    blob_write(IMAGE.file, sketch_png("green"))
    blob_write(IMAGE.thumbnail, b"RIFF")
    progress_put(job.id, Progress(1, 4, 1), preview=b"jpeg")
    return job


def path_to(job: Job, pattern: str) -> str:
    """The address of something of a job's."""
    image = GeneratedImage.objects.filter(job=job).first()
    return "/api/" + pattern.format(job=job.id, image=image.id if image else uuid4())


@pytest.mark.parametrize(("method", "path"), PATHS, ids=names_of(PATHS))
@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer nonsense",
        "Bearer a b",
        "Bearer " + "x" * 5000,
        "Bearer \u00ff\u00fe",
        "Bearer a\0b",
    ],
    ids=["none", "no token", "unknown", "two", "long", "not UTF-8", "a null character"],
)
def test_whoever_is_not_signed_in_is_told_so(
    finished: Job, method: str, path: str, authorization: str
) -> None:
    headers = {"Authorization": authorization} if authorization else {}

    response = APIClient().generic(
        method, path_to(finished, path), content_type="application/json", headers=headers
    )

    assert response.status_code == 401
    assert response.json()["code"] == "not_authenticated"
    assert response["WWW-Authenticate"]


def test_a_token_is_as_good_as_a_session(owner: User, submit: Submit) -> None:
    submit(owner)
    _, token = AuthToken.objects.create(user=owner)

    response = APIClient().get("/api/jobs", headers={"Authorization": f"Bearer {token}"})

    assert response.status_code == 200
    assert len(response.json()["jobs"]) == 1


def test_somebody_who_was_shut_out_is_not_let_in_by_a_token(owner: User) -> None:
    _, token = AuthToken.objects.create(user=owner)
    owner.is_active = False
    owner.save()

    response = APIClient().get("/api/jobs", headers={"Authorization": f"Bearer {token}"})

    assert response.status_code == 401


def test_a_session_needs_its_csrf_token_to_write(owner: User) -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(owner)

    response = posted(client, GENERATE, request_body())

    assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
    assert not Job.objects.exists()


@pytest.mark.parametrize(("method", "path"), OWNED, ids=names_of(OWNED))
def test_what_is_somebody_elses_does_not_exist(
    finished: Job, stranger: User, method: str, path: str
) -> None:
    before = traces_of(finished.id)

    response = api_for(stranger).generic(
        method, path_to(finished, path), content_type="application/json"
    )
    nothing = api_for(stranger).generic(
        method,
        "/api/" + path.format(job=uuid4(), image=uuid4()),
        content_type="application/json",
    )

    assert response.status_code == nothing.status_code == 404
    assert response.json() == nothing.json()
    assert traces_of(finished.id) == before


def test_somebody_elses_jobs_are_not_cancelled_by_name(
    owner: User, stranger: User, submit: Submit
) -> None:
    (job,) = submit(owner)
    client = api_for(stranger)

    for body in ({"all": True}, {"ids": [str(job.id)]}, {"batch_id": str(job.batch_id)}):
        response = posted(client, "/api/jobs/cancel", body)
        assert (response.status_code, response.json()) == (200, {"jobs": []})

    job.refresh_from_db()
    assert job.state == JobState.QUEUED


@pytest.mark.parametrize(
    "path", ["jobs/nonsense", "jobs/1", "images/nonsense", "nothing", "jobs/", "generate/", ""]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_address_is_not_found_in_json(api: APIClient, method: str, path: str) -> None:
    response = api.generic(method, f"/api/{path}", "{}", content_type="application/json")

    assert response.status_code == 404
    assert response.json()["code"] == "not_found"


def test_a_program_that_posts_to_an_unknown_address_is_told_so_too(owner: User) -> None:
    _, token = AuthToken.objects.create(user=owner)
    client = APIClient(enforce_csrf_checks=True)

    response = posted(client, "/api/generat", {}, Authorization=f"Bearer {token}")

    assert response.status_code == 404
    assert response.json()["code"] == "not_found"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "generate"), ("DELETE", "jobs"), ("PUT", "jobs/cancel"), ("POST", "config")],
)
def test_a_wrong_method_is_refused_in_json(api: APIClient, method: str, path: str) -> None:
    response = api.generic(method, f"/api/{path}", content_type="application/json")

    assert response.status_code == 405
    assert response.json()["code"] == "method_not_allowed"


# --- Lists ---


def test_a_list_goes_on_where_its_cursor_says(api: APIClient, owner: User, submit: Submit) -> None:
    jobs = submit(owner, count=60)

    first = api.get("/api/jobs").json()
    second = api.get("/api/jobs", {"cursor": first["next"]}).json()

    ids = [job["id"] for page in (first, second) for job in page["jobs"]]
    assert ids == [str(job.id) for job in reversed(jobs)]
    assert second["next"] is None


@pytest.mark.parametrize("query", [{"cursor": "nonsense"}, {"state": "nonsense"}])
def test_a_bad_query_names_its_parameter(api: APIClient, query: dict[str, str]) -> None:
    response = api.get("/api/jobs", query)

    assert response.status_code == 400
    assert list(response.json()["extra"]["fields"]) == list(query)


def queries_of_list(client: APIClient) -> int:
    """How many queries the list of jobs costs."""
    with CaptureQueriesContext(connection) as queries:
        assert client.get("/api/jobs").status_code == 200
    return len(queries)


def test_a_list_costs_the_same_queries_for_one_job_and_for_many(
    api: APIClient, owner: User, node: Node, submit: Submit
) -> None:
    node.depth = 99
    node.save()
    for state in JobState:
        bring(submit(owner)[0], node, state)
    few = queries_of_list(api)
    queue_shape_forget()
    for state in JobState:
        for job in submit(owner, count=4):
            bring(job, node, state)

    assert queries_of_list(api) == few


def test_one_job_costs_few_queries(api: APIClient, finished: Job) -> None:
    with CaptureQueriesContext(connection) as queries:
        api.get(f"/api/jobs/{finished.id}")

    assert len(queries) <= 3


# --- Cancelling and retrying ---


@pytest.mark.parametrize("state", JobState, ids=str)
def test_cancelling_twice_is_as_good_as_once(
    api: APIClient, owner: User, node: Node, submit: Submit, state: JobState
) -> None:
    (job,) = submit(owner)
    bring(job, node, state)

    first = api.post(f"/api/jobs/{job.id}/cancel")
    again = api.post(f"/api/jobs/{job.id}/cancel")

    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    assert first.json()["cancel_requested"] is (state in ON_NODE | {JobState.QUEUED})
    expected = JobState.CANCELLED if state == JobState.QUEUED else state
    assert first.json()["state"] == expected


def test_everything_that_is_active_is_cancelled_at_once(
    api: APIClient, owner: User, node: Node, submit: Submit
) -> None:
    jobs = submit(owner, count=4)
    bring(jobs[0], node, JobState.RUNNING)
    bring(jobs[1], node, JobState.SUCCEEDED)

    response = posted(api, "/api/jobs/cancel", {"all": True})

    assert response.status_code == 200
    assert {job["id"]: job["state"] for job in response.json()["jobs"]} == {
        str(jobs[0].id): "running",
        str(jobs[2].id): "cancelled",
        str(jobs[3].id): "cancelled",
    }
    assert all(job["cancel_requested"] for job in response.json()["jobs"])


def test_only_the_named_jobs_are_cancelled(api: APIClient, owner: User, submit: Submit) -> None:
    first, second = submit(owner, count=2)
    (other,) = submit(owner)

    posted(api, "/api/jobs/cancel", {"ids": [str(first.id)]})
    posted(api, "/api/jobs/cancel", {"batch_id": str(other.batch_id)})

    second.refresh_from_db()
    assert second.state == JobState.QUEUED
    assert Job.objects.filter(state=JobState.CANCELLED).count() == 2


NO_JOB = "00000000-0000-4000-8000-000000000000"
NOT_UNDERSTOOD = {
    "a batch that is no id": {"batch_id": "nonsense"},
    "a batch that is null": {"batch_id": None},
    "ids that are no list": {"ids": "nonsense"},
    "ids that are none": {"ids": ["nonsense"]},
    "ids that are null": {"ids": [None]},
    "ids in an object": {"ids": {}},
    "too many ids": {"ids": [NO_JOB] * 257},
    "a misspelt batch": {"batch": NO_JOB},
    "a misspelt list": {"id": NO_JOB},
    "a list": [],
    "a text": "all",
    "broken JSON": b"{",
}


@pytest.mark.parametrize("body", NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD)
def test_a_request_to_cancel_that_is_not_understood_cancels_nothing(
    api: APIClient, owner: User, submit: Submit, body: object
) -> None:
    (job,) = submit(owner)

    response = posted(api, "/api/jobs/cancel", body)

    job.refresh_from_db()
    assert job.state == JobState.QUEUED
    assert response.status_code == 400


def test_naming_no_jobs_cancels_none(api: APIClient, owner: User, submit: Submit) -> None:
    (job,) = submit(owner)

    response = posted(api, "/api/jobs/cancel", {"ids": []})

    job.refresh_from_db()
    assert (response.json(), job.state) == ({"jobs": []}, JobState.QUEUED)


@pytest.mark.parametrize("state", JobState, ids=str)
def test_only_what_failed_or_was_cancelled_is_retried(
    api: APIClient, owner: User, node: Node, submit: Submit, state: JobState
) -> None:
    (job,) = submit(owner)
    bring(job, node, state)

    response = api.post(f"/api/jobs/{job.id}/retry")

    if state in {JobState.FAILED, JobState.CANCELLED}:
        assert response.status_code == 202
        assert response.json()["id"] != str(job.id)
        assert response.json()["state"] == "queued"
    else:
        assert (response.status_code, response.json()["code"]) == (409, "not_retryable")
        assert Job.objects.count() == 1


def test_a_retry_that_is_sent_twice_makes_one_job(
    api: APIClient, owner: User, node: Node, submit: Submit
) -> None:
    (job,) = submit(owner)
    bring(job, node, JobState.FAILED)
    path = f"/api/jobs/{job.id}/retry"

    first, again = (posted(api, path, {}, **{"Idempotency-Key": "key"}) for _ in range(2))

    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert Job.objects.exclude(id=job.id).count() == 1
    assert api.get("/api/usage").json()["used_today"] == 1


def test_a_key_of_another_request_is_a_conflict_for_a_retry(
    api: APIClient, owner: User, node: Node, submit: Submit
) -> None:
    first, second = submit(owner, count=2)
    for job in (first, second):
        bring(job, node, JobState.FAILED)
    key = {"Idempotency-Key": "key"}
    posted(api, f"/api/jobs/{first.id}/retry", {}, **key)

    of_another = posted(api, f"/api/jobs/{second.id}/retry", {}, **key)
    of_a_sketch = posted(api, GENERATE, request_body(), **key)

    for response in (of_another, of_a_sketch):
        assert (response.status_code, response.json()["code"]) == (409, "idempotency_key_reused")
    assert Job.objects.filter(state=JobState.QUEUED).count() == 1


# --- Pictures ---

PICTURES = {
    "jobs/{job}/sketch": ("image/png", b"\x89PNG"),
    "images/{image}": ("image/png", b"\x89PNG"),
    "images/{image}/thumbnail": ("image/webp", b"RIFF"),
}


@pytest.mark.parametrize("path", PICTURES)
def test_a_picture_stays_in_its_owners_browser_for_ever(
    api: APIClient, finished: Job, path: str
) -> None:
    response = api.get(path_to(finished, path))

    content_type, begins = PICTURES[path]
    assert response.status_code == 200
    assert response["Content-Type"] == content_type
    assert response.content.startswith(begins)
    assert response["Cache-Control"] == "private, max-age=31536000, immutable"
    assert response["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", PICTURES)
@pytest.mark.parametrize("accept", ["image/png", "image/*", "image/avif,image/webp,*/*;q=0.8"])
def test_a_picture_is_given_to_whoever_accepts_pictures(
    api: APIClient, finished: Job, path: str, accept: str
) -> None:
    response = api.get(path_to(finished, path), headers={"Accept": accept})

    assert response.status_code == 200


def test_a_preview_is_never_kept(
    api: APIClient, owner: User, node: Node, submit: Submit, valkey: redis.Redis
) -> None:
    (job,) = submit(owner)
    bring(job, node, JobState.RUNNING)
    progress_put(job.id, Progress(1, 4, 1), preview=b"jpeg")

    response = api.get(f"/api/jobs/{job.id}/preview?n=1")

    assert (response.status_code, response.content) == (200, b"jpeg")
    assert response["Content-Type"] == "image/jpeg"
    assert response["Cache-Control"] == "private, no-store"


def test_a_job_without_a_preview_has_none(
    api: APIClient, owner: User, submit: Submit, valkey: redis.Redis
) -> None:
    (job,) = submit(owner)

    assert api.get(f"/api/jobs/{job.id}/preview").status_code == 404


@pytest.mark.parametrize("state", sorted(TERMINAL), ids=str)
def test_a_job_that_has_just_ended_has_its_preview_still(
    api: APIClient, owner: User, node: Node, submit: Submit, valkey: redis.Redis, state: JobState
) -> None:
    (job,) = submit(owner)
    progress_put(job.id, Progress(1, 4, 1), preview=b"jpeg")
    bring(job, node, state)

    response = api.get(f"/api/jobs/{job.id}/preview")

    assert (response.status_code, response.content) == (200, b"jpeg")


def test_a_picture_whose_file_is_gone_is_not_found(api: APIClient, finished: Job) -> None:
    blob_path(IMAGE.file).unlink()

    response = api.get(path_to(finished, "images/{image}"))

    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert "immutable" not in response.get("Cache-Control", "")


# --- What everybody may know ---


def test_the_configuration_is_public(db: None, settings: Settings) -> None:
    response = APIClient().get("/api/config")

    assert response.status_code == 200
    config = response.json()
    assert config["signup_enabled"] is settings.SIGNUP_ENABLED
    assert config["modes"] == ["paint", "follow", "hd", "upscale"]
    assert config["models"] == [{"id": "distilled", "steps": 4}, {"id": "base", "steps": 20}]
    assert config["workflows"] is None
    assert config["sizes"][0] == {"aspect": "1:1", "width": 512, "height": 512}
    assert len(config["sizes"]) == len(SIZES)
    assert config["limits"] == {
        "prompt_chars": 2000,
        "sketch_bytes": 8388608,
        "sketch_pixels": 4194304,
        "count": {"min": 1, "max": 128},
        "steps": {"min": 1, "max": 50},
        "daily": settings.PENCIL.daily_limit,
    }
    assert config["defaults"] == {
        "mode": "paint",
        "denoise": 0.75,
        "steps": 4,
        "width": 512,
        "height": 512,
    }
    assert [preset["id"] for preset in config["presets"]] == [p.id for p in preset_list()]
    assert config["gpu"] == "comfyui"


@pytest.mark.parametrize("is_simulated", [True, False])
def test_the_configuration_says_whether_the_gpu_is_real(
    db: None, settings: Settings, is_simulated: bool
) -> None:
    settings.PENCIL = replace(settings.PENCIL, is_simulated=is_simulated)

    gpu = APIClient().get("/api/config").json()["gpu"]

    assert gpu == ("simulated" if is_simulated else "comfyui")


@pytest.mark.parametrize("client", ["nobody", "owner"])
def test_most_people_learn_of_health_only_that_there_is_some(
    owner: User, node: Node, client: str
) -> None:
    response = (APIClient() if client == "nobody" else api_for(owner)).get("/api/health")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_staff_sees_nodes_and_the_queue(owner: User, node: Node, submit: Submit) -> None:
    owner.is_staff = True
    owner.save()
    first, _ = submit(owner, count=2)
    bring(first, node, JobState.RUNNING)

    answer = api_for(owner).get("/api/health").json()

    assert answer["jobs"] == {"queued": 1, "running": 1}
    assert [(row["name"], row["health"]) for row in answer["nodes"]] == [
        ("one", NodeHealth.HEALTHY)
    ]


def test_usage_and_the_caller_are_the_callers_own(
    api: APIClient, owner: User, stranger: User, submit: Submit
) -> None:
    submit(stranger, count=3)
    submit(owner, count=2)

    usage = api.get("/api/usage").json()

    assert (usage["used_today"], usage["total"], usage["limit"], usage["remaining"]) == (
        2,
        2,
        100,
        98,
    )
    assert api.get("/api/me").json() == {"email": owner.email, "is_staff": False}


# --- The schema ---


@pytest.fixture(scope="module")
def schema() -> Any:
    """The API's description, to check answers against."""
    generator = SchemaGenerator()  # type: ignore[no-untyped-call]  # spectacular has none here
    raw = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return schemathesis.openapi.from_dict(raw)


def assert_fits(schema: Any, response: Any, method: str, path: str) -> None:
    """The answer's status is described, and its body is as described."""
    operation = schema[f"/api/{path}"][method]
    assert str(response.status_code) in operation.definition.raw["responses"]
    operation.validate_response(
        schemathesis.Response(
            status_code=response.status_code,
            headers={name: [value] for name, value in response.items()},
            content=response.content,
            request=requests.Request(method, f"http://testserver/api/{path}").prepare(),
            elapsed=0.0,
            verify=False,
        )
    )


def test_the_schema_is_valid_and_complete(tmp_path: Path) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", file=str(tmp_path / "schema.yaml"))


@pytest.mark.parametrize("state", JobState, ids=str)
def test_a_job_in_any_state_fits_the_schema(
    schema: Any,
    api: APIClient,
    owner: User,
    node: Node,
    submit: Submit,
    valkey: redis.Redis,
    state: JobState,
) -> None:
    (job,) = submit(owner, prompt="")
    bring(job, node, state)
    progress_put(job.id, Progress(1, 4, 1), preview=b"jpeg")

    assert_fits(schema, api.get(f"/api/jobs/{job.id}"), "GET", "jobs/{job_id}")
    assert_fits(schema, api.get("/api/jobs"), "GET", "jobs")


def test_the_schema_refuses_what_is_not_a_job(schema: Any, api: APIClient, owner: User) -> None:
    response = api.get("/api/me")

    with pytest.raises(JsonSchemaError):
        assert_fits(schema, response, "GET", "jobs/{job_id}")


@pytest.mark.parametrize("path", ["config", "health", "usage", "me"])
@pytest.mark.parametrize("daily_limit", [None, 5])
def test_what_is_asked_without_a_job_fits_the_schema(
    schema: Any, api: APIClient, settings: Settings, path: str, daily_limit: int | None
) -> None:
    settings.PENCIL = replace(settings.PENCIL, daily_limit=daily_limit)

    assert_fits(schema, api.get(f"/api/{path}"), "GET", path)


def test_answers_to_requests_fit_the_schema(
    schema: Any, api: APIClient, owner: User, node: Node, submit: Submit
) -> None:
    accepted = posted(api, GENERATE, request_body(count=2))
    assert_fits(schema, accepted, "POST", "generate")
    assert_fits(schema, posted(api, GENERATE, {}), "POST", "generate")
    assert_fits(schema, posted(APIClient(), GENERATE, {}), "POST", "generate")
    assert_fits(
        schema, posted(api, GENERATE, request_body(sketch="A" * 14 * 2**20)), "POST", "generate"
    )

    (failed,) = submit(owner)
    bring(failed, node, JobState.FAILED)
    assert_fits(schema, api.post(f"/api/jobs/{failed.id}/retry"), "POST", "jobs/{job_id}/retry")
    assert_fits(schema, api.post(f"/api/jobs/{failed.id}/cancel"), "POST", "jobs/{job_id}/cancel")
    assert_fits(schema, posted(api, "/api/jobs/cancel", {"all": True}), "POST", "jobs/cancel")
    assert_fits(schema, api.get(f"/api/jobs/{uuid4()}"), "GET", "jobs/{job_id}")
    assert_fits(schema, api.get("/api/jobs", {"cursor": "x"}), "GET", "jobs")


def test_the_schema_itself_is_public(db: None) -> None:
    assert APIClient().get("/api/schema").status_code == 200
