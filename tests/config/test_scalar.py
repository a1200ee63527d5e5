"""Every character of a scalar is found in the file again, whatever its style."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from config.compose import compose
from config.document import Node, Text

STYLES = [
    ("plain", "key: abc + defg"),
    ("plain over lines", "key: abc\n  + defg\n\n  + hij"),
    ("single quotes", "key: 'it''s + defg'"),
    ("single quotes over lines", "key: 'it''s\n   + defg'"),
    ("double quotes", r'key: "a\"b\\ \u00fc + defg"'),
    ("double quotes over lines", 'key: "abc \\\n   + \\tdefg\n  \\ hij"'),
    ("literal", "key: |\n  abc\n    + defg\n\n  hij\n"),
    ("literal, stripped and indented", "key: |2-\n    abc\n   defg"),
    ("folded", "key: >\n  abc\n  + defg\n\n   more\n  hij\n"),
    ("line ends of Windows", "key: |\r\n  abc\r\n  + defg\r\n"),
]


def node_of(content: str) -> Node:
    root, findings = compose(Text("f", content), Path(), {})
    assert root is not None
    assert not findings
    node = root.find("key")
    assert node is not None
    assert node.written is not None
    return node


def character_at(content: str, node: Node, offset: int) -> str:
    mark = node.place(offset)
    return content.split("\n")[mark.line - 1][mark.column - 1 : mark.column]


@pytest.mark.parametrize("content", [content for _, content in STYLES], ids=[name for name, _ in STYLES])
def test_a_word_is_found_where_it_stands(content: str) -> None:
    node = node_of(content)
    text = str(node.value)
    for word in ("defg", "abc", "hij", "more"):
        if word in text:
            start = text.index(word)
            assert [character_at(content, node, start + at) for at in range(len(word))] == list(word)


@given(
    text=st.text(alphabet="ab'\"\\ \n\t+ü:#{}", min_size=1, max_size=60),
    style=st.sampled_from([None, "'", '"', "|", ">"]),
)
def test_all_that_is_not_white_space_is_found(text: str, style: str | None) -> None:
    content = yaml.dump({"key": text}, default_style=None, allow_unicode=True)
    if style:
        content = "key: " + yaml.dump(text, default_style=style, width=20, allow_unicode=True)
    if "key:" not in content or yaml.safe_load(content) != {"key": text}:
        return
    node = node_of(content)
    for offset, char in enumerate(text):
        if char not in " \n\t'\"\\":
            assert character_at(content, node, offset) == char


def test_behind_the_end_is_the_end() -> None:
    mark = node_of("key: abc").place(99)
    assert (mark.line, mark.column) == (1, 9)
