"""Verdicts in the XML that CI servers read (the common subset of the JUnit formats)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from gateway.cases import Verdict

__all__ = ["junit"]

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(verdicts: Sequence[Verdict], suite: str) -> bytes:
    """The document; a case that did not pass has one ``failure`` with all that is wrong."""
    root = ElementTree.Element("testsuites")
    within = ElementTree.SubElement(
        root,
        "testsuite",
        name=_text(suite),
        tests=str(len(verdicts)),
        failures=str(sum(not verdict.passed for verdict in verdicts)),
        errors="0",
    )
    for verdict in verdicts:
        case = ElementTree.SubElement(within, "testcase", classname=_text(suite), name=_text(verdict.name))
        if not verdict.passed:
            failure = ElementTree.SubElement(case, "failure", message=_text(verdict.faults[0]))
            failure.text = _text("\n".join(verdict.faults))
    made: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return made


def _text(text: str) -> str:
    """The text without characters that XML 1.0 has no form for."""
    return _NO_XML.sub("�", text)
