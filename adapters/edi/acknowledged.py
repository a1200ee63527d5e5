"""What a partner's acknowledgement says of interchanges of ours: CONTRL, 997, 999, and a TA1 that refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal

from adapters.edi.interchange import Interchange, Message
from adapters.edi.segment import Segment
from canonical.ledger import Answer

__all__ = ["READ", "answers_of"]

Segments = Iterator[Segment]
Said = tuple[str, Literal["accepted", "rejected"], str]
"""(reference, outcome, detail)."""

_REFUSED: Final = "4"
_MOST_DETAILS: Final = 5


def answers_of(interchange: Interchange, message: Message, segments: Segments) -> Iterator[Answer]:
    """The answers of one message, each also noted as a finding; they go to who the message is for."""
    for reference, outcome, detail in READ[message.type](segments):
        number = reference.lstrip("0")
        if not number:
            interchange.findings.warning(
                "acknowledgement", f"{message.type} names no interchange", message.place
            )
            continue
        text = f"{message.type} answers {number}: {outcome}{f', {detail}' if detail else ''}"
        interchange.findings.info("acknowledgement", text, message.place)
        yield Answer(
            standard=interchange.standard,
            sender=interchange.receiver,
            receiver=interchange.sender,
            reference=number,
            outcome=outcome,
            detail=detail,
        )


def _contrl(segments: Segments) -> Iterator[Said]:
    """UCI speaks for the interchange; a UCM or UCF that refuses is enough to refuse it."""
    reference, refused = "", []
    for segment in segments:
        match segment.tag:
            case "UCI":
                reference = segment.text(1)
                if segment.text(4) == _REFUSED:
                    refused.append(f"UCI {segment.text(5)}".strip())
            case "UCF" if segment.text(4) == _REFUSED:
                refused.append(f"UCF {segment.text(1)} {segment.text(5)}".strip())
            case "UCM" if segment.text(3) == _REFUSED:
                refused.append(f"UCM {segment.text(1)} {segment.text(4)}".strip())
            case "UCS" | "UCD" if refused:
                refused.append(f"{segment.tag} {segment.text(1)} {segment.text(2)}".strip())
            case _:
                pass
    yield _said(reference, refused)


def _functional(segments: Segments) -> Iterator[Said]:
    """997, 999: one group (AK1 … AK9); A and E accept it."""
    reference, refused, verdict = "", [], ""
    for segment in segments:
        match segment.tag:
            case "AK1":
                reference = segment.text(2)
            case "AK5" | "IK5" if segment.text(1) not in ("A", "E"):
                refused.append(f"{segment.tag} {' '.join(filter(None, _texts(segment)))}")
            case "AK9":
                verdict = segment.text(1)
            case _:
                pass
    if verdict not in ("A", "E"):
        refused.insert(0, f"AK9 {verdict}".strip())
    yield _said(reference, refused)


def _receipt(segments: Segments) -> Iterator[Said]:
    """TA1: only a refusal answers; that it arrived says nothing of its content."""
    for segment in segments:
        if segment.tag == "TA1" and segment.text(4) == "R":
            yield segment.text(1), "rejected", f"TA1 {segment.text(5)}".strip()


def _said(reference: str, refused: list[str]) -> Said:
    return reference, "rejected" if refused else "accepted", "; ".join(refused[:_MOST_DETAILS])


def _texts(segment: Segment) -> Iterator[str]:
    return (segment.text(at) for at in range(1, len(segment.elements) + 1))


READ: Final[Mapping[str, Callable[[Segments], Iterator[Said]]]] = {
    "CONTRL": _contrl,
    "997": _functional,
    "999": _functional,
    "TA1": _receipt,
}
"""How each of these is read, by message type."""
