"""``crossplant exceptions``: what waits for a person, and what becomes of it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.commands.asking import DEFAULT_URL, AsJson, KeyFile, Url, ask

__all__ = ["exceptions"]

exceptions = typer.Typer(no_args_is_help=True)

Number = Annotated[int, typer.Argument(help="The exception's number.", min=1, metavar="NUMBER")]


@exceptions.command("list", short_help="Lists what waits for a person, the most urgent first.")
def list_exceptions(
    queue: Annotated[str, typer.Option(help="Only of this team.")] = "",
    plant: Annotated[str, typer.Option(help="Only of this plant.")] = "",
    kind: Annotated[str, typer.Option(help="Only business, or technical.")] = "",
    *,
    resolved: Annotated[bool, typer.Option("--all", help="Those that are resolved, too.")] = False,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Lists exceptions: one per cause, however often it struck; they close by themselves once it is gone.

    \b
    crossplant exceptions list --queue engineering
    """
    from gateway.commands.terminal import moment, show_json, show_table

    wanted = {"queue": queue, "plant": plant, "kind": kind, "status": "all" if resolved else ""}
    given = {name: value for name, value in wanted.items() if value}
    found = list(ask(url, key_file).items("/v1/exceptions", given))
    if as_json:
        show_json(found)
        return
    show_table(
        ("no", "priority", "status", "queue", "assignee", "due", "times", "what"),
        [
            (
                *(one["id"], one["priority"], one["status"], one["queue"], one["assignee"]),
                *(moment(one["due_at"]), one["occurrences"], one["title"]),
            )
            for one in found
        ],
        none="nothing waits for a person",
    )


@exceptions.command(short_help="Shows one, with its history.")
def show(
    number: Number, url: Url = DEFAULT_URL, key_file: KeyFile = None, *, as_json: AsJson = False
) -> None:
    """Shows an exception and who did what about it.

    \b
    crossplant exceptions show 4
    """
    from gateway.commands.terminal import details, moment, show_json
    from gateway.commands.terminal import show as line

    found = ask(url, key_file).get(f"/v1/exceptions/{number}")
    if as_json:
        show_json(found)
        return
    details(
        [
            *((name, found[name]) for name in ("title", "kind", "status", "queue", "assignee", "priority")),
            *((name, found[name]) for name in ("route", "plant", "occurrences")),
            *((name.replace("_", " "), moment(found[name])) for name in ("opened_at", "last_at", "due_at")),
            ("resolution", found["resolution"]),
        ]
    )
    for note in found["history"]:
        line(f"{moment(note['at'])}  {note['actor']}: {note['text']}")


@exceptions.command(short_help="Takes one on, or hands it on.")
def assign(
    number: Number,
    to: Annotated[str, typer.Argument(help='Who takes it on; "" gives it back.', metavar="WHO")],
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """Says who takes an exception on.

    \b
    crossplant exceptions assign 4 "night shift"
    """
    _tell(ask(url, key_file).post(f"/v1/exceptions/{number}/assign", {"to": to}))


@exceptions.command(short_help="Leaves word for the others.")
def comment(
    number: Number,
    text: Annotated[str, typer.Argument(help="What the others should know.")],
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """Adds a line to an exception's history.

    \b
    crossplant exceptions comment 4 "asked the supplier for the new item code"
    """
    _tell(ask(url, key_file).post(f"/v1/exceptions/{number}/comment", {"text": text}))


@exceptions.command(short_help="Ends one.")
def resolve(
    number: Number,
    resolution: Annotated[str, typer.Option(help="What was done about it.")],
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """Ends an exception; it is reopened when its cause strikes again, and its clock goes on.

    \b
    crossplant exceptions resolve 4 --resolution "the ERP was patched"
    """
    _tell(ask(url, key_file).post(f"/v1/exceptions/{number}/resolve", {"resolution": resolution}))


def _tell(task: Any) -> None:
    from gateway.commands.terminal import say, visible

    whose = f", {visible(task['assignee'])}" if task["assignee"] else ""
    say(f"exception {task['id']} is {task['status']}{whose}")
