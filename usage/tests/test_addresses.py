"""Whose address a request carries, and how much of it is one caller."""

from __future__ import annotations

import dataclasses
from ipaddress import ip_network

import pytest
from django.http import HttpRequest
from django.test import RequestFactory
from pytest_django import Settings

from usage.adapters import AccountAdapter
from usage.addresses import caller_address, caller_network, is_from_trusted_proxy

PROXY, INNER_PROXY = "10.0.0.1", "10.0.0.2"
STRANGER = "198.51.100.9"


@pytest.fixture
def _trusted(settings: Settings) -> None:
    """Two proxies in a row, and one that speaks IPv6."""
    networks = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    settings.PENCIL = dataclasses.replace(settings.PENCIL, trusted_proxies=networks)


def request(peer: str, forwarded_for: str | None = None) -> HttpRequest:
    """A request from a peer."""
    made = RequestFactory().get("/", REMOTE_ADDR=peer)
    if forwarded_for is not None:
        made.META["HTTP_X_FORWARDED_FOR"] = forwarded_for
    return made


def address(peer: str, forwarded_for: str | None = None) -> str:
    """Whose it is said to be."""
    return caller_address(request(peer, forwarded_for))


def test_without_trusted_proxies_the_peer_is_the_caller() -> None:
    assert address(STRANGER, "203.0.113.77") == STRANGER


@pytest.mark.usefixtures("_trusted")
@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        (STRANGER, None, STRANGER),
        (STRANGER, "203.0.113.77", STRANGER),
        (PROXY, None, PROXY),
        (PROXY, "203.0.113.77", "203.0.113.77"),
        (PROXY, "1.2.3.4, 203.0.113.77", "203.0.113.77"),
        (PROXY, f"1.2.3.4, 203.0.113.77, {INNER_PROXY}", "203.0.113.77"),
        (PROXY, f"1.2.3.4,{INNER_PROXY},203.0.113.77 ,{INNER_PROXY}", "203.0.113.77"),
        (PROXY, f"{INNER_PROXY}, {PROXY}", INNER_PROXY),
        (PROXY, "", PROXY),
        (PROXY, "unknown", PROXY),
        (PROXY, "203.0.113.77, unknown", PROXY),
        (PROXY, f"203.0.113.77, 999.1.1.1, {INNER_PROXY}", PROXY),
        (PROXY, "nonsense, 203.0.113.77", "203.0.113.77"),
        (PROXY, "203.0.113.77,", PROXY),
        (PROXY, "203.0.113.77\x00", PROXY),
        (PROXY, "::ffff:203.0.113.77", "203.0.113.77"),
        (f"::ffff:{PROXY}", "203.0.113.77", "203.0.113.77"),
        ("fd00::1", "2001:DB8:0:0:0:0:0:77", "2001:db8::77"),
    ],
    ids=[
        "a stranger",
        "a stranger who claims to be somebody",
        "a proxy for itself",
        "one proxy",
        "what the caller claims stands left",
        "two proxies",
        "a trusted address among the claims",
        "a proxy behind a proxy",
        "an empty header",
        "a proxy that does not say",
        "the last entry cannot be read",
        "the entry that counts cannot be read",
        "only a claim cannot be read",
        "the last entry is empty",
        "a control character",
        "IPv4 in IPv6",
        "a proxy's IPv4 in IPv6",
        "IPv6",
    ],
)
def test_the_caller_is_the_last_whom_no_trusted_proxy_is(
    peer: str, forwarded_for: str | None, expected: str
) -> None:
    assert address(peer, forwarded_for) == expected


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("203.0.113.77", "203.0.113.77"),
        ("::ffff:203.0.113.77", "203.0.113.77"),
        ("2001:db8::77", "2001:db8::/64"),
        ("2001:db8:0:0:ffff::1", "2001:db8::/64"),
        ("2001:db8:0:1::77", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
    ids=["IPv4", "IPv4 in IPv6", "IPv6", "the same /64", "another /64", "a zone", "a UNIX socket"],
)
def test_one_caller_is_an_ipv4_address_or_a_slash_64(peer: str, network: str) -> None:
    assert caller_network(request(peer)) == network


@pytest.mark.usefixtures("_trusted")
@pytest.mark.parametrize(("peer", "is_trusted"), [(PROXY, True), (STRANGER, False), ("", False)])
def test_only_a_trusted_proxys_word_counts(peer: str, *, is_trusted: bool) -> None:
    assert is_from_trusted_proxy(request(peer)) is is_trusted


def test_attempts_to_sign_in_are_counted_by_caller_without_the_address() -> None:
    adapter = AccountAdapter()

    names = [
        adapter.get_client_ip(request(peer))
        for peer in ("2001:db8::77", "2001:db8::78", "2001:db8:0:1::77")
    ]

    assert names[0] == names[1] != names[2]
    assert "2001" not in names[0]
