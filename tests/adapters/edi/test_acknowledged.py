"""What partners say of interchanges of ours."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast
from zoneinfo import ZoneInfo

import pytest

from adapters.edi import EDIFACT, X12
from canonical.ledger import Answer, InterchangeEntry
from canonical.ports import LedgerDecoder, RawMessage
from canonical.spec import FormatContext, FormatSpec


def entries(body: str, spec: FormatSpec) -> list[InterchangeEntry]:
    assert spec.decoder is not None
    context = FormatContext(
        adapter="inbox", source="/adapters/inbox", plant=None, partner="p", timezone=ZoneInfo("UTC")
    )
    decoder = spec.decoder(spec.config(), context)
    raw = RawMessage(
        adapter="inbox", id="m", body=body.encode(), received_at=datetime(2026, 3, 2, tzinfo=UTC)
    )
    return [
        one
        for one in cast(LedgerDecoder, decoder).decode_entries(None, raw)[1]
        if isinstance(one, InterchangeEntry)
    ]


def contrl(*body: str) -> str:
    segments = ["UNH+1+CONTRL:D:3:UN", *body, f"UNT+{len(body) + 2}+1"]
    return "'".join(["UNB+UNOC:3+THEM+US+260302:0930+9", *segments, "UNZ+1+9", ""])


def functional(*body: str, before: str = "") -> str:
    isa = f"ISA*00*{'':10}*00*{'':10}*ZZ*{'THEM':15}*ZZ*{'US':15}*260302*0930*U*00401*000000009*0*P*>"
    segments = ["ST*997*0001", *body, f"SE*{len(body) + 2}*0001"]
    group = ["GS*FA*THEM*US*20260302*0930*9*X*004010", *segments, "GE*1*9"] if body else []
    told = [before] if before else []
    return "~".join([isa, *told, *group, f"IEA*{1 if body else 0}*000000009", ""])


@pytest.mark.parametrize(
    ("segments", "outcome", "detail"),
    [
        (["UCI+0042+US+THEM+7", "UCM+1+ORDERS:D:96A:UN+7"], "accepted", ""),
        (["UCI+42+US+THEM+8"], "accepted", ""),
        (["UCI+42+US+THEM+4+23+UNB"], "rejected", "UCI 23"),
        (
            ["UCI+42+US+THEM+7", "UCM+1+ORDERS:D:96A:UN+4+12", "UCS+3+13"],
            "rejected",
            "UCM 1 12; UCS 3 13",
        ),
    ],
)
def test_a_contrl_answers_its_interchange(segments: list[str], outcome: str, detail: str) -> None:
    (entry,) = entries(contrl(*segments), EDIFACT)
    (answer,) = entry.answers
    assert answer == Answer(
        standard="edifact",
        sender="US",
        receiver="THEM",
        reference="42",
        outcome=outcome,  # type: ignore[arg-type]
        detail=detail,
    )


@pytest.mark.parametrize(
    ("segments", "outcome", "detail"),
    [
        (["AK1*PO*42", "AK2*850*0001", "AK5*A", "AK9*A*1*1*1"], "accepted", ""),
        (["AK1*PO*000000042", "AK9*E*1*1*1"], "accepted", ""),
        (["AK1*PO*42", "AK2*850*0001", "AK5*R*5", "AK9*R*1*1*0"], "rejected", "AK9 R; AK5 R 5"),
        (["AK1*PO*42"], "rejected", "AK9"),
    ],
)
def test_a_997_answers_its_group(segments: list[str], outcome: str, detail: str) -> None:
    (entry,) = entries(functional(*segments), X12)
    assert [(one.reference, one.outcome, one.detail) for one in entry.answers] == [("42", outcome, detail)]


def test_a_ta1_answers_only_by_refusing() -> None:
    (refusal,) = entries(functional(before="TA1*000000042*260302*0930*R*023"), X12)
    assert [(one.reference, one.outcome, one.detail) for one in refusal.answers] == [
        ("42", "rejected", "TA1 023")
    ]
    (receipt,) = entries(functional(before="TA1*000000042*260302*0930*A*000"), X12)
    assert receipt.answers == []


def test_one_that_names_nothing_answers_nothing() -> None:
    (entry,) = entries(contrl("UCI"), EDIFACT)
    assert (entry.accepted, entry.answers) == (True, [])
