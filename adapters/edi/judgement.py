"""The judgement of an interchange: what it says, as documents, or that it cannot be taken, and why.

An interchange is taken as a whole or not at all: one error anywhere, and no document of it counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from adapters.edi import acknowledged
from adapters.edi.config import EdiOptions
from adapters.edi.dialect import Dialect
from adapters.edi.finding import Findings, Lines, Severity
from adapters.edi.interchange import Interchange, Message
from adapters.edi.reading import Document, Reading
from canonical import catalogue
from canonical.ledger import Answer

__all__ = ["Judge", "Judged"]

_MOST_FAULTY: Final = 200
"""Rejected interchanges of one file, after which the rest of it is not read: rubbish could hold millions."""


class Judged(Struct, kw_only=True):
    """An interchange with its documents, each with the message that it is from; none if it is rejected.

    ``answers`` are what it says of interchanges of ours.
    """

    interchange: Interchange
    documents: list[tuple[Message, Document]]
    answers: list[Answer] = field(default_factory=list)

    @property
    def accepted(self) -> bool:
        """Whether it can be taken."""
        return not self.interchange.findings.failed


class Judge:
    """Judges the interchanges of files of one standard, by the agreement with one partner."""

    def __init__(
        self,
        dialect: Dialect,
        options: EdiOptions,
        zone: ZoneInfo,
        plant: str | None = None,
        *,
        unmapped: Severity = "error",
    ) -> None:
        """``unmapped`` is how bad a message is of which no event can be made."""
        self._dialect, self._options = dialect, options
        self._zone, self._plant, self._unmapped = zone, plant, unmapped

    def judge(self, body: bytes) -> Iterator[Judged]:
        """Every interchange of a file, in order; stretches of the file that are none are rejected ones."""
        if len(body) > self._options.max_size:
            text = f"the file has {len(body):,} bytes, at most {self._options.max_size:,} are read"
            yield self._refused("too_large", text)
            return
        known: set[str] = set()
        faulty = 0
        for interchange in self._dialect.interchanges(body, self._options):
            if interchange.identified:
                if interchange.identity in known:
                    text = f"interchange {interchange.reference!r} is there twice in this file"
                    interchange.findings.error("interchange_repeated", text, interchange.place)
                known.add(interchange.identity)
            answers: list[Answer] = []
            documents = list(self._documents(interchange, answers))
            rejected = interchange.findings.failed
            yield Judged(interchange=interchange, documents=[] if rejected else documents, answers=answers)
            faulty += rejected
            if faulty >= _MOST_FAULTY:
                text = f"{faulty} interchanges of the file cannot be taken; what follows is not read"
                yield self._refused("too_many_faults", text)
                return

    def _refused(self, code: str, text: str) -> Judged:
        """Stands for what is not read at all."""
        findings = Findings(Lines(""))
        findings.error(code, text)
        return Judged(
            interchange=Interchange(standard=self._dialect.standard, findings=findings), documents=[]
        )

    def _documents(
        self, interchange: Interchange, answers: list[Answer]
    ) -> Iterator[tuple[Message, Document]]:
        for message in interchange.messages:
            if message.end == message.start:
                continue  # it has no end, which is told already
            if message.type in acknowledged.READ:
                answers += acknowledged.answers_of(interchange, message, interchange.tokens(message))
                continue
            segments = self._dialect.checked(interchange, message, self._options)
            mapper = self._dialect.mappers.get(message.type)
            if message.type in self._options.ignore or mapper is None:
                self._tell_unmapped(interchange, message)
            else:
                reading = Reading(interchange, message, self._options, self._zone, self._plant)
                for document in mapper(reading, segments):
                    _validate(document, reading)
                    yield message, document
            for _ in segments:  # what no mapper had use for is held against the directory, too
                pass

    def _tell_unmapped(self, interchange: Interchange, message: Message) -> None:
        """Notes a message that gives no event, on purpose or because nobody knows how."""
        if message.type in self._options.ignore:
            text = f"message {message.type} is ignored, as agreed"
            interchange.findings.info("message_type_ignored", text, message.place)
        elif message.type:
            text = f"no mapping for message type {message.type}; `ignore` in the options lets it pass"
            interchange.findings.add(self._unmapped, "message_type_unmapped", text, message.place)


def _validate(document: Document, reading: Reading) -> None:
    """Notes what the catalogue refuses. What is not there at all was told where it is missing."""
    document.data = {name: value for name, value in document.data.items() if value is not None}
    told = reading.interchange.findings.failed
    for violation in catalogue.validate(document.suffix, document.data):
        if not (told and violation.detail == "is missing"):
            reading.note("error", "mapping", f"{violation.pointer} {violation.detail}", document.place)
