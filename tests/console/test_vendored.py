"""What is vendored is what was published, with its licence beside it."""

from __future__ import annotations

import re
from hashlib import sha256
from importlib.resources import files

VENDOR = files("gateway.console").joinpath("static", "vendor")
ROW = re.compile(r"^\| (\S+) \| .* (\S+\.LICENSE) \| ([0-9a-f]{64}) \|$", re.MULTILINE)


def test_every_vendored_file_is_the_one_that_is_written_down() -> None:
    rows = ROW.findall(VENDOR.joinpath("VENDORED.md").read_text())
    listed = {name for name, _, _ in rows} | {licence for _, licence, _ in rows} | {"VENDORED.md"}
    assert listed == {file.name for file in VENDOR.iterdir()}
    for name, _, digest in rows:
        assert sha256(VENDOR.joinpath(name).read_bytes()).hexdigest() == digest, name
