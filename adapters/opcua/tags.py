"""Tags from a CSV file: its header names the options of a tag, as in the configuration.

``states`` is written ``0=stopped|1=execute``; empty cells are options that are not given.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

__all__ = ["COLUMNS", "read_tags"]

COLUMNS = ("node", "tag", "equipment", "uom", "sampling_interval", "deadband", "states")
_LARGEST_BYTES = 32_000_000


def read_tags(path: Path) -> list[dict[str, Any]]:
    """One mapping of options per row, in the file's order; comma or semicolon separated, UTF-8.

    Raises ValueError with file and line for what cannot be read as such a table.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ValueError(f"{path} is larger than {_LARGEST_BYTES} bytes")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"tags_file {path} cannot be read: {error}") from error
    header = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text), delimiter=";" if ";" in header and "," not in header else ",")
    names = [name.strip() for name in reader.fieldnames or ()]
    if not {"node", "tag"} <= set(names) or set(names) - set(COLUMNS):
        raise ValueError(f"{path}:1: the columns must be of {', '.join(COLUMNS)}, node and tag among them")
    reader.fieldnames = names
    return [_options(row, path, reader.line_num) for row in reader]


def _options(row: dict[str | Any, str | Any], path: Path, line: int) -> dict[str, Any]:
    if None in row or None in row.values():
        raise ValueError(f"{path}:{line}: the row has more or fewer cells than the header")
    options: dict[str, Any] = {name: cell.strip() for name, cell in row.items() if cell.strip()}
    if "states" in options:
        options["states"] = _states(options["states"], path, line)
    return options


def _states(text: str, path: Path, line: int) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split("|")]
    if not all(equals and raw.strip() and state.strip() for raw, equals, state in pairs):
        raise ValueError(f"{path}:{line}: states are written like 0=stopped|1=execute")
    return {raw.strip(): state.strip() for raw, _, state in pairs}
