"""The page of the HTTP API, from the OpenAPI document that the gateway serves."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import structlog

from config.model import Deployment
from gateway.app import build
from gateway.openapi import document
from gateway.runtime import Hub
from reference.markdown import cell, code, page, table

__all__ = ["pages"]

_HEAD = """\
`Authorization: Bearer KEY` everywhere but where it says open. Errors are problem details ([RFC
9457](https://www.rfc-editor.org/rfc/rfc9457)) with a `code` for programs; lists are `{"items": […]}`
with keyset cursors and `Link: <…>; rel="next"`; times are RFC 3339. A running hub serves the whole
description, with schemas, at `/openapi.json`, and a page for people at `/docs`; both take a key."""


def pages() -> Iterator[tuple[str, str]]:
    """(path below docs/reference, text)."""
    made = asyncio.run(_document())
    parts = [_HEAD]
    tags: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = {}
    for path, operations in made["paths"].items():
        for method, operation in operations.items():
            tags.setdefault(str(operation.get("tags", ["other"])[0]), []).append((method, path, operation))
    for tag, found in tags.items():
        parts.append(f"## {tag}")
        parts += [_operation(method, path, operation) for method, path, operation in found]
    yield "http.md", page("HTTP", *parts)


async def _document() -> Mapping[str, Any]:
    """What a hub without adapters and routes serves."""
    with tempfile.TemporaryDirectory() as folder:
        hub = Hub(Deployment(company="acme"), Path(folder), log=structlog.get_logger())
        await hub.open()
        try:
            return document(build(hub))
        finally:
            await hub.close()


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    opened = " Open: no key." if operation.get("security") == [] else ""
    about = str(operation.get("description") or "").replace("``", "`").strip()
    rows = [
        (
            code(each["name"]),
            each["in"],
            "yes" if each.get("required") else "",
            cell(str(each.get("description", ""))),
        )
        for each in operation.get("parameters", ())
    ]
    summary = str(operation.get("summary", ""))
    return "\n\n".join(
        part
        for part in (
            f"### {method.upper()} {path}",
            f"**{summary}.**{opened}",
            about,
            table(("Parameter", "In", "Required", "Meaning"), rows),
        )
        if part
    )
