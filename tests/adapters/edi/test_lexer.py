"""From text to segments: released characters, places, and that nothing is lost on the way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.edi.edifact.advice import DEFAULT, read_una
from adapters.edi.lexer import Cut, cuts, split, tokens
from adapters.edi.segment import Repeats, Segment
from adapters.edi.separators import Separators
from adapters.edi.x12.isa import read_isa

PLAIN = Separators(release="", component=">", element="*", terminator="~")
REPEATING = Separators(repetition="*")

# Everything but letters, so that separators, release characters and what looks like them are frequent.
TEXT = st.text(alphabet="?'+:*~^ ab1\u00fc", max_size=8)
ELEMENT = TEXT | st.lists(TEXT, min_size=2, max_size=3)


def released(text: str, by: Separators) -> str:
    special = {by.component, by.element, by.release, by.terminator, by.repetition} - {""}
    return "".join(f"{by.release}{character}" if character in special else character for character in text)


def written(tag: str, elements: list[str | list[str]], by: Separators) -> str:
    parts = [
        released(element, by)
        if isinstance(element, str)
        else by.component.join(released(c, by) for c in element)
        for element in elements
    ]
    return by.element.join([tag, *parts]) + by.terminator


@given(
    st.lists(st.lists(ELEMENT, max_size=4), max_size=5),
    st.sampled_from([DEFAULT, REPEATING, read_una("UNA=*,! ~"), read_una("UNA:+.?*'")]),
)
def test_what_is_joined_is_split_again(segments: list[list[str | list[str]]], by: Separators) -> None:
    text = "".join(written("FTX", elements, by) for elements in segments)
    found = list(tokens(text, 0, len(text), by, str, 7))
    assert [segment.elements for segment in found] == segments
    assert [segment.position for segment in found] == list(range(7, 7 + len(segments)))
    assert all(text.startswith("FTX", segment.offset) for segment in found)


@given(st.text(alphabet="?'+: \n\rAB", max_size=60))
def test_cuts_cover_everything_but_blanks_and_terminators(text: str) -> None:
    at = 0
    for cut in cuts(text, 0, len(text), DEFAULT):
        assert not text[at : cut.start].strip()
        assert cut.stop >= cut.start
        at = cut.stop + 1
    assert not text[at:].strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A+1'B+2'", [Cut(0, 3), Cut(4, 7)]),
        ("A+1''B'", [Cut(0, 3), Cut(4, 4), Cut(5, 6)]),
        (" \r\nA'\n\x1a\x00", [Cut(3, 4)]),
        ("A?'B'", [Cut(0, 4)]),
        ("A??'B'", [Cut(0, 3), Cut(4, 5)]),
        ("A???'B'", [Cut(0, 6)]),
        ("A+1", [Cut(0, 3, False)]),
        ("A?'", [Cut(0, 3, False)]),
        ("", []),
    ],
)
def test_a_released_terminator_ends_nothing(text: str, expected: list[Cut]) -> None:
    assert list(cuts(text, 0, len(text), DEFAULT)) == expected


@pytest.mark.parametrize(
    ("raw", "elements"),
    [
        ("A", []),
        ("A+", [""]),
        ("A++x", ["", "x"]),
        ("A+a:b", [["a", "b"]]),
        ("A+a:", [["a", ""]]),
        ("A+::b", [["", "", "b"]]),
        ("A+a?+b?:c??", ["a+b:c?"]),
        ("A+????", ["??"]),
        ("A+?", [""]),
        ("A+a\r\nb+c\nd", ["ab", "cd"]),
    ],
)
def test_a_segment_is_taken_apart(raw: str, elements: list[object]) -> None:
    assert split(raw, DEFAULT, str) == ("A", elements)


def test_repetitions_are_told_from_components() -> None:
    tag, elements = split("PIA+1+a:X*b:Y+c?*d", REPEATING, str)
    assert (tag, elements) == ("PIA", ["1", Repeats([["a", "X"], ["b", "Y"]]), "c*d"])
    segment = Segment(tag, elements, 1, 0)
    assert (segment.text(2), segment.text(2, 2), segment.components(2)) == ("a", "X", ["a", "X"])


def test_without_a_release_character_none_is_special() -> None:
    assert split("N1*ST*What?*a>b", PLAIN, str) == ("N1", ["ST", "What?", ["a", "b"]])


def test_text_beyond_ascii_is_decoded_where_it_stands() -> None:
    seen: list[str] = []

    def decode(text: str) -> str:
        seen.append(text)
        return text.encode("iso8859-1").decode()

    assert split("NAD+SU+M\u00c3\u00bcller?+A", DEFAULT, decode)[1] == ["SU", "M\u00fcller+A"]
    assert seen == ["M\u00c3\u00bcller+A"]


@pytest.mark.parametrize(
    ("element", "component", "expected"),
    [(1, 1, "a"), (1, 2, ""), (2, 1, "b"), (2, 2, "c"), (2, 3, ""), (3, 1, ""), (9, 1, "")],
)
def test_what_is_not_there_is_empty_text(element: int, component: int, expected: str) -> None:
    assert Segment("X", ["a", ["b", "c"]], 1, 0).text(element, component) == expected


@pytest.mark.parametrize(
    ("una", "fault"),
    [
        ("UNA:+.", "cut off"),
        ("UNA::.? '", "two meanings"),
        ("UNA:+.?'\n", "fewer than six"),
        ("UNAa+.? '", "a letter"),
        ("UNA:+.?  ", "a space"),
    ],
)
def test_a_una_that_cannot_work_is_told(una: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        read_una(una)


def test_a_una_without_release_character() -> None:
    by = read_una("UNA:+.  '")
    assert by.release == ""
    assert split("A+what?+b", by, str) == ("A", ["what?", "b"])
    assert DEFAULT.una == "UNA:+.? '"


ISA = (
    "ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *260302*0930*{}*{}*000000001*0*P*>~"
)


@pytest.mark.parametrize(
    ("eleventh", "version", "repetition"),
    [("U", "00401", ""), ("^", "00401", ""), ("^", "00402", "^"), ("U", "00501", ""), ("*", "00501", "")],
)
def test_isa_11_is_a_separator_from_00402_on(eleventh: str, version: str, repetition: str) -> None:
    text = ISA.format(eleventh, version)
    if eleventh == "*":
        text = text.replace("***", "*^*").replace("*^*00501", "***00501")
        with pytest.raises(ValueError, match=r"cannot separate|two meanings"):
            read_isa(text, 0)
        return
    isa = read_isa(text, 0)
    assert isa.separators.repetition == repetition
    assert (isa.size, isa.fixed, isa.elements[5]) == (106, True, "SENDER         ")


def test_an_isa_without_padding_is_read_by_counting() -> None:
    text = "xxISA|00||00||ZZ|ME|ZZ|YOU|260302|0930|U|00401|1|0|P|:\nGS|"
    isa = read_isa(text, 2)
    assert not isa.fixed
    assert text[2 + isa.size :] == "GS|"
    assert (isa.separators.component, isa.separators.terminator) == (":", "\n")


@pytest.mark.parametrize(
    "text", ["ISA", "ISA*", "ISA 00", "ISAx00", "ISA*00*1", ISA.format("U", "00401")[:105], ISA[:-2] + "*~"]
)
def test_an_isa_that_says_nothing_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="ISA"):
        read_isa(text.format("U", "00401"), 0)
