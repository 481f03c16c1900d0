"""A caller's address, after all that a caller can do: in no row, log, cache, mail or file."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import io
import logging
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_network
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.core import mail
from django.core.cache import cache
from django.core.cache.backends.locmem import LocMemCache
from django.db import connections
from django.test import Client
from pytest_django import Settings

from conftest import sketch_base64
from llamasketch.logs import WithoutClient
from usage.count_writer import counts_drain
from usage.models import AddressDay, User
from usage.tests.vite import pages

__all__ = ["pages"]

PROXY = "10.0.0.1"
PASSWORD = "a long enough passphrase"
# How an address may be written, at least: as it is, in full, as its network.
ADDRESSES = {
    "203.0.113.77": ("203.0.113", "cb00:714d", "cb00714d"),
    "2001:db8::77": ("2001:db8", "2001:0db8", "20010db8"),
}
CALLERS = {"203.0.113.77": "203.0.113.77", "2001:db8::77": "2001:db8::/64"}

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("pages")]


@pytest.fixture(autouse=True)
def _as_it_starts(settings: Settings) -> None:
    """One trusted proxy, no attempts so far, and passwords that cost no time."""
    cache.clear()
    settings.PENCIL = dataclasses.replace(settings.PENCIL, trusted_proxies=(ip_network(PROXY),))
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Whatever is logged at any level, written as the server writes it."""
    root = logging.getLogger()
    ours = next(
        handler
        for handler in root.handlers
        if any(isinstance(part, WithoutClient) for part in handler.filters)
    )
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(ours.formatter)
    handler.filters = ours.filters
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.setLevel(level)
    root.removeHandler(handler)


def everything(log: io.StringIO) -> dict[str, str]:
    """All that the server keeps, by place, as text in lower case."""
    kept = {"log": log.getvalue(), "mail": str([message.message() for message in mail.outbox])}
    for alias in connections:
        connection = connections[alias]
        with connection.cursor() as cursor:
            for table in connection.introspection.table_names(cursor):
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
                kept[f"table {alias}.{table}"] = str(cursor.fetchall())
    kept["cache"] = str(dict(LocMemCache("", {})._cache))  # type: ignore[attr-defined]  # its rows
    with redis.Redis.from_url(django_settings.REDIS_URL) as valkey:
        for key in valkey.scan_iter():
            kept[f"valkey {key!r}"] = str(valkey.dump(key))
    for path in django_settings.DATA_DIR.rglob("*"):
        with suppress(OSError):
            kept[f"file {path.name}"] = path.read_bytes().decode("latin-1")
    return {place: text.lower() for place, text in kept.items()}


def do_all_that_a_caller_can(origin: dict[str, str]) -> None:
    """Sign up, fail to sign in until it is refused, sign in, draw, and break something."""
    client = Client(raise_request_exception=False)
    client.defaults.update(origin)
    client.post("/accounts/signup/", {"email": "new@example.com", "password1": PASSWORD})
    client.post("/accounts/logout/")
    for _ in range(6):
        refused = client.post("/accounts/login/", {"login": "other@example.com", "password": "no"})
    assert "Too many" in refused.content.decode()
    client.post("/accounts/password/reset/", {"email": "new@example.com"})
    client.post("/accounts/login/", {"login": "new@example.com", "password": PASSWORD})
    client.get("/app")
    client.get("/", headers={"Host": "elsewhere.example"})
    client.get("/api/no-such-thing")
    body = {"sketch": sketch_base64(), "prompt": "a house", "count": 2}
    drawn = client.post("/api/generate", body, content_type="application/json")
    assert drawn.status_code == 202
    refused = client.post("/api/generate", {"sketch": 1}, content_type="application/json")
    assert refused.status_code == 400
    User.objects.update(is_staff=True)
    # An error that nobody expected is logged with its traceback.
    with broken_counts():
        assert client.get("/api/usage/stats").status_code == 500
        again = client.post("/api/generate", body, content_type="application/json")
    assert again.status_code == 202


class broken_counts:  # noqa: N801 - used as a function
    """The database of the counts without its table, for a moment: what is counted in it is lost."""

    def __enter__(self) -> None:
        counts_drain()
        self._rename("usage_addressday", "gone")

    def __exit__(self, *_error: object) -> None:
        counts_drain()
        self._rename("gone", "usage_addressday")

    def _rename(self, name: str, to: str) -> None:
        with connections["usage"].cursor() as cursor:
            cursor.execute(f"ALTER TABLE {name} RENAME TO {to}")


@pytest.mark.parametrize("address", list(ADDRESSES))
@pytest.mark.parametrize("way", ["the peer", "a trusted proxy", "a claim"])
def test_a_callers_address_is_kept_nowhere(log: io.StringIO, address: str, way: str) -> None:
    origin = {
        "the peer": {"REMOTE_ADDR": address},
        "a trusted proxy": {"REMOTE_ADDR": PROXY, "HTTP_X_FORWARDED_FOR": f"1.2.3.4, {address}"},
        "a claim": {"REMOTE_ADDR": "198.51.100.9", "HTTP_X_FORWARDED_FOR": address},
    }[way]

    do_all_that_a_caller_can(origin)

    kept = everything(log)
    # The places that should hold something do.
    for place in (
        "log",
        "mail",
        "cache",
        "table default.usage_user",
        "table usage.usage_addressday",
    ):
        assert len(kept[place]) > len("[]"), place
    assert "accepted generations not counted" in kept["log"]
    assert "no such table" in kept["log"] or "does not exist" in kept["log"]
    found = [
        (place, form)
        for place, text in kept.items()
        for form in (*ADDRESSES[address], "198.51.100", "1.2.3.4")
        if form in text
    ]
    assert found == []
    # And the caller was counted all the same.
    caller = "198.51.100.9" if way == "a claim" else CALLERS[address]
    salt = django_settings.PENCIL.usage_salt.encode()
    name = hmac.new(salt, caller.encode(), hashlib.sha256).hexdigest()
    assert list(AddressDay.objects.values_list("address_hash", "accepted")) == [(name, 2)]


def test_what_the_web_server_says_of_a_socket_that_does_not_close_names_no_client(
    log: io.StringIO,
) -> None:
    protocol = "<WebSocketProtocol client=['203.0.113.77', 50000] path=b'/ws/events/'>"

    logging.getLogger("daphne.server").warning(
        "Application instance %r for connection %s took too long.", _Task(), protocol
    )

    assert "203.0.113" not in log.getvalue()
    assert "client=… path=b'/ws/events/'" in log.getvalue()


class _Task:
    def __repr__(self) -> str:
        return "<Task pending>"


def test_a_traceback_in_the_log_shows_no_variables(log: io.StringIO) -> None:
    def fail(address: Any) -> None:
        raise ValueError("on purpose")

    (address, *_) = ADDRESSES
    for name in ("django.request", "another.library"):
        try:
            fail(address)
        except ValueError:
            logging.getLogger(name).exception("failed")

    assert log.getvalue().count("ValueError: on purpose") == 2
    assert "203.0.113" not in log.getvalue()
