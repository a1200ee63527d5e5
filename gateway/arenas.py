"""Memory that comes back: the C library is told to keep one heap instead of eight per core.

glibc gives threads heaps of their own, and what one thread allocates and another frees (a bundle on its way
to the disk, say) stays with the first, so that each heap keeps the most it ever held. Python's threads take
turns anyway. Source: mallopt(3), M_ARENA_MAX.
"""

from __future__ import annotations

import ctypes
from typing import Final

__all__ = ["keep_one_heap"]

_M_ARENA_MAX: Final = -8


def keep_one_heap() -> bool:
    """Whether the C library takes it; to be called before threads are started. Others than glibc do not."""
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1))
    except (OSError, AttributeError):
        return False
