"""CloudEvents of strangers: what the specification allows is read, and what it forbids is refused."""

from __future__ import annotations

import contextlib
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.cloudevents import (
    BATCH,
    STRUCTURED,
    mode,
    parse_batch,
    parse_binary,
    parse_structured,
    to_batch,
    to_binary,
    to_structured,
)
from canonical.errors import Invalid
from canonical.event import Event

PRESS = {
    "specversion": "1.0",
    "id": "p-1",
    "source": "https://press.example.com/7",
    "type": "com.example.press.opened",
}
HEADERS = {f"ce-{name}": value for name, value in PRESS.items()}
NOON = datetime(2018, 4, 5, 12, 0, tzinfo=UTC)


def read(**members: Any) -> Event:
    return parse_structured(json.dumps({**PRESS, **members}).encode())


def faults(**members: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        read(**members)
    return dict(caught.value.errors)


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in PRESS.items() if key != name}).encode()


# ── structured: what is valid ───────────────────────────────────────────────────────────────────


def test_the_required_attributes_are_enough() -> None:
    assert read() == Event(id="p-1", source="https://press.example.com/7", type="com.example.press.opened")


def test_null_attributes_are_absent() -> None:
    nothing = dict.fromkeys(
        ("datacontenttype", "dataschema", "subject", "time", "plantid", "sequence", "anything", "data_base64")
    )
    assert read(**nothing) == read()


def test_all_core_attributes_are_kept() -> None:
    event = read(
        datacontenttype="text/plain",
        dataschema="https://example.com/schema",
        subject="dies",
        time="2018-04-05T12:00:00Z",
    )
    assert (event.datacontenttype, event.dataschema, event.subject, event.time) == (
        "text/plain",
        "https://example.com/schema",
        "dies",
        NOON,
    )


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2018-04-05T12:00:00Z", NOON),
        ("2018-04-05t12:00:00z", NOON),
        ("2018-04-05T12:00:00.000000000Z", NOON),
        ("2018-04-05T13:00:00+01:00", NOON),
        ("2018-04-05T11:00:00-01:00", NOON),
        ("2018-04-05T12:00:00-00:00", NOON),
        ("2018-04-05T23:59:59.25+11:59", datetime(2018, 4, 5, 12, 0, 59, 250_000, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2016-12-31T23:59:60.5Z", datetime(2017, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_become_utc(text: str, moment: datetime) -> None:
    event = read(time=text)
    assert event.time == moment
    assert event.time is not None
    assert event.time.tzinfo is UTC


@pytest.mark.parametrize(
    "source",
    [
        "#fragment",
        "/plants/aachen/adapters/mes",
        "relative/path?q=1#f",
        "//authority/path",
        "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
        "mailto:press@example.com",
        "https://user:x@example.com:8443/a%20b?c=d:e/f?g#h",
        "http://[2001:db8::7]/x",
        "../x",
        "?only=query",
        "press.example.com",
        "a" * 300,
    ],
)
def test_a_source_is_a_uri_reference(source: str) -> None:
    assert read(source=source).source == source


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        'text/plain;charset="utf-8"',
        "application/vnd.example.v1+json;q=1;p=2",
        "image/png",
    ],
)
def test_a_media_type_may_have_parameters(media_type: str) -> None:
    assert read(datacontenttype=media_type).datacontenttype == media_type


def test_extensions_keep_their_types() -> None:
    event = read(
        extinteger=10,
        extnegative=-(2**31),
        extboolean=True,
        extstring="text",
        extempty="",
        extbinary="TWE=",
        ext1=0,
    )
    assert event.extensions == {
        "extinteger": 10,
        "extnegative": -(2**31),
        "extboolean": True,
        "extstring": "text",
        "extempty": "",
        "extbinary": "TWE=",
        "ext1": 0,
    }


def test_a_long_name_is_advised_against_but_allowed() -> None:
    name = "anattributewithmorethantwentycharacters"
    assert read(**{name: "x"}).extensions == {name: "x"}


