"""The caller's address, taken from a header only where a trusted proxy wrote it.

Nothing here keeps an address, and nobody who calls this may: what is stored is a keyed hash of
`caller_network`.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from django.conf import settings
from django.http import HttpRequest

# A provider gives a household or a machine at least a /64, and each device takes new addresses out
# of it every day: the whole of it is one caller, as one IPv4 address is.
IPV6_CALLER_PREFIX = 64


def caller_address(request: HttpRequest) -> str:
    """The address that the request came from; empty where there is none, as on a UNIX socket.

    It is the peer's, unless the peer is in `PENCIL_TRUSTED_PROXIES`. Then it is the right-most
    entry of X-Forwarded-For that is not a trusted proxy itself: each proxy appends whom it heard
    from, so what stands further left is what a caller claims. A header that cannot be read says
    nothing, and the peer counts.
    """
    peer = _parsed(request.META.get("REMOTE_ADDR", ""))
    if peer is None:
        return ""
    return str(_forwarded_for(request) or peer if _is_trusted(peer) else peer)


def caller_network(request: HttpRequest) -> str:
    """What counts as one caller: the IPv4 address, or the /64 that holds the IPv6 address."""
    address = _parsed(caller_address(request))
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address), IPV6_CALLER_PREFIX), strict=False))
    return "" if address is None else str(address)


def is_from_trusted_proxy(request: HttpRequest) -> bool:
    """Whether the peer is one whose word about the caller counts."""
    peer = _parsed(request.META.get("REMOTE_ADDR", ""))
    return peer is not None and _is_trusted(peer)


def _forwarded_for(request: HttpRequest) -> IPv4Address | IPv6Address | None:
    nearest_trusted: IPv4Address | IPv6Address | None = None
    for entry in reversed(request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")):
        address = _parsed(entry)
        if address is None:
            return None
        if not _is_trusted(address):
            return address
        nearest_trusted = address
    # Every entry is a proxy: the left-most one asked for itself.
    return nearest_trusted


def _is_trusted(address: IPv4Address | IPv6Address) -> bool:
    return any(address in network for network in settings.PENCIL.trusted_proxies)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address; an IPv4 one in IPv6 clothes is that IPv4 one, and a zone is left out."""
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))
    return address
