"""Whether a test run failed for nothing but missed deadlines, which a busy machine explains.

`python .ci/deadlines.py LOG` reads pytest's summary. Exit code 0: every failure is a condition that did not
come true in time, so the failed tests may be run once more, alone. 1: something else failed; that is final.
"""

import re
import sys
from pathlib import Path

FAILED = re.compile(r"^(?:FAILED|ERROR) (?P<test>.+?)(?: - (?P<why>.*))?$", re.MULTILINE)
DEADLINE = re.compile(r"not within [\d.]+ s|^Failed: Timeout")


def main(log: Path) -> int:
    """Tells each failure and what it is taken for."""
    failed = list(FAILED.finditer(log.read_text(errors="replace")))
    final = [found for found in failed if not DEADLINE.search(found["why"] or "")]
    for found in failed:
        print(f"{'failed' if found in final else 'missed a deadline'}: {found['test']}")
    return 1 if final or not failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
