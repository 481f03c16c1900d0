"""The guard against pages of other sites."""

import logging
import urllib.parse
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import TypeAlias

from aiohttp import web

logger = logging.getLogger(__name__)

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def same_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what a page of another site sends to a loopback address, as ComfyUI does."""
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        return web.Response(status=403)
    host, origin = request.headers.get("Host"), request.headers.get("Origin")
    if host is not None and origin is not None and not _is_same_origin(host, origin):
        logger.warning("request from another origin refused")
        return web.Response(status=403)
    return await handler(request)


def _is_same_origin(host: str, origin: str) -> bool:
    here = urllib.parse.urlsplit("//" + host.lower())
    there = urllib.parse.urlsplit(origin.lower())
    if not here.hostname or not there.hostname or not _is_loopback(here.hostname):
        return True
    if here.port is None or there.port is None:  # some browsers leave the port out
        return here.hostname == there.hostname
    return here.netloc == there.netloc


def _is_loopback(hostname: str) -> bool:
    try:
        return ip_address(hostname).is_loopback
    except ValueError:
        return hostname == "localhost"
