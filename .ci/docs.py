"""The generated part of the documentation, and whether all of it is sound.

usage: python .ci/docs.py write|check
write: makes docs/reference, and config/services.json, anew from what the code says of itself (`make docs`).
check: says which of them are stale, and which links of any page lead nowhere (`make lint`).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from reference import cli, configuration, events, http, kinds, metrics, records
from reference.markdown import page, table

from config.enrichment import services

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
SERVICES = ROOT / "config" / "services.json"
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)

_CONTENTS = (
    ("configuration.md", "Configuration", "what stands in a deployment"),
    ("adapters/README.md", "Adapters", "how one connects, a page for each kind"),
    ("formats/README.md", "Formats", "how messages are read and written, a page for each kind"),
    ("events.md", "Events", "the catalogue of types, with all fields"),
    ("cli.md", "Commands", "of the program `crossplant`"),
    ("http.md", "HTTP", "the gateway's API"),
    ("metrics.md", "Metrics", "what Prometheus gets"),
)


def pages() -> Iterator[tuple[str, str]]:
    """(path below docs/reference, text) of every generated page."""
    rows = [(f"[{title}]({path})", what) for path, title, what in _CONTENTS]
    yield (
        "README.md",
        page("Reference", "Made from the code, so it says what this version does.", table(("", ""), rows)),
    )
    for module in (kinds, configuration, events, cli, http, metrics):
        yield from module.pages()


def write() -> int:
    """Makes every page, and removes those of what is no more."""
    SERVICES.write_text(records.text(), encoding="utf-8")
    services.cache_clear()  # the pages below name them
    made = {REFERENCE / path: text for path, text in pages()}
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for old in set(REFERENCE.rglob("*.md")) - set(made):
        old.unlink()
    return 0


def findings() -> Iterator[str]:
    """What is wrong with the documentation."""
    if SERVICES.read_text(encoding="utf-8") != records.text():
        yield f"{SERVICES.relative_to(ROOT)}: stale; run: make docs"
    made = {REFERENCE / path: text for path, text in pages()}
    for path in sorted(made.keys() | set(REFERENCE.rglob("*.md"))):
        if path not in made or not path.is_file() or path.read_text(encoding="utf-8") != made[path]:
            yield f"{path.relative_to(ROOT)}: stale; run: make docs"
    for path in sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")]):
        yield from dead_links(path)


def dead_links(path: Path) -> Iterator[str]:
    """A page's links to files and headings that are not there; other sites are not looked at."""
    for target in LINK.findall(CODE.sub("", path.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, heading = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        if not found.exists():
            yield f"{path.relative_to(ROOT)}: the link {target} leads nowhere"
        elif heading and found.suffix == ".md" and heading not in anchors(found.read_text(encoding="utf-8")):
            yield f"{path.relative_to(ROOT)}: {target}: there is no such heading"


def anchors(text: str) -> set[str]:
    """The headings of a page as one links to them."""
    found = HEADING.findall(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def main(arguments: list[str]) -> int:
    """Exit code 0 when all is well, 1 with findings on stderr, 2 for wrong usage."""
    match arguments:
        case ["write"]:
            return write()
        case ["check"]:
            found = list(findings())
            for finding in found:
                print(finding, file=sys.stderr)
            return 1 if found else 0
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
