"""One page taken apart: elements, ids, next page, cursor; and bodies that are meant to hurt."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from adapters.rest.body import excerpt
from adapters.rest.config import PollConfig
from adapters.rest.outcome import retry_after_s
from adapters.rest.pages import next_page, read_page
from adapters.rest.progress import Progress
from canonical.errors import Invalid
from canonical.event import utc_now
from canonical.expression import ExpressionError

HERE = URL("https://mes.example.com:8443/api/orders?since=5")


def poll(**given: Any) -> PollConfig:
    return PollConfig.model_validate(given)


def bodies(page: Any) -> list[bytes]:
    return [element.body for element in page.elements]


def ids(page: Any) -> list[str]:
    return [element.id for element in page.elements]


def test_without_items_the_whole_body_is_one_message_whatever_it_is() -> None:
    page = read_page(poll(), b"a;b\r\n1;2\r\n")
    assert bodies(page) == [b"a;b\r\n1;2\r\n"]
    assert ids(page) == ids(read_page(poll(), b"a;b\r\n1;2\r\n"))
    assert bodies(read_page(poll(), b"  \n")) == []


def test_a_plain_path_keeps_the_elements_bytes() -> None:
    body = b'{"v": {"items": [ {"q": 1.50, "n": 12345678901234567890.123456789} , 2e3,\n"a"]}}'
    page = read_page(poll(items="payload.v.items"), body)
    assert bodies(page) == [b'{"q": 1.50, "n": 12345678901234567890.123456789}', b"2e3", b'"a"']
    assert bodies(read_page(poll(items="payload"), b"[1, [2]]")) == [b"1", b"[2]"]


def test_any_other_expression_may_select() -> None:
    body = b'{"value": [{"id": 1, "open": true}, {"id": 2, "open": false}]}'
    page = read_page(poll(items="payload.value.filter(i, i.open)", id="item.id"), body)
    assert [json.loads(part) for part in bodies(page)] == [{"id": 1, "open": True}]
    assert ids(page) == ["1"]


@pytest.mark.parametrize("body", [b'{"value": []}', b'{"value": null}', b"null", b"", b" "])
def test_an_empty_page(body: bytes) -> None:
    page = read_page(poll(items="payload.value", cursor={"query": "c", "from": "item.id"}), body)
    assert page.elements == []
    assert page.cursor is None
    assert not page.faults


@pytest.mark.parametrize(
    "body", [b'{"value": {"a": 1}}', b'{"value": 3}', b'{"values": []}', b"[]", b"<html>", b'{"value": [1}']
)
def test_what_is_not_the_page_that_was_described_is_an_error(body: bytes) -> None:
    with pytest.raises((Invalid, ExpressionError)):
        read_page(poll(items="payload.value"), body)


def test_ids_are_of_the_content_where_none_is_given() -> None:
    first = read_page(poll(items="payload"), b'[{"a": 1, "b": 2}, {"a": 2}]')
    again = read_page(poll(items="payload"), b'[{"a":2},{"b":2,"a":1}]')
    assert ids(first) == ids(again)[::-1]
    assert len(set(ids(first))) == 2


def test_an_id_that_cannot_be_had_is_of_the_content_and_told() -> None:
    body = b'[{"id": "a"}, {"id": null}, {"no": 1}, {"id": [1]}, {"id": true}, {"id": ""}]'
    page = read_page(poll(items="payload", id="item.id"), body)
    found = ids(page)
    assert found[0] == "a"
    assert found[4] == "true"
    assert len(set(found)) == 6
    assert all(len(id) == 32 for id in (found[1], found[2], found[3], found[5]))
    assert len(page.faults) == 2


def test_a_long_id_is_shortened_but_stays_the_same() -> None:
    body = json.dumps([{"id": "x" * 300}, {"id": "x" * 301}]).encode()
    page = read_page(poll(items="payload", id="item.id"), body)
    assert len(set(ids(page))) == 2
    assert all(len(id) <= 255 for id in ids(page))


def test_the_cursor_is_of_the_last_element_or_of_the_page() -> None:
    body = b'{"value": [{"at": "08:00"}, {"at": "09:00"}], "token": 7}'
    of_item = poll(items="payload.value", cursor={"query": "since", "from": "item.at"})
    of_page = poll(items="payload.value", cursor={"query": "since", "from": "payload.token"})
    assert read_page(of_item, body).cursor == "09:00"
    assert read_page(of_page, body).cursor == "7"
    assert read_page(of_page, b'{"value": [], "token": 8}').cursor == "8"


def test_a_cursor_that_cannot_be_had_stays_and_is_told() -> None:
    page = read_page(poll(items="payload", cursor={"query": "since", "from": "item.at"}), b'[{"id": 1}]')
    assert page.cursor is None
    assert len(page.elements) == 1
    assert "cursor" in page.faults[0]


@pytest.mark.parametrize(
    ("expression", "body", "link"),
    [
        ("payload.next", b'{"next": "/p2"}', "/p2"),
        ("payload.next", b'{"next": null}', None),
        ("payload.next", b"{}", None),
        ("payload.links.next", b'{"links": []}', None),
        ("payload.more ? '?page=' + string(payload.page + 1) : ''", b'{"more": true, "page": 1}', "?page=2"),
        ("payload.more ? '?page=' + string(payload.page + 1) : ''", b'{"more": false}', None),
    ],
)
def test_the_next_page(expression: str, body: bytes, link: str | None) -> None:
    assert read_page(poll(next=expression), body).next == link


def test_a_next_page_that_fails_is_an_error_not_the_end() -> None:
    with pytest.raises(ExpressionError):
        read_page(poll(next="payload.more ? 'a' : ''"), b'{"more": "yes"}')


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("?page=2", "https://mes.example.com:8443/api/orders?page=2"),
        ("/p2", "https://mes.example.com:8443/p2"),
        ("p2?a=b%2Fc", "https://mes.example.com:8443/api/p2?a=b/c"),
        ("http://mes.example.com/api/orders?page=2", "https://mes.example.com:8443/api/orders?page=2"),
        ("HTTPS://MES.example.com:8443/x", "https://mes.example.com:8443/x"),
    ],
)
def test_the_next_page_is_at_the_same_server(link: str, url: str) -> None:
    assert str(next_page(HERE, link)) == url


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example.com/",
        "//evil.example.com/x",
        "file:///etc/passwd",
        "ftp://mes.example.com/",
        "http://[x",
    ],
)
def test_the_next_page_is_never_elsewhere(link: str) -> None:
    with pytest.raises(Invalid):
        next_page(HERE, link)


@given(st.text(max_size=60))
def test_no_link_leads_elsewhere(link: str) -> None:
    try:
        found = next_page(HERE, link)
    except Invalid:
        return
    assert found.origin() == HERE.origin()


@pytest.mark.parametrize("body", [b"[" * 500 + b"]" * 500, b"[" * 1_000_000, b'{"a":' * 100_000])
def test_deep_nesting_is_an_error_of_ours(body: bytes) -> None:
    with pytest.raises(Invalid, match="nests deeper"):
        read_page(poll(items="payload"), body)


def test_one_bad_text_does_not_hold_up_the_page() -> None:
    body = b'\xef\xbb\xbf{"v": [{"id": "\\u0000"}, {"id": 2}]}'
    cursor = {"query": "since", "from": "item.id"}
    page = read_page(poll(items="payload.v", id="item.id", cursor=cursor), body)
    assert bodies(page) == [b'{"id": "\\u0000"}', b'{"id": 2}']
    assert ids(page)[1] == "2"
    assert page.cursor == "2"
    assert "id: " in page.faults[0]


def test_ids_beyond_64_bits_keep_their_digits() -> None:
    page = read_page(poll(items="payload", id="item.id"), b'[{"id": 1180591620717411303424}]')
    assert ids(page) == ["1180591620717411303424"]


def test_an_excerpt_is_one_short_line() -> None:
    assert excerpt(b"a\r\nb\x00\x1b[1m\xff \t c") == "a b [1m\ufffd c"
    assert len(excerpt(b"x" * 10_000)) == 300


@given(st.text(max_size=40))
def test_retry_after_is_a_pause_or_nothing(value: str) -> None:
    found = retry_after_s(value, utc_now())
    assert found is None or 0 <= found <= 86_400


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        (" 120 ", 120),
        ("99999999999999999999", 86_400),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2215 07:28:00 GMT", 86_400),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, utc_now()) == seconds


def test_the_cursor_moves_when_all_pages_are_read() -> None:
    """Before, it would change what the next page holds."""
    progress = Progress(cursor="1").passed("2", "/p2")
    assert (progress.cursor, progress.next, progress.reached) == ("1", "/p2", "2")
    progress = progress.passed("3", "/p3")
    assert progress.restarted() == Progress(cursor="1")
    assert progress.passed(None, None) == Progress(cursor="3")


def test_progress_reads_back() -> None:
    progress = Progress(
        cursor="ä", next="/p", reached="2", url="u", etag='"e"', last_modified="l", digest="d"
    )
    assert msgspec.json.decode(msgspec.json.encode(progress), type=Progress) == progress
