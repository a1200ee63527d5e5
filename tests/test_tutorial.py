"""The README's tutorial, block by block, as a newcomer pastes it into a shell."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.waiting import eventually

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(
    r"^<!-- tutorial(?:: shows (?P<shows>.+?))? -->\n```sh\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
PORTS = ("18830", "8080", "9000")
BLOCK_S = 30.0

pytestmark = pytest.mark.requires_server("mosquitto", "mosquitto_pub", "curl")


class Block(NamedTuple):
    """Commands; ``shows`` is what they print sooner or later."""

    text: str
    shows: str


def blocks() -> list[Block]:
    """The tutorial's blocks, in order."""
    return [Block(found["text"], found["shows"] or "") for found in BLOCK.finditer(README.read_text())]


class Shell:
    """One bash for all blocks, so that variables and background jobs last. ``ports``: written → used."""

    def __init__(self, folder: Path, environment: dict[str, str], ports: dict[str, str]) -> None:
        self._folder, self._ports, self._number = folder, ports, 0
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    async def run(self, block: str) -> tuple[int, str]:
        """(exit code of the last command, what was printed on stdout and stderr)."""
        self._number += 1
        text = re.sub("|".join(self._ports), lambda port: self._ports[port[0]], block)
        out, done = (self._folder / f"{what}-{self._number}" for what in ("out", "done"))
        assert self._bash.stdin is not None
        self._bash.stdin.write(f"{{\n{text}}} > {out} 2>&1\necho $? > {done}.part; mv {done}.part {done}\n")
        self._bash.stdin.flush()
        try:
            await eventually(done.exists, BLOCK_S)
        except AssertionError as error:
            raise AssertionError(f"this block does not end:\n{text}\n{out.read_text()}") from error
        return int(done.read_text()), out.read_text()

    def left(self) -> list[str]:
        """The commands of what was started and still runs."""
        return [_command(pid) for pid in _members(self._bash.pid) if pid != self._bash.pid]

    def end(self) -> None:
        """Ends the shell and what it left."""
        for pid in _members(self._bash.pid):
            os.kill(pid, signal.SIGKILL)
        assert self._bash.stdin is not None
        self._bash.stdin.close()
        self._bash.wait(10)


def _members(leader: int) -> list[int]:
    """The processes of a session, as they are at this moment."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.getsid(int(entry.name)) == leader and _command(int(entry.name)):
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended meanwhile
    return found


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()


@pytest.fixture
def shell(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Shell]:
    """A shell as the README's reader has it, but for the ports, of which the machine may lack some."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CROSSPLANT_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}{os.pathsep}/usr/sbin"
    ports = {port: str(free_port()) for port in PORTS}
    environment = inherited | {"PATH": path, "CROSSPLANT_URL": f"http://127.0.0.1:{ports['8080']}"}
    started = Shell(tmp_path, environment, ports)
    yield started
    started.end()


async def test_the_tutorial_does_what_it_says(shell: Shell) -> None:
    for block in blocks():

        async def does(block: Block = block) -> bool:
            code, out = await shell.run(block.text)
            assert block.shows in out, f"not shown yet: {block.shows}\n{block.text}\n{out}"
            assert code == 0, f"exit code {code}:\n{block.text}\n{out}"
            return True

        await (eventually(does, BLOCK_S) if block.shows else does())
    await eventually(lambda: not shell.left(), BLOCK_S)


def test_every_block_of_the_tutorial_is_one_that_is_run() -> None:
    tutorial = README.read_text().partition("## Five minutes")[2].partition("\n## ")[0]
    assert tutorial.count("```sh\n") == len(blocks()) >= 15