def test_our_own_extensions_become_fields() -> None:
    event = read(plantid="aachen", correlationid="c", sequence="0001", expirytime="2018-04-05T14:00:00+02:00")
    assert (event.plantid, event.correlationid, event.sequence, event.expirytime) == (
        "aachen",
        "c",
        "0001",
        NOON,
    )
    assert event.extensions == {}


@pytest.mark.parametrize(
    "data", [{"a": [1, None, {"b": 1.5}]}, [1], "text", 5, True, {"id": 1, "type": 2}, 2**70, {"": {}}]
)
def test_data_are_any_json(data: Any) -> None:
    assert read(data=data).data == data
    assert read(data=data, datacontenttype="application/vnd.x+json").data == data


def test_text_data_are_text_whatever_is_in_them() -> None:
    assert read(datacontenttype="application/xml", data="<a/>\n").data == "<a/>\n"


def test_bytes_come_as_base64() -> None:
    event = read(datacontenttype="application/octet-stream", data_base64="AP8=")
    assert (event.data, event.data_base64) == (None, b"\x00\xff")
    assert read(data_base64="").data_base64 == b""


# ── structured: what is not ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
def test_a_required_attribute_must_be_there(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_structured(without(name))
    assert caught.value.errors == ((f"/{name}", "is missing"),)
    assert faults(**{name: None}) == {f"/{name}": "is missing"}


@pytest.mark.parametrize(
    ("name", "value", "detail"),
    [
        ("specversion", "", 'must be "1.0"'),
        ("specversion", "0.3", 'must be "1.0"'),
        ("specversion", 1.0, 'must be "1.0"'),
        ("id", "", "must not be empty"),
        ("id", 25, "must be text, not 25"),
        ("id", {"x": 1}, "must be text, not an object"),
        ("id", True, "must be text, not true"),
        ("id", "a\x00b", "U+0000"),
        ("id", "a\tb", "U+0009"),
        ("id", "a\x7fb", "U+007F"),
        ("id", "a\x9fb", "U+009F"),
        ("id", "a\ufdd0b", "U+FDD0"),
        ("id", "a\uffffb", "U+FFFF"),
        ("id", "a\U0001fffeb", "U+1FFFE"),
        ("id", "a\U0010ffffb", "U+10FFFF"),
        ("source", "", "must not be empty"),
        ("source", "a b", "URI reference"),
        ("source", "http://[x", "URI reference"),
        ("source", "a%2", "URI reference"),
        ("source", "1st:segment", "URI reference"),
        ("source", ":x", "URI reference"),
        ("source", "münchen", "URI reference"),
        ("source", "a#b#c", "URI reference"),
        ("source", "a\\b", "URI reference"),
        ("source", "/plants/\n", "U+000A"),
        ("source", "a b" * 200, "URI reference"),
        ("type", "", "must not be empty"),
        ("type", ["t"], "must be text, not an array"),
        ("time", "", "RFC 3339"),
        ("time", "noon", "RFC 3339"),
        ("time", "2018-04-05T18:31Z", "RFC 3339"),
        ("time", "2018-04-05T18:31:00", "RFC 3339"),
        ("time", "2018-04-05T18:31:00X", "RFC 3339"),
        ("time", "2018-04-05T18:31:00+25:00", "RFC 3339"),
        ("time", "2018-04-05T18:31:00+xx:00", "RFC 3339"),
        ("time", "2018-04-05T18:31:00+05", "RFC 3339"),
        ("time", "2018-04-05T18:31:00+0500", "RFC 3339"),
        ("time", "2018-04-05 18:31:00Z", "RFC 3339"),
        ("time", "2018-04-05", "RFC 3339"),
        ("time", "2018-04-05T24:00:00Z", "RFC 3339"),
        ("time", "2018-04-05T18:31:00.Z", "RFC 3339"),
        ("time", "\uff12018-04-05T18:31:00Z", "RFC 3339"),
        ("time", "2018-02-30T18:31:00Z", "is no time"),
        ("time", "0000-01-01T00:00:00Z", "is no time"),
        ("time", "0001-01-01T00:00:00+01:00", "is no time"),
        ("time", 1522920660, "RFC 3339"),
        ("recordedtime", "noon", "RFC 3339"),
        ("datacontenttype", "", "must not be empty"),
        ("datacontenttype", "xyz", "media type"),
        ("datacontenttype", "text/", "media type"),
        ("datacontenttype", "text/plain; charset", "media type"),
        ("datacontenttype", "text /plain", "media type"),
        ("dataschema", "", "must not be empty"),
        ("dataschema", "/relative", "absolute URI"),
        ("dataschema", "#x", "absolute URI"),
        ("subject", "", "must not be empty"),
        ("subject", 5, "must be text"),
        ("plantid", 5, "must be text"),
        ("sequence", 5, "must be text"),
        ("correlationid", "", "must not be empty"),
        ("dataref", "a b", "URI reference"),
        ("MyExtension", "x", "no name of an attribute"),
        ("my.extension", "x", "no name of an attribute"),
        ("my-extension", "x", "no name of an attribute"),
        ("my_extension", "x", "no name of an attribute"),
        ("ünicode", "x", "no name of an attribute"),
        ("", "x", "no name of an attribute"),
        ("ext\n", "x", "no name of an attribute"),
        ("ext", 1.5, "must be text, a boolean or an integer"),
        ("ext", {"a": 1}, "must be text, a boolean or an integer, not an object"),
        ("ext", ["a"], "must be text, a boolean or an integer, not an array"),
        ("ext", 2**31, "no integer of 32 bits"),
        ("ext", -(2**31) - 1, "no integer of 32 bits"),
        ("ext", "a\x01", "U+0001"),
        ("data_base64", "YWJ", "must be base64"),
        ("data_base64", "YW Jj", "must be base64"),
        ("data_base64", "-_-_", "must be base64"),
        ("data_base64", 5, "must be base64"),
    ],
)
def test_a_wrong_attribute_is_refused(name: str, value: object, detail: str) -> None:
    found = faults(**{name: value})
    assert list(found) == [f"/{name}"]
    assert detail in found[f"/{name}"]


def test_a_pointer_is_escaped() -> None:
    assert list(faults(**{"a/b~c": "x"})) == ["/a~1b~0c"]


def test_data_and_bytes_exclude_each_other() -> None:
    assert faults(data="text", data_base64="AA==") == {"/data_base64": "must not stand beside data"}
    assert faults(data=None, data_base64="AA==") == {"/data_base64": "must not stand beside data"}


def test_data_of_another_type_than_json_are_text() -> None:
    assert faults(datacontenttype="text/plain", data={"a": 1}) == {
        "/data": "must be text, since its type is text/plain"
    }


def test_data_with_nul_are_refused() -> None:
    assert "U+0000" in faults(data={"a": ["x\0"]})["/data"]
    assert read(data=r"\u0000").data == r"\u0000"


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(Invalid, match="surrogate"):
        parse_structured(rb'{"specversion": "1.0", "id": "\ud800"}')


def test_all_faults_are_told_at_once() -> None:
    found = faults(id="", source="a b", time="noon", My="x", ext=1.5, data=1, data_base64="AA==")
    assert found.keys() == {"/id", "/source", "/time", "/My", "/ext", "/data_base64"}


def test_the_message_tells_the_first_and_how_many_more() -> None:
    with pytest.raises(Invalid) as caught:
        read(id="", time="noon")
    assert caught.value.message == "no valid CloudEvent: /id must not be empty, and 1 more"


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"5", b"null"])
def test_an_event_is_an_object(body: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        parse_structured(body)
    assert caught.value.errors == (("", "must be an object"),)


def test_what_is_no_json_is_told_with_its_place() -> None:
    with pytest.raises(Invalid) as caught:
        parse_structured(b'{"id": 1,\n x}')
    assert caught.value.errors[0][0] == "line 2 column 2"


def test_size_and_depth_are_bounded() -> None:
    body = json.dumps({**PRESS, "data": [[[]]]}).encode()
    with pytest.raises(Invalid, match="at most 10 are allowed"):
        parse_structured(body, max_bytes=10)
    with pytest.raises(Invalid, match="deeper than 3"):
        parse_structured(body, max_depth=3)
    assert parse_structured(body, max_depth=4).data == [[[]]]
    with pytest.raises(Invalid):
        parse_structured(b'{"data":' + b"[" * 100_000)


# ── batch ───────────────────────────────────────────────────────────────────────────────────────


def test_a_batch_gives_every_event_or_its_faults() -> None:
    found = parse_batch(
        json.dumps([PRESS, {**PRESS, "specversion": "0.9"}, "no object", {**PRESS, "id": "p-2"}]).encode()
    )
    events = [entry.id for entry in found if isinstance(entry, Event)]
    wrong = [dict(entry.errors) for entry in found if isinstance(entry, Invalid)]
    assert [type(entry) for entry in found] == [Event, Invalid, Invalid, Event]
    assert events == ["p-1", "p-2"]
    assert [list(each) for each in wrong] == [["/1/specversion"], ["/2"]]


def test_an_empty_batch_is_fine() -> None:
    assert parse_batch(b"[]") == []


@pytest.mark.parametrize("body", [b"{}", b"5", b"[", b"\xff"])
def test_what_is_no_batch_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        parse_batch(body)


# ── binary ──────────────────────────────────────────────────────────────────────────────────────


def binary_faults(headers: dict[str, str], body: bytes = b"") -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        parse_binary({**HEADERS, **headers}, body)
    return dict(caught.value.errors)


def test_headers_are_attributes_and_the_body_is_data() -> None:
    event = parse_binary(
        {
            **HEADERS,
            "CE-Time": "2018-04-05T12:00:00Z",
            "Ce-PlantId": "aachen",
            "ce-myext": "5",
            "Content-Type": "application/json; charset=utf-8",
            "Host": "hub",
        },
        b'{"a": 1}',
    )
    assert event == Event(
        id="p-1",
        source="https://press.example.com/7",
        type="com.example.press.opened",
        time=NOON,
        plantid="aachen",
        datacontenttype="application/json; charset=utf-8",
        extensions={"myext": "5"},
        data={"a": 1},
    )


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("%e2%82%ac", "€"),
        ("%41%62", "Ab"),
        ("100%25", "100%"),
        ("%2541", "%41"),
        ('"quoted text"', "quoted text"),
        (r'"with \"escapes\" \\"', r'with "escapes" \ '.strip()),
        ('"%20"', " "),
        ("  padded\t", "padded"),
        ('a"b', 'a"b'),
    ],
)
def test_a_header_is_unquoted_and_percent_decoded_once(header: str, text: str) -> None:
    assert parse_binary({**HEADERS, "ce-subject": header}, b"").subject == text


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        ("%C0%A0", "not UTF-8"),
        ("%ED%A0%80", "not UTF-8"),
        ("%FF", "not UTF-8"),
        ("100%", "two hexadecimal digits"),
        ("%zz", "two hexadecimal digits"),
        ("%00", "U+0000"),
        ("m\xfcnchen", "must be ASCII"),
        ("", "must not be empty"),
    ],
)
def test_a_header_that_cannot_be_decoded_is_refused(header: str, detail: str) -> None:
    found = binary_faults({"ce-subject": header})
    assert list(found) == ["ce-subject"]
    assert detail in found["ce-subject"]


