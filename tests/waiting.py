"""Waiting on conditions with deadlines; tests never just sleep."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast, overload

__all__ = ["eventually"]

T = TypeVar("T")

PAUSE_S = 0.01


@overload
async def eventually(check: Callable[[], Awaitable[T]], timeout_s: float = 30.0) -> T: ...
@overload
async def eventually(check: Callable[[], T], timeout_s: float = 30.0) -> T: ...
async def eventually(check: Callable[[], T | Awaitable[T]], timeout_s: float = 30.0) -> T:
    """The first truthy result of `check`, plain or async.

    A check that asserts counts as *not yet* too, and the last such assertion is the cause of the failure.
    Raises AssertionError after `timeout_s`.
    """
    refused: AssertionError | None = None
    result: object = None
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    result = check()
                    if inspect.isawaitable(result):
                        result = await result
                    refused = None
                except AssertionError as error:
                    refused = error
                if refused is None and result:
                    return cast("T", result)
                await asyncio.sleep(PAUSE_S)
    except TimeoutError:
        raise AssertionError(f"not within {timeout_s} s: {check!r}; last result: {result!r}") from refused
