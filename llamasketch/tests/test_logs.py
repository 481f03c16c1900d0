"""Logs: what a request leaves behind says nothing of who asked for what."""

from __future__ import annotations

import io
import logging
import logging.config
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
from django.conf import settings as django_settings
from django.test import Client
from knox.models import AuthToken
from pytest_django import Settings

from conftest import sketch_base64
from llamasketch.logs import logging_config
from usage.models import User

pytestmark = pytest.mark.usefixtures("pages")

ADDRESS = "203.0.113.9"
PROMPT = "a very private wish"


LOUD = ("django", "django.request", "django_structlog", "daphne", "celery")


@contextmanager
def logging_as(mode: str, *, is_loud: bool) -> Iterator[io.StringIO]:
    """What is logged, written as a server of this mode writes it; loud: at every level."""
    stream = io.StringIO()
    config = logging_config(is_production=mode == "production")
    config["handlers"]["stderr"]["stream"] = stream
    if is_loud:
        config["root"]["level"] = "DEBUG"
        config["loggers"] = {name: {"level": "DEBUG"} for name in LOUD}
    logging.config.dictConfig(config)
    try:
        yield stream
    finally:
        logging.config.dictConfig(django_settings.LOGGING)
        structlog.contextvars.clear_contextvars()


@pytest.fixture(params=["local", "production"])
def logged(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """Everything that is logged at any level."""
    with logging_as(request.param, is_loud=True) as stream:
        yield stream


@pytest.fixture(params=["local", "production"])
def logged_as_configured(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What a server logs."""
    with logging_as(request.param, is_loud=False) as stream:
        yield stream


@pytest.mark.parametrize("outcome", ["accepted", "refused", "not signed in", "disk full"])
def test_a_request_leaves_no_address_prompt_token_or_pixels(
    logged: io.StringIO, owner: User, settings: Settings, tmp_path: Path, outcome: str
) -> None:
    _, token = AuthToken.objects.create(user=owner)
    sketch = sketch_base64()
    body: dict[str, object] = {"sketch": sketch, "prompt": PROMPT}
    if outcome == "refused":
        body["steps"] = 1000
    if outcome == "disk full":
        (tmp_path / "file").write_text("not a folder")
        settings.MEDIA_ROOT = tmp_path / "file" / "media"
    sent = f"{token}x" if outcome == "not signed in" else token

    Client().post(
        "/api/generate",
        body,
        content_type="application/json",
        headers={"Authorization": f"Bearer {sent}", "X-Forwarded-For": "198.51.100.7"},
        REMOTE_ADDR=ADDRESS,
    )

    text = logged.getvalue()
    assert "/api/generate" in text
    for secret in (ADDRESS, "198.51.100.7", PROMPT, token, sketch[:40], owner.email):
        assert secret not in text


@pytest.mark.parametrize("password", ["a long enough passphrase", "not the passphrase"])
def test_signing_in_leaves_no_address_or_password(
    logged: io.StringIO, owner: User, password: str
) -> None:
    Client().post(
        "/accounts/login/", {"login": owner.email, "password": password}, REMOTE_ADDR=ADDRESS
    )

    text = logged.getvalue()
    assert "/accounts/login/" in text
    for secret in (ADDRESS, owner.email, password):
        assert secret not in text


def test_a_link_for_a_new_password_is_not_in_the_logs(
    logged_as_configured: io.StringIO, owner: User, mailoutbox: list[object]
) -> None:
    Client().post("/accounts/password/reset/", {"email": owner.email}, REMOTE_ADDR=ADDRESS)
    (message,) = mailoutbox
    link = str(getattr(message, "body", "")).split("/accounts/password/reset/key/")[1].split()[0]

    Client().get(f"/accounts/password/reset/key/{link}", REMOTE_ADDR=ADDRESS)

    assert owner.email not in logged_as_configured.getvalue()
    assert link.strip("/") not in logged_as_configured.getvalue()


def test_a_fault_is_logged_without_what_was_in_its_variables(logged: io.StringIO) -> None:
    log = structlog.get_logger("somewhere")
    prompt = f"{PROMPT}, in a variable"

    try:
        raise RuntimeError("a fault")
    except RuntimeError:
        log.exception("it broke", job_id="7")
        logging.getLogger("elsewhere").exception("it broke there")
    del prompt

    text = logged.getvalue()
    assert text.count("a fault") >= 2
    assert PROMPT not in text
