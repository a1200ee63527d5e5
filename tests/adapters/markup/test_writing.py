"""What payloads are written as, and that it reads the same again."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from xml.parsers import expat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.markup import XML
from adapters.markup.config import XmlOptions
from adapters.markup.elements import records
from adapters.markup.parser import check_document
from canonical.errors import Invalid

HEAD = '<?xml version="1.0" encoding="utf-8"?>\n'


def write(payload: Any, **options: Any) -> bytes:
    assert XML.formatter is not None
    return XML.formatter(XmlOptions.model_validate({"root": "r", **options})).format(payload)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (None, "<r/>"),
        ("x", "<r>x</r>"),
        ({}, "<r/>"),
        ({"@a": 1, "#text": "x"}, '<r a="1">x</r>'),
        ({"@a": None, "b": None, "c": [], "d": [1, None]}, "<r><b/><d>1</d><d/></r>"),
        ({"b": {"@c": 'x"<&\n\t>', "#text": 'x"<&\n\r>'}},
         '<r><b c="x&quot;&lt;&amp;&#10;&#9;&gt;">x"&lt;&amp;\n&#13;&gt;</b></r>'),
        ({"a": [True, 1.5, 1e-7, Decimal("1E+3"), 2**70]},
         "<r><a>true</a><a>1.5</a><a>0.0000001</a><a>1000</a><a>1180591620717411303424</a></r>"),
        ({"t": datetime(2026, 7, 31, tzinfo=UTC), "d": date(2026, 7, 31)},
         "<r><t>2026-07-31T00:00:00Z</t><d>2026-07-31</d></r>"),
        ({"@xml:lang": "cs", "#text": "ř"}, '<r xml:lang="cs">ř</r>'),
    ],
)  # fmt: skip
def test_a_payload_is_a_document(payload: Any, text: str) -> None:
    assert write(payload).decode() == HEAD + text


def test_a_list_needs_a_name_for_its_elements() -> None:
    assert write([1, {"a": 2}], item="i").decode() == f"{HEAD}<r><i>1</i><i><a>2</a></i></r>"
    with pytest.raises(Invalid, match="name its elements with `item`"):
        write([1])


def test_namespaces_are_declared_on_the_root() -> None:
    options = {"root": "o:r", "namespaces": {"": "urn:d", "o": "urn:o&"}}
    assert write({"o:a": {"@o:b": 1}, "c": 2}, **options).decode() == (
        f'{HEAD}<o:r xmlns="urn:d" xmlns:o="urn:o&amp;"><o:a o:b="1"/><c>2</c></o:r>'
    )


@pytest.mark.parametrize(
    ("payload", "where", "told"),
    [
        ({"a b": 1}, "/a b", "is no name"),
        ({"": 1}, "/", "is no name"),
        ({"a><b": 1}, "/a><b", "is no name"),
        ({"p:a": 1}, "/p:a", "none of `namespaces`"),
        ({"@": 1}, "/@", "is no name"),
        ({"@xmlns": "urn:x"}, "/@xmlns", "declared with `namespaces`"),
        ({"a": {"@b": {}}}, "/a/@b", "no form in XML"),
        ({"a": [[1]]}, "/a/0", "a list within a list"),
        ({"a": "x\x01"}, "/a", "does not allow"),
        ({"a": "\ud800"}, "/a", "does not allow"),
        ({"a": float("nan")}, "/a", "no form in XML"),
        ({"a": Decimal("inf")}, "/a", "no form in XML"),
        ({"a": datetime(2026, 7, 31)}, "/a", "no form in XML"),  # noqa: DTZ001 -- that is the point
        ({"a": object()}, "/a", "no form in XML"),
        ({"ř": 1}, "/ř", "cannot write the name"),
    ],
)
def test_what_xml_cannot_say_is_refused(payload: Any, where: str, told: str) -> None:
    with pytest.raises(Invalid) as caught:
        write(payload, encoding="iso-8859-1")
    assert caught.value.errors[0][0] == where
    assert told in caught.value.message


def test_a_payload_that_nests_for_ever_is_refused() -> None:
    payload: dict[str, Any] = {}
    payload["a"] = payload
    with pytest.raises(Invalid, match="nests deeper than 64 levels"):
        write(payload)


@pytest.mark.parametrize(
    ("encoding", "label"),
    [
        ("cp1250", "windows-1250"),
        ("iso8859-2", "iso-8859-2"),
        ("latin1", "iso-8859-1"),
        ("utf-16", "utf-16"),
        ("ascii", "us-ascii"),
    ],
)
def test_the_encoding_is_declared_and_characters_it_lacks_are_numbers(encoding: str, label: str) -> None:
    body = write({"@a": "ř", "#text": "表"}, encoding=encoding)
    assert f'encoding="{label}"' in body.decode(encoding)
    assert list(records(body, XmlOptions())) == list(records(write({"@a": "ř", "#text": "表"}), XmlOptions()))


TEXTS = st.text(alphabet="ař&<>\"' \t\r\n]", min_size=1, max_size=8).filter(str.strip)
NAMES = st.sampled_from(["a", "b-1", "_c", "ř", "p:d"])
VALUES = st.recursive(
    st.none() | TEXTS,
    lambda inner: (
        st.dictionaries(NAMES, inner | st.lists(inner, min_size=2, max_size=3), min_size=1, max_size=3)
        | st.dictionaries(NAMES.map(lambda name: f"@{name}"), TEXTS, min_size=1, max_size=2)
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(VALUES, st.sampled_from(["utf-8", "utf-16", "cp1250"]))
def test_what_is_written_reads_the_same(payload: Any, encoding: str) -> None:
    options = XmlOptions.model_validate({"namespaces": {"p": "urn:p"}, "trim": False})
    body = write(payload, namespaces={"p": "urn:p"}, encoding=encoding)
    check_document(body, options)
    (found,) = records(body, options)
    assert not isinstance(found, Invalid)
    assert found.value == payload
    expat.ParserCreate().Parse(body, True)
