"""What elements are read as, and what is refused; the golden folders have whole documents."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.markup import XML
from adapters.markup.config import XmlOptions
from adapters.markup.elements import records
from adapters.markup.parser import check_document
from canonical.errors import Invalid
from canonical.event import Event
from tests.adapters.tabular.golden import CONTEXT, message

RULES = [
    {"when": "payload == 'ignored'", "ignore": True},
    {
        "type": "inventory.adjusted",
        "data": {
            "location": {"plant": "'brno'", "storage": "'A'"},
            "item": "payload.a",
            "delta": {"value": "payload.b", "uom": "'KGM'"},
            "reason": {"code": "string(message.line) + '/' + string(message.record)"},
            "posted_at": "message.received_at",
        },
    },
]


def read(body: bytes | str, **options: Any) -> list[Any]:
    """The values of the records, and what is told of the others, or of the document."""
    parsed = XmlOptions.model_validate(options)
    octets = body if isinstance(body, bytes) else body.encode()
    try:
        check_document(octets, parsed)
        return [one.message if isinstance(one, Invalid) else one.value for one in records(octets, parsed)]
    except Invalid as fault:
        return [f"{fault.code}: {fault.message}"]


def decode(body: bytes, **options: Any) -> list[Event | Invalid]:
    assert XML.decoder is not None
    decoder = XML.decoder(XmlOptions.model_validate({"events": RULES, **options}), CONTEXT)
    state, found = decoder.decode(b"as it was", message(body))
    assert state == b"as it was"
    return list(found)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("<a/>", None),
        ("<a></a>", None),
        ("<a> x </a>", "x"),
        ("<a>x<!-- y --><?z?>w</a>", "xw"),
        ("<a b='1'/>", {"@b": "1"}),
        ("<a b='1'>x</a>", {"@b": "1", "#text": "x"}),
        ("<a>\n <b>1</b>\n <c/>\n</a>", {"b": "1", "c": None}),
        ("<a><b>1</b><b/><b>3</b></a>", {"b": ["1", None, "3"]}),
        ("<a>x<b>1</b>y</a>", {"b": "1", "#text": "xy"}),
        ("<a>&lt;&amp;&#x17e;<![CDATA[<b>]]></a>", "<&ž<b>"),
        ("<a b='&quot;&#10;'/>", {"@b": '"\n'}),
        ("<a xml:lang='cs'>x</a>", {"@xml:lang": "cs", "#text": "x"}),
        ("<a xmlns:i='http://www.w3.org/2001/XMLSchema-instance' i:nil='true'/>", None),
        ("\ufeff<a>x</a>", "x"),
    ],
)
def test_an_element_is_a_value(body: str, value: Any) -> None:
    assert read(body) == [value]


def test_lists_and_blanks_are_options() -> None:
    assert read("<a><b>1</b><c/></a>", lists=["b", "c"]) == [{"b": ["1"], "c": [None]}]
    assert read("<a><b> 1 </b><c> </c></a>", trim=False) == [{"b": " 1 ", "c": None}]


NAMES = """<r:root xmlns:r="urn:r" xmlns="urn:d"><x r:at="1" at="2"/><y xmlns="urn:e"/></r:root>"""


def test_names_are_local_or_have_our_prefixes() -> None:
    assert read(NAMES) == [{"x": {"@at": "2"}, "y": None}]
    assert read(NAMES, namespaces={"": "urn:d", "q": "urn:r"}) == [
        {"x": {"@q:at": "1", "@at": "2"}, "{urn:e}y": None}
    ]
    assert read(NAMES, namespaces={"q": "urn:r", "": "urn:d"}, records="/q:root/x") == [
        {"@q:at": "1", "@at": "2"}
    ]
    assert "unbound prefix" in read("<a:b/>")[0]


TREE = "<a><b><c>1</c></b><c>2</c><b><d><c>3</c><b><c>4</c></b></d></b></a>"


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("c", ["2"]),
        ("./c", ["2"]),
        ("b/c", ["1"]),
        ("*/c", ["1"]),
        ("*", [{"c": "1"}, "2", {"d": {"c": "3", "b": {"c": "4"}}}]),
        (".//c", ["1", "2", "3", "4"]),
        ("//c", ["1", "2", "3", "4"]),
        ("b//c", ["1", "3", "4"]),
        (".//b/c", ["1", "4"]),
        (".//d/*", ["3", {"c": "4"}]),
        ("/a/c", ["2"]),
        ("/*/b/d", [{"c": "3", "b": {"c": "4"}}]),
        ("/b", []),
        ("a", []),
        ("/a/b", [{"c": "1"}, {"d": {"c": "3", "b": {"c": "4"}}}]),
        (".//b", [{"c": "1"}, {"d": {"c": "3", "b": {"c": "4"}}}]),
    ],
)
def test_records_are_found_by_their_path(path: str, values: list[Any]) -> None:
    assert read(TREE, records=path) == values


def test_the_root_may_be_found_anywhere() -> None:
    assert read("<c>1</c>", records="//c") == ["1"]
    assert read("<c>1</c>", records="/c") == ["1"]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-16", "iso-8859-2", "windows-1250", "cp852", "ISO8859-2", "UTF-16LE"]
)
def test_the_declaration_tells_the_encoding(encoding: str) -> None:
    body = f'<?xml version="1.0" encoding="{encoding}"?><a>řeč</a>'
    mark = b"\xff\xfe" if encoding == "UTF-16LE" else b""
    assert read(mark + body.encode(encoding)) == ["řeč"]


def test_what_the_declaration_says_can_be_overruled() -> None:
    body = '<?xml version="1.0" encoding="UTF-8"?><a>řeč</a>'.encode("cp1250")
    assert read(body)[0].startswith("not_xml: not XML: line 1 column 4")
    assert read(body, encoding="cp1250") == ["řeč"]


@pytest.mark.parametrize(
    "encoding", ["unicode_escape", "idna", "rot13", "utf-7", "shift_jis", "cp037", "x-none", "zip", "utf-32"]
)
def test_other_encodings_are_told(encoding: str) -> None:
    (found,) = read(f'<?xml version="1.0" encoding="{encoding}"?><a>x</a>')
    assert found.startswith("encoding: ")


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "body",
    [
        f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]><a>&l9;</a>',
        f'<!DOCTYPE a [<!ENTITY q "{"x" * 50_000}">]><a>{"&q;" * 10_000}</a>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:1/x.dtd">%x;]><a/>',
        '<!DOCTYPE a [<!ATTLIST a b CDATA "x">]><a/>',
        '<!DOCTYPE a [<!NOTATION n SYSTEM "n">]><a/>',
        "<!DOCTYPE a []><a/>",
    ],
)
def test_declarations_are_refused_before_they_cost(body: str) -> None:
    began = time.process_time()
    for doctype in ("refuse", "skip"):
        (found,) = read(body, doctype=doctype)
        assert found.startswith("doctype: not read: line 1 column ")
    assert time.process_time() - began < 1


def test_a_dtd_may_be_named_and_is_never_fetched() -> None:
    body = '<!DOCTYPE cXML SYSTEM "http://127.0.0.1:1/cXML.dtd"><cXML>%s</cXML>'
    assert read(body % "x")[0].startswith("doctype: ")
    assert read(body % "x", doctype="skip") == ["x"]
    assert "the entity &nbsp; is not declared" in read(body % "&nbsp;", doctype="skip")[0]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("", "no element found"),
        ("not xml", "line 1 column 1: syntax error"),
        ("<a>\n  <b></a>", "line 2 column 8: mismatched tag"),
        ("<a>", "no element found"),
        ("<a/><b/>", "line 1 column 5: junk after document element"),
        ("<a>&nbsp;</a>", "undefined entity"),
        ("<a>&#0;</a>", "reference to invalid character number"),
        ("<a>\0</a>", "invalid token"),
        ("<a b='1' b='2'/>", "duplicate attribute"),
        (b"<a>\xff</a>", "line 1 column 4"),
        (b"\x00\x01\x02", "not XML"),
    ],
)
def test_what_is_no_xml_is_told_with_its_place(body: bytes | str, told: str) -> None:
    (found,) = read(body)
    assert found.startswith("not_xml: ")
    assert told in found


def test_limits_are_told() -> None:
    assert "at most 5 are allowed" in read("<a>xxx</a>", max_size="5B")[0]
    assert read("<a>" * 64 + "</a>" * 64)[0] is not None
    assert "deeper than 64 levels" in read("<a>" * 65 + "</a>" * 65)[0]
    assert "line 1 column 4: elements nest deeper than 1 levels" in read("<a><b/></a>", max_depth=1)[0]
    many = " ".join(f"a{n}=''" for n in range(5))
    assert "more than 4 attributes" in read(f"<a {many}/>", max_attributes=4)[0]
    assert "attributes have more than" in read(f"<a b='{'x' * 1_100_000}'/>")[0]


def test_a_record_that_is_too_large_costs_only_itself() -> None:
    body = "<a>\n<b><c/></b>\n<b><c/><c><d/></c></b>\n<b>x</b></a>"
    assert read(body, records="b", max_elements=2) == [
        {"c": None},
        "line 3: the record has more than 2 elements and attributes",
        "x",
    ]


def test_a_document_of_many_pieces_is_read() -> None:
    body = "<a>" + "<b>řeč</b>" * 200_000 + "</a>"
    assert len(body.encode()) > 2_000_000
    found = read(body, records="b")
    assert len(found) == 200_000
    assert set(found) == {"řeč"}


def test_events_have_the_number_of_their_record() -> None:
    body = b"<r>\n<x><a>i</a><b>1</b></x>\n<x>ignored</x><x><a>j</a><b>1,5</b></x>\n</r>"
    event, fault = decode(body, records="x")
    assert isinstance(event, Event)
    assert (event.id, event.data["reason"]) == ("m-1-1", {"code": "2/1"})
    assert isinstance(fault, Invalid)
    assert fault.message.startswith("record 3 (line 3): events[1]: /data/delta/value: ")
    (event,) = decode(b"<x><a>i</a><b>1</b></x>")
    assert isinstance(event, Event)
    assert event.id == "m-1"


def test_a_document_without_records_is_invalid_or_ignored() -> None:
    (fault,) = decode(b"<r/>", records="x")
    assert isinstance(fault, Invalid)
    assert fault.code == "no_records"
    assert decode(b"<r/>", records="x", no_records="ignore") == []


def test_faults_are_told_one_by_one_up_to_a_number() -> None:
    found = decode(b"<r>" + b"<x/>" * 10 + b"</r>", records="x", max_faults=2)
    assert [str(one) for one in found[2:]] == ["8 more faults, told by number only, since `max_faults` is 2"]


PARTS = [
    *("<a>", "</a>", "<b c='d'>", "</b>", "<a/>", "x", "&amp;", "&z;", "<![CDATA[", "]]>", "<!--", "-->"),
    *("<?xml version='1.0' encoding='cp1250'?>", "<!DOCTYPE a>", "\0", "ř", " xmlns:p='u'", "<p:a>", "\r\n"),
]


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=60)
    | st.lists(st.sampled_from(PARTS), max_size=12).map(lambda parts: "".join(parts).encode()),
    st.sampled_from([".", "a", ".//b", "/a/*"]),
    st.sampled_from([None, "utf-16", "cp1252"]),
    st.sampled_from(["refuse", "skip"]),
)
def test_any_bytes_are_read_or_told(body: bytes, path: str, encoding: str | None, doctype: str) -> None:
    found = decode(body, records=path, encoding=encoding, doctype=doctype, no_records="ignore")
    assert all(isinstance(one, Invalid) and one.errors for one in found)
