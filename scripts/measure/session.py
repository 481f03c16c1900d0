"""The session: HTTP as the clients speak it, over connections that stay open."""

from __future__ import annotations

import requests


def session_open() -> requests.Session:
    """A session that goes straight to its server.

    All that is measured is reached directly. Without this, each request looks for a proxy and a
    password in the caller's environment and files, a third of a millisecond of the client's own.
    """
    session = requests.Session()
    session.trust_env = False
    return session
