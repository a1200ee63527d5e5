"""Fixtures: deployments written into a folder, read with kinds made for the purpose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from config.load import Finding, check
from tests.config.kinds import install

Checked = Callable[..., list[str]]

HEAD = """\
company: acme
plants:
  aachen: {name: Aachen, timezone: Europe/Berlin}
adapters:
  line1: {kind: probe, plant: aachen, url: x://line1, topics: [{filter: a}], format: {kind: json}}
  erp: {kind: probe, url: x://erp}
routes:
  done:
    on: [production.order.completed]
    to: {adapter: erp, path: orders}
"""
"""A sound deployment, for tests of one part to put another in its place."""


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kinds of ``tests.config.kinds``, and no others."""
    install(monkeypatch)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a deployment and returns its file."""

    def write(text: str) -> Path:
        path = tmp_path / "deployment.yaml"
        path.write_text(dedent(text), encoding="utf-8")
        return path

    return write


@pytest.fixture
def checked(written: Callable[[str], Path], tmp_path: Path, kinds: None) -> Checked:
    """Writes a deployment and returns what is found, with paths relative to it."""

    def look(text: str, environment: Mapping[str, str] | None = None) -> list[str]:
        found: list[Finding] = check(written(text), environment or {})
        return [str(finding).replace(f"{tmp_path}/", "") for finding in found]

    return look