def test_all_faults_of_headers_and_body_are_told() -> None:
    found = binary_faults(
        {
            "ce-id": "",
            "ce-time": "noon",
            "ce-my_ext": "x",
            "content-type": "application/json",
            "ce-source": "%zz",
        },
        b"{x",
    )
    assert found.keys() == {"ce-id", "ce-time", "ce-my_ext", "ce-source", "body line 1 column 2"}


def test_missing_headers_are_told() -> None:
    with pytest.raises(Invalid) as caught:
        parse_binary({"content-type": "application/json"}, b"{}")
    assert dict(caught.value.errors) == dict.fromkeys(
        ("ce-specversion", "ce-id", "ce-source", "ce-type"), "is missing"
    )


@pytest.mark.parametrize("name", ["ce-datacontenttype", "ce-data"])
def test_headers_that_must_not_be_sent_are_refused(name: str) -> None:
    assert list(binary_faults({name: "application/json"})) == [name]


def test_a_content_type_must_be_a_media_type() -> None:
    assert list(binary_faults({"content-type": "xyz"}, b"x")) == ["content-type"]


@pytest.mark.parametrize(
    ("content_type", "body", "data", "encoded"),
    [
        ("application/json", b"5", 5, None),
        ("application/vnd.x+json", b'"text"', "text", None),
        ("application/json", b"", None, None),
        ("text/plain", "ä".encode(), "ä", None),
        ("text/plain; charset=UTF-8", b"x", "x", None),
        ("application/xml", b"<a/>", "<a/>", None),
        ("application/atom+xml", b"<a/>", "<a/>", None),
        ("text/plain", b"\xff", None, b"\xff"),
        ("text/plain", b"a\0", None, b"a\0"),
        ("text/plain; charset=iso-8859-1", b"\xe4", None, b"\xe4"),
        ("application/octet-stream", b"x", None, b"x"),
        (None, b"x", None, b"x"),
        (None, b"", None, None),
    ],
)
def test_the_content_type_says_what_the_body_is(
    content_type: str | None, body: bytes, data: object, encoded: bytes | None
) -> None:
    headers = HEADERS if content_type is None else {**HEADERS, "content-type": content_type}
    event = parse_binary(headers, body)
    assert (event.data, event.data_base64, event.datacontenttype) == (data, encoded, content_type)


