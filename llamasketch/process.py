"""The process: how Python and the C library serve threads that do a little each."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress

# Requests, sockets and jobs are threads that hand a few milliseconds of work to each other: with
# Python's own 5 ms, whoever is handed something waits that long for whoever computes.
SWITCH_S = 0.0005

# Of mallopt(3). A picture of 512² takes some blocks of a megabyte. Left alone, the C library gets
# each from the kernel and gives it back, and every page of it is made and zeroed again: measured, a
# third of the time that a sketch takes. Now blocks of up to 32 MB are kept for the next, 64 MB at
# most in each of two arenas.
_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1
_MALLOC = ((_ARENA_MAX, 2), (_MMAP_THRESHOLD, 32 * 2**20), (_TRIM_THRESHOLD, 64 * 2**20))


# Requests leave next to no cycles behind, and a look for them among all objects stops all threads.
# Measured over 480 submissions each: the slowest took 87 ms, two above 70; with this it took 18.
_GARBAGE = (20_000, 20, 50)


def process_tune() -> None:
    """Set all that for this process; where the C library is not glibc, not the memory's part."""
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(*_GARBAGE)
    with suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in _MALLOC:
            mallopt(parameter, value)
