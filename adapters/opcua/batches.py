"""Service calls within a server's operation limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from asyncua import ua

from adapters.opcua.faults import Ended

__all__ = ["Batches"]

T = TypeVar("T")
R = TypeVar("R")

LARGEST: Final = 1000
TOO_MUCH: Final = frozenset(
    {
        ua.StatusCodes.BadEncodingLimitsExceeded,
        ua.StatusCodes.BadRequestTooLarge,
        ua.StatusCodes.BadResponseTooLarge,
        ua.StatusCodes.BadTcpMessageTooLarge,
        ua.StatusCodes.BadTooManyOperations,
    }
)


class Batches:
    """Splits operations into calls of at most ``size``; halves it when a server says that it is too much."""

    def __init__(self, limit: int | None) -> None:
        """``limit`` as the server states it; 0 and None mean that it states none."""
        self.size = min(limit or LARGEST, LARGEST)

    async def run(
        self, operations: Sequence[T], call: Callable[[list[T]], Awaitable[Sequence[R]]]
    ) -> list[R]:
        """One result per operation, in order."""
        results: list[R] = []
        while len(results) < len(operations):
            part = list(operations[len(results) : len(results) + self.size])
            try:
                answers = await call(part)
            except ua.UaStatusCodeError as error:
                if error.code not in TOO_MUCH or len(part) == 1:
                    raise
                self.size = len(part) // 2
                continue
            if len(answers) != len(part):
                raise Ended(f"{len(part)} operations got {len(answers)} results", code="protocol")
            results.extend(answers)
        return results