def test_a_large_or_deep_body_is_refused() -> None:
    with pytest.raises(Invalid, match="at most 3 are allowed"):
        parse_binary(HEADERS, b"1234", max_bytes=3)
    assert "deeper" in binary_faults({"content-type": "application/json"}, b"[" * 70 + b"]" * 70)["body"]


# ── modes ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (STRUCTURED, "structured"),
        ("Application/CloudEvents+JSON; charset=UTF-8", "structured"),
        ("application/cloudevents", "structured"),
        (BATCH, "batch"),
        (f"{BATCH};charset=utf-8", "batch"),
        ("application/json", "binary"),
        ("", "binary"),
    ],
)
def test_the_content_type_tells_the_mode(content_type: str, expected: str) -> None:
    assert mode(content_type) == expected


@pytest.mark.parametrize(
    "content_type", ["application/cloudevents+avro", "application/cloudevents-batch+xml"]
)
def test_another_event_format_is_refused(content_type: str) -> None:
    with pytest.raises(Invalid, match="not known here") as caught:
        mode(content_type)
    assert caught.value.code == "unsupported_format"


# ── writing ─────────────────────────────────────────────────────────────────────────────────────

characters = st.characters(codec="utf-8").filter(lambda char: char.isprintable())
texts = st.text(characters, min_size=1, max_size=12)
json_data = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | texts | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
envelopes = st.fixed_dictionaries(
    {"id": texts, "source": st.sampled_from(["/a/b", "urn:x:y", "#f"]), "type": texts},
    optional={
        "time": st.datetimes(timezones=st.just(UTC)),
        "subject": texts,
        "plantid": texts,
        "sequence": texts,
        "extensions": st.dictionaries(
            st.from_regex(r"x[a-z0-9]{1,5}", fullmatch=True), texts, min_size=1, max_size=3
        ),
    },
)
contents: st.SearchStrategy[dict[str, Any]] = (
    st.fixed_dictionaries({"data": json_data, "datacontenttype": st.just("application/json")})
    | st.fixed_dictionaries(
        {"data": texts, "datacontenttype": st.sampled_from(["text/plain", "application/xml"])}
    )
    | st.fixed_dictionaries(
        {"data_base64": st.binary(min_size=1), "datacontenttype": st.just("application/octet-stream")}
    )
    | st.just({})
)


