"""One heap for all threads, where the C library can be told so."""

from __future__ import annotations

import platform

from gateway.arenas import keep_one_heap


def test_glibc_takes_it_and_others_do_no_harm() -> None:
    assert keep_one_heap() is (platform.libc_ver()[0] == "glibc")
    assert len(bytearray(50_000_000)) == 50_000_000  # memory is given as before
