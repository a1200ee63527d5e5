"""``crossplant``: the commands put together, and what their exit codes mean.

0 fine, 1 failed, 2 wrong usage or configuration. Data goes to stdout, messages to stderr.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gateway.commands.adapters import adapters
from gateway.commands.audit import audit
from gateway.commands.backup import backup, restore
from gateway.commands.check import check
from gateway.commands.crosswalks import crosswalks
from gateway.commands.dead_letters import dead_letters
from gateway.commands.demo import demo
from gateway.commands.doctor import doctor
from gateway.commands.events import events, trace
from gateway.commands.exceptions import exceptions
from gateway.commands.init import init
from gateway.commands.keys import keys
from gateway.commands.lanes import lanes
from gateway.commands.plugins import Commands
from gateway.commands.probe import probe
from gateway.commands.reload import reload
from gateway.commands.replay import replay
from gateway.commands.routes import routes
from gateway.commands.run import run
from gateway.commands.schema import schema
from gateway.commands.sla import sla
from gateway.commands.tap import tap
from gateway.commands.test import cases

__all__ = ["app", "main"]

app = typer.Typer(
    name="crossplant",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"crossplant {version('crossplant')}")
        raise typer.Exit


@app.callback()
def crossplant(
    *,
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="The version, and nothing else."),
    ] = False,
) -> None:
    """Integration middleware for manufacturers with several plants.

    \b
    crossplant demo                       a simulated company and the hub, over real protocols
    crossplant init hub                   a small commented deployment
    crossplant check --config hub/        what is wrong with it
    crossplant run --config hub/          runs it
    crossplant trace 4711                 what became of order 4711

    Commands that ask a running hub take --url (or CROSSPLANT_URL) and the key in CROSSPLANT_API_KEY or a
    --key-file. Exit codes: 0 fine, 1 failed, 2 wrong usage or configuration.
    """


app.command(short_help="A simulated company and the hub, over real protocols.")(demo)
app.command(short_help="Writes a small commented deployment that runs.")(init)
app.command(short_help="Runs a deployment.")(run)
app.command(short_help="Tells what is wrong or doubtful in a deployment.")(check)
app.command(short_help="Makes a running hub take over what is written now.")(reload)
app.command(short_help="Tests an adapter's connection, step by step.")(probe)
app.command(short_help="Shows what comes in through an adapter, live.")(tap)
app.command("test", short_help="Runs a deployment's own cases.")(cases)
app.add_typer(schema, name="schema", short_help="JSON Schema of deployments and events.")
app.command(short_help="Lists what is installed, or one kind's options.")(adapters)
app.command(short_help="Lists events, or follows them.")(events)
app.command(short_help="Tells what became of an event, order, lot …")(trace)
app.add_typer(dead_letters, name="dead-letters", short_help="What could not be taken in or delivered.")
app.add_typer(exceptions, name="exceptions", short_help="What waits for a person, and whose it is.")
app.add_typer(lanes, name="lanes", short_help="Keys that are blocked on a route.")
app.command(short_help="Puts history through a route again, to see or to deliver.")(replay)
app.add_typer(routes, name="routes", short_help="What each route is doing.")
app.command(short_help="What was promised, and what came of it.")(sla)
app.add_typer(crosswalks, name="crosswalks", short_help="The codes of one system in terms of another.")
app.add_typer(keys, name="keys", short_help="API keys.")
app.add_typer(audit, name="audit", short_help="Who did what, and whether the record of it is whole.")
app.command(short_help="Whether machine, disk and data folder are fit for a hub.")(doctor)
app.command(short_help="Writes a backup of a data folder, while the hub runs or not.")(backup)
app.command(short_help="Makes a data folder of a backup.")(restore)


def main() -> None:
    """The console script."""
    from canonical.errors import ConfigError, CrossplantError

    try:
        app()
    except ConfigError as error:
        _end(error, 2)
    except CrossplantError as error:
        _end(error, 1)


def _end(error: Exception, code: int) -> None:
    sys.stderr.write(f"{error}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
