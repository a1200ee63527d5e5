"""Topic templates: what is accepted, what is captured, what overlaps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from adapters.mqtt.topics import check_topic, overlap, parse_filter

LEVEL = st.sampled_from(["a", "b", "", "$c"])
TOPIC = st.lists(LEVEL, min_size=1, max_size=4).map("/".join).filter(bool)
FILTER = st.builds(
    lambda levels, last: "/".join([*levels, *last]),
    st.lists(st.one_of(LEVEL, st.just("+")), min_size=1, max_size=4),
    st.sampled_from([[], ["#"]]),
).filter(bool)


def test_captures_are_the_levels_that_have_names() -> None:
    found = parse_filter("acme/brno/{area}/{line}/+/#")
    assert found.filter == "acme/brno/+/+/+/#"
    assert found.match(["acme", "brno", "press", "l1", "temperature", "raw"]) == {
        "area": "press",
        "line": "l1",
    }
    assert found.match(["acme", "aachen", "press", "l1", "temperature"]) is None


def test_a_shared_subscription_is_matched_without_its_share() -> None:
    found = parse_filter("$share/hubs/acme/{plant}/+")
    assert found.filter == "$share/hubs/acme/+/+"
    assert found.match(["acme", "brno", "x"]) == {"plant": "brno"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "at least one character"),
        ("a/\0", "NUL"),
        ("a/b+/c", "stands alone"),
        ("a/#/c", "last level"),
        ("a/{Line}/c", "is not a capture"),
        ("a/x{line}/c", "is not a capture"),
        ("{a}/{a}", "occurs twice"),
        ("{topic}/x", "hide the message's own topic"),
        ("$share/only", "not a shared subscription"),
        ("x" * 65_536, "65535 bytes"),
        ("\ud800", "UTF-8"),
    ],
)
def test_a_wrong_template_is_refused_with_the_reason(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_filter(text)


@pytest.mark.parametrize("topic", ["", "a/+", "a/#", "a\0", "\ud800"])
def test_nothing_is_published_to_a_wrong_topic(topic: str) -> None:
    with pytest.raises(ValueError, match=r"topic|wildcard|UTF-8"):
        check_topic(topic)


@given(FILTER, TOPIC)
def test_matching_agrees_with_paho(text: str, topic: str) -> None:
    assert (parse_filter(text).match(topic.split("/")) is not None) == topic_matches_sub(text, topic)


@given(FILTER, FILTER, TOPIC)
def test_filters_that_do_not_overlap_share_no_topic(one: str, other: str, topic: str) -> None:
    if topic_matches_sub(one, topic) and topic_matches_sub(other, topic):
        assert overlap(parse_filter(one), parse_filter(other))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a/+", "a/b", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/+", "b/+", False),
        ("a/+", "a/+/c", False),
        ("a/{x}/c", "a/b/{y}", True),
        ("a/b/c", "a/b/d", False),
    ],
)
def test_overlap(one: str, other: str, expected: bool) -> None:
    assert overlap(parse_filter(one), parse_filter(other)) is expected
    assert overlap(parse_filter(other), parse_filter(one)) is expected