@given(envelopes, contents)
def test_what_is_written_is_read_the_same_in_every_mode(
    envelope: dict[str, Any], content: dict[str, Any]
) -> None:
    event = Event(**envelope, **content)
    assert parse_structured(to_structured(event)) == event
    assert parse_batch(to_batch([event, event])) == [event, event]
    headers, body = to_binary(event)
    assert all(value.isascii() and value.isprintable() for value in headers.values())
    assert parse_binary(headers, body) == event


def test_headers_are_percent_encoded() -> None:
    headers, body = to_binary(
        Event(id='a "b" 100% €', source="/x", type="t", extensions={"flag": True, "n": -5})
    )
    assert headers["ce-id"] == "a%20%22b%22%20100%25%20%E2%82%AC"
    assert (headers["ce-flag"], headers["ce-n"]) == ("true", "-5")
    assert "content-type" not in headers
    assert body == b""


def test_json_data_without_a_type_get_one_in_binary_mode() -> None:
    headers, body = to_binary(Event(id="1", source="/x", type="t", data="I'm text"))
    assert (headers["content-type"], body) == ("application/json", b'"I\'m text"')


def test_text_is_written_in_its_charset() -> None:
    event = Event(id="1", source="/x", type="t", data="ä", datacontenttype="text/plain; charset=iso-8859-1")
    assert to_binary(event)[1] == b"\xe4"


