"""The README tells every finding there is, and its examples can be used."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from adapters.edi.config import EdifactOptions
from adapters.edi.edifact.contrl import _ERRORS
from canonical.expression import compile_expression

FOLDER = Path(__file__).resolve().parents[3] / "adapters" / "edi"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
FINDING = re.compile(
    r"""(?:error|warning|info|_note|_fault|_count|_agree|_refused|Finding\(code=|_rubbish\(found,)\(?\s*"([a-z_]+)","""
    r"""|(?:note|once|add)\(\s*[\w."]+,\s*"([a-z_]+)","""
    r"""|"([a-z]+_[a-z]+)" if (?:kept|earlier\.same) else "([a-z]+_[a-z]+)\""""
)


def told() -> set[str]:
    rows = README.partition("## Findings")[2].partition("## Limits")[0].splitlines()
    return {code.strip() for row in rows[4:] if row.startswith("|") for code in row.split("|")[1].split(",")}


def test_every_finding_is_told() -> None:
    found = {
        code
        for module in FOLDER.rglob("*.py")
        for match in FINDING.finditer(module.read_text(encoding="utf-8"))
        for code in match.groups()
        if code
    }
    beside = {"uom_unknown", "uom_alias"}  # they come from canonical.units
    assert found - told() == set()
    assert told() - found - beside == set()
    assert set(_ERRORS) <= told()


def test_the_examples_can_be_used() -> None:
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)]
    inbox, routes = blocks[0]["adapters"]["nordstahl-inbox"], blocks[2]["routes"]
    EdifactOptions(**blocks[1]["partners"]["nordstahl"]["edifact"])
    formats = [inbox["format"], *(route["format"] for route in routes.values())]
    for options in formats:
        EdifactOptions(**{name: value for name, value in options.items() if name != "kind"})
    compile_expression(routes["answers-to-nordstahl"]["when"])
