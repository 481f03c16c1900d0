"""Leases in this process: renewed by one thread, so that an attempt that waits keeps its job."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog
from django.db import close_old_connections

from generation.transitions import LEASE_RENEWAL_S, LEASE_TTL, Lease, leases_renew

log = structlog.get_logger(__name__)


# An attempt that has not looked for so long hangs in a request that a node never ends: its job
# is let go. Longer than the longest fetch of a large image over a slow tunnel.
SILENCE_MAX_S = 150.0


class LeaseLost(Exception):
    """The job is somebody else's now, or this process stops: end without effects."""


class HeldLease:
    """A lease that is being renewed; ask `check` before anything that cannot be taken back."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.renewed_at = self.checked_at = time.monotonic()
        self.is_lost = False

    def check(self) -> None:
        """Raise LeaseLost unless the job is still ours."""
        self.checked_at = time.monotonic()
        if self.is_lost or time.monotonic() - self.renewed_at > LEASE_TTL.total_seconds():
            raise LeaseLost


class LeaseKeeper:
    """Renews all leases of this process in one UPDATE every few seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[UUID, HeldLease] = {}
        self._thread: threading.Thread | None = None

    @contextmanager
    def keep(self, lease: Lease) -> Iterator[HeldLease]:
        """Renew the lease until the block ends."""
        held = HeldLease(lease)
        with self._lock:
            self._held[lease.token] = held
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
                self._thread.start()
        try:
            yield held
        finally:
            with self._lock:
                self._held.pop(lease.token, None)

    def renew(self) -> None:
        """Renew everything that is held; mark what has been taken over."""
        now = time.monotonic()
        with self._lock:
            held = {
                token: lease
                for token, lease in self._held.items()
                if now - lease.checked_at < SILENCE_MAX_S
            }
        if not held:
            return
        asked_at = time.monotonic()
        kept = leases_renew(held)
        for token, lease in held.items():
            if token in kept:
                lease.renewed_at = asked_at
            else:
                lease.is_lost = True

    def _run(self) -> None:
        while True:
            time.sleep(LEASE_RENEWAL_S)
            try:
                try:
                    self.renew()
                finally:
                    close_old_connections()
            except Exception as error:  # noqa: BLE001 - this thread's outermost loop
                # An attempt whose lease cannot be renewed in time stops by itself; see `check`.
                log.warning("leases not renewed", problem=type(error).__name__)


keeper = LeaseKeeper()
