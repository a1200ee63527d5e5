"""The outcomes of one ``send`` as they come in."""

from __future__ import annotations

from collections.abc import Sequence

from canonical.errors import CrossplantError
from canonical.ports import Accepted, Delivery, Failed, NotTried, SinkOutcome, Unknown

__all__ = ["Report"]


class Report:
    """Deliveries, which of them were sent, and what became of each."""

    def __init__(self, deliveries: Sequence[Delivery]) -> None:
        self.deliveries = deliveries
        self._outcomes: list[SinkOutcome | None] = [None] * len(deliveries)
        self._sent = [False] * len(deliveries)
        self.failed: set[str] = set()
        """Keys of deliveries that did not arrive."""

    def sent(self, index: int, *, surely_not: bool = False) -> None:
        """The delivery is on its way, or may be; or turned out not to be."""
        self._sent[index] = not surely_not

    def all_sent(self) -> None:
        """Every delivery is on its way."""
        self._sent = [True] * len(self.deliveries)

    def all_accepted(self, accepted: Accepted) -> None:
        """Every delivery has arrived; none of them had an outcome yet."""
        self._outcomes = [accepted] * len(self.deliveries)

    def settle(self, index: int, outcome: SinkOutcome) -> None:
        """The first outcome of a delivery stays."""
        if self._outcomes[index] is None:
            self._outcomes[index] = outcome
            if not isinstance(outcome, Accepted):
                self.failed.add(self.deliveries[index].key)

    def held_back(self, index: int) -> bool:
        """Whether an earlier delivery of the same key is known to have failed."""
        return self.deliveries[index].key in self.failed

    def open(self) -> list[int]:
        """Those sent without an outcome."""
        return [index for index, sent in enumerate(self._sent) if sent and self._outcomes[index] is None]

    def blame(self, culprit: int, error: CrossplantError) -> None:
        """The broker stopped at this one: what was sent before may have arrived, what came after has not."""
        self.settle(culprit, Failed(error))
        for index in self.open():
            self.settle(index, Unknown(error) if index < culprit else NotTried())

    def give_up(self, error: CrossplantError) -> None:
        """Settles the rest: Unknown for what was sent, NotTried for what was not, Failed if nothing was."""
        any_sent = any(self._sent)
        for index, sent in enumerate(self._sent):
            if sent:
                self.settle(index, Unknown(error))
            else:
                self.settle(index, NotTried() if any_sent else Failed(error))

    def outcomes(self) -> list[SinkOutcome]:
        """One per delivery, in order; what has none yet is NotTried."""
        return [NotTried() if outcome is None else outcome for outcome in self._outcomes]
