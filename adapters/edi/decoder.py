"""The decoder of both formats: a file of interchanges → canonical events, or why not. Stateless."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from adapters.edi.config import EdiOptions
from adapters.edi.dialect import Dialect
from adapters.edi.entry import entry_of
from adapters.edi.events import document_events, fault, interchange_event
from adapters.edi.judgement import Judge
from canonical.errors import Invalid
from canonical.event import Event
from canonical.ledger import InterchangeEntry
from canonical.ports import RawMessage
from canonical.spec import FormatContext

__all__ = ["EdiDecoder"]


class EdiDecoder:
    """Interchanges of one standard. Each is taken as a whole or not at all; the others of its file stand."""

    def __init__(self, options: EdiOptions, context: FormatContext, dialect: Dialect) -> None:
        self._context = context
        self._judge = Judge(dialect, options, context.timezone, context.plant)

    def decode(self, state: bytes | None, raw: RawMessage) -> tuple[bytes | None, Iterable[Event | Invalid]]:
        """For each interchange: that it came in; then its documents' events, or its fault."""
        return state, (one for one in self._decoded(raw) if not isinstance(one, InterchangeEntry))

    def decode_entries(
        self, state: bytes | None, raw: RawMessage
    ) -> tuple[bytes | None, Iterable[Event | Invalid | InterchangeEntry]]:
        """The same, with the entry for the ledger before each interchange."""
        return state, self._decoded(raw)

    def _decoded(self, raw: RawMessage) -> Iterator[Event | Invalid | InterchangeEntry]:
        for judged in self._judge.judge(raw.body):
            event = interchange_event(judged, raw, self._context)
            if event is not None:
                yield entry_of(judged, event, raw)
                yield event
            if judged.accepted:
                yield from document_events(judged, raw, self._context)
            else:
                yield fault(judged)
