"""pydifact as an oracle, and what it gets wrong: each of its faults is one that we do not have.

When one of the tests of its faults fails, pydifact has learnt something; the interchange layer stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydifact import Characters, Parser, Serializer
from pydifact import Segment as Theirs
from pydifact.exceptions import EDISyntaxError

from adapters.edi.config import EdifactOptions
from adapters.edi.edifact.advice import DEFAULT
from adapters.edi.edifact.file import interchanges
from adapters.edi.lexer import split, tokens
from adapters.edi.report import read
from adapters.edi.segment import Element, Repeats
from tests.adapters.edi.corpus import require
from tests.adapters.edi.samples import FOLDER, samples

pytestmark = pytest.mark.filterwarnings("ignore")  # it warns of directories that it does not ship

UNA = "UNA:+.? '"
HEAD = "UNB+UNOC:3+A+B+260302:0930+{}'"
MESSAGE = "UNH+1+ORDERS:D:96A:UN'BGM+220+{}+9'UNT+3+1'"


def theirs(text: str) -> list[tuple[str, list[object]]]:
    """The segments by pydifact, without UNA."""
    return [(one.tag, list(one.elements)) for one in Parser().parse(text) if one.tag != "UNA"]


def bodies() -> Iterator[tuple[str, bytes]]:
    for name in samples():
        if not name.startswith("x12"):
            yield name, (FOLDER / name / "input.edi").read_bytes()


def trimmed(element: object) -> object:
    """An element as pydifact gives it: without empty components at its end."""
    if not isinstance(element, list) or isinstance(element, Repeats):
        return element
    kept = list(element)
    while kept and not kept[-1]:
        kept.pop()
    return "" if not kept else kept[0] if len(kept) == 1 else kept


def compare(body: bytes) -> int:
    """Holds every message of a file against pydifact, one at a time, under the UNA that it has."""
    compared = 0
    for interchange in interchanges(body, EdifactOptions()):
        if interchange.findings.failed or interchange.version.endswith(":4"):
            continue  # it knows no repetitions
        for message in interchange.messages:
            ours = list(interchange.tokens(message))
            una = Characters.from_str(una_of(body))
            text = Serializer(una).serialize([Theirs(one.tag, *plain(one.elements)) for one in ours])
            assert theirs(text) == [(one.tag, [trimmed(e) for e in one.elements]) for one in ours]
            compared += len(ours)
    return compared


def una_of(body: bytes) -> str:
    at = body.find(b"UNA")
    return body[at : at + 9].decode() if at >= 0 else UNA


def plain(elements: Sequence[Element]) -> list[str | list[str]]:
    """Elements as pydifact takes them; it knows no repetitions."""
    return [one for one in elements if not isinstance(one, Repeats)]


def test_messages_of_samples_are_what_pydifact_reads() -> None:
    compared = {name: compare(body) for name, body in bodies()}
    assert sum(map(bool, compared.values())) > 20


def test_messages_of_the_corpus_are_what_pydifact_reads() -> None:
    assert sum(compare(file.read_bytes()) for file in sorted(require("edi").glob("edifact_*.edi"))) > 400


@given(
    st.lists(
        st.lists(
            st.text(alphabet="?'+: aB1ü", min_size=1)
            | st.lists(st.text(alphabet="?'+: aB1ü", min_size=1), min_size=2, max_size=3),
            min_size=1,
            max_size=4,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_what_pydifact_writes_we_read(segments: list[list[str | list[str]]]) -> None:
    text = Serializer(Characters.from_str(UNA)).serialize([Theirs("FTX", *one) for one in segments])
    raw = text[len(UNA) :].encode().decode("iso8859-1")
    found = tokens(raw, 0, len(raw), DEFAULT, lambda one: one.encode("iso8859-1").decode(), 1)
    assert [segment.elements for segment in found] == segments


# ── what it gets wrong, and we do not ───────────────────────────────────────────────────────────


def ours(text: str) -> list[tuple[str, str]]:
    """(reference, numbers of the orders) of the interchanges that we find, and all error codes."""
    return [
        (
            one.reference,
            " ".join(
                segment.text(2) for m in one.messages for segment in one.tokens(m) if segment.tag == "BGM"
            ),
        )
        for one in interchanges(text.encode(), EdifactOptions())
    ]


def codes(text: str) -> set[str]:
    return {finding.code for finding in read(text.encode()).findings}


def interchange(reference: str, order: str) -> str:
    return HEAD.format(reference) + MESSAGE.format(order) + f"UNZ+1+{reference}'"


def test_the_first_of_two_interchanges_is_not_dropped_when_only_the_second_has_a_una() -> None:
    text = interchange("1", "PO-1") + UNA + interchange("2", "PO-2")
    assert [elements[1] for tag, elements in theirs(text) if tag == "BGM"] == ["PO-2"]  # pydifact drops PO-1
    assert ours(text) == [("1", "PO-1"), ("2", "PO-2")]


def test_two_interchanges_without_una_are_not_merged() -> None:
    assert ours(interchange("1", "PO-1") + interchange("2", "PO-2")) == [("1", "PO-1"), ("2", "PO-2")]


def test_two_interchanges_may_each_have_a_una() -> None:
    assert ours(UNA + interchange("1", "PO-1") + UNA + interchange("2", "PO-2")) == [
        ("1", "PO-1"),
        ("2", "PO-2"),
    ]


def test_una_in_the_data_is_data() -> None:
    text = interchange("1", "PO?'UNA:+.? X")
    with pytest.raises(EDISyntaxError):
        theirs(text)  # pydifact begins anew behind it
    assert ours(text) == [("1", "PO'UNA")]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (interchange("1", "X").replace("UNT+3", "UNT+4"), "segment_count"),
        (interchange("1", "X").replace("UNT+3+1", "UNT+3+2"), "message_reference"),
        (interchange("1", "X").replace("UNZ+1", "UNZ+2"), "interchange_count"),
        (interchange("1", "X").replace("UNZ+1+1", "UNZ+1+2"), "interchange_reference"),
        (interchange("1", "X").replace("UNZ+1+1'", ""), "interchange_trailer_missing"),
    ],
)
def test_counts_references_and_missing_trailers_are_noticed(text: str, code: str) -> None:
    theirs(text)  # pydifact reads it without a word
    assert code in codes(text)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + interchange("1", "X"),
        "\n" + interchange("1", "X"),
        interchange("1", "X").replace("BGM", "'BGM"),
        interchange("1", "X") + "\x1a",
        HEAD.format("1")
        + "UNG+ORDERS+A+B+260302:0930+1+UN+D:96A'"
        + MESSAGE.format("X")
        + "UNE+1+1'UNZ+1+1'",
    ],
    ids=["byte order mark", "leading line feed", "empty segment", "trailing ^Z", "UNG group"],
)
def test_what_pydifact_refuses_is_read(text: str) -> None:
    assert ours(text) == [("1", "X")]
    assert not codes(text) & {"segment_tag", "segment_outside", "no_interchange"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "no_interchange"),
        (interchange("1", "X").replace("+ORDERS:D:96A:UN", ""), "message_header"),
        (interchange("1", "X").replace("UNOC:3", "UNOC"), "interchange_header"),
        (HEAD.format("1") + "UNH'UNT'UNZ'", "message_header"),
    ],
)
def test_what_makes_pydifact_crash_is_a_finding(text: str, code: str) -> None:
    assert code in codes(text)


def test_line_breaks_of_wrapping_are_no_data() -> None:
    assert theirs(f"{UNA}BGM+220+PO-\n1'")[0][1][1] == "PO-\n1"  # pydifact leaves them in
    assert split("BGM+220+PO-\n1", DEFAULT, str)[1] == ["220", "PO-1"]


def test_empty_components_at_the_end_do_not_vanish() -> None:
    assert theirs(f"{UNA}NAD+BY+A:'")[0][1] == ["BY", "A"]  # pydifact makes them vanish
    assert split("NAD+BY+A:", DEFAULT, str)[1] == ["BY", ["A", ""]]