@pytest.mark.parametrize(
    ("data", "media_type"),
    [({"a": 1}, "text/plain"), ("€", "text/plain; charset=iso-8859-1"), ("x", "text/plain; charset=nope")],
)
def test_data_that_do_not_fit_their_type_are_refused(data: object, media_type: str) -> None:
    with pytest.raises(Invalid, match="no form"):
        to_binary(Event(id="1", source="/x", type="t", data=data, datacontenttype=media_type))


# ── robustness ──────────────────────────────────────────────────────────────────────────────────


@given(st.binary(max_size=80) | json_data.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_an_event_or_invalid(body: bytes) -> None:
    for parse in (parse_structured, parse_batch):
        with contextlib.suppress(Invalid):
            parse(body)


@given(
    st.dictionaries(st.text(max_size=12) | st.sampled_from(sorted(HEADERS)), st.text(max_size=12)),
    st.binary(max_size=20),
)
def test_any_headers_are_an_event_or_invalid(headers: dict[str, str], body: bytes) -> None:
    with contextlib.suppress(Invalid):
        parse_binary(headers, body)


@given(st.dictionaries(st.text(max_size=8) | st.sampled_from(sorted(PRESS)), json_data, max_size=6))
def test_what_is_accepted_can_be_written_again(members: dict[str, Any]) -> None:
    with contextlib.suppress(Invalid):
        event = read(**members)
        assert parse_structured(to_structured(event)) == event


@pytest.mark.parametrize(
    "text", ["a" * 50_000 + " ", "%41" * 20_000 + "%", "a:" * 20_000 + "\\", "//" + "a@" * 20_000]
)
def test_a_hostile_source_is_checked_in_linear_time(text: str) -> None:
    started = time.monotonic()
    with pytest.raises(Invalid):
        read(source=text)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    "text", ["a/b" + ";" * 20_000 + "\x80", "a/b" + "; a=b" * 10_000 + "; =", 'a/b;c="' + "\\a" * 20_000]
)
def test_a_hostile_media_type_is_checked_in_linear_time(text: str) -> None:
    started = time.monotonic()
    with pytest.raises(Invalid):
        read(datacontenttype=text)
    assert time.monotonic() - started < 30
