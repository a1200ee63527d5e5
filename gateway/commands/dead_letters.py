"""``crossplant dead-letters``: what could not be taken in or delivered, and how it gets out again."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.commands.asking import DEFAULT_URL, AsJson, KeyFile, Reason, Url, ask, because
from gateway.commands.edits import approve, edit, edits, withdraw
from gateway.commands.retries import groups, retries

__all__ = ["dead_letters"]

dead_letters = typer.Typer(no_args_is_help=True)

Number = Annotated[int, typer.Argument(help="The dead letter's number.", min=1, metavar="NUMBER")]
Numbers = Annotated[
    list[int] | None, typer.Argument(help="Numbers of dead letters.", min=1, metavar="NUMBER")
]
Group = Annotated[
    str | None, typer.Option(help="All open ones that failed alike: a fingerprint, as the list shows it.")
]
Route = Annotated[str | None, typer.Option(help="Of this route.")]
Adapter = Annotated[str | None, typer.Option(help="Of this adapter.")]


@dead_letters.command("list", short_help="Lists dead letters, newest first.")
def list_dead_letters(
    status: Annotated[
        str, typer.Option(help="open, retrying, recovered, discarded, or all.", metavar="STATUS")
    ] = "open",
    route: Route = None,
    adapter: Adapter = None,
    plant: Annotated[str | None, typer.Option(help="Of this plant.")] = None,
    group: Group = None,
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = 100,
    *,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Lists dead letters, newest first: what could not be taken in (kind message) or delivered (delivery).

    \b
    crossplant dead-letters list --route asn-to-erp
    """
    from gateway.commands.terminal import moment, show_json, show_table

    wanted = {
        "status": None if status == "all" else status,
        "route": route,
        "adapter": adapter,
        "plant": plant,
        "fingerprint": group,
        "limit": min(limit, 1000),
    }
    found = list(ask(url, key_file).items("/v1/dead-letters", wanted, at_most=limit))
    if as_json:
        show_json(found)
        return
    show_table(
        ("no", "status", "last at", "kind", "where", "group", "what is wrong"),
        [
            (
                one["id"],
                one["status"],
                moment(one.get("last_at")),
                one["kind"],
                one.get("route") or one.get("adapter"),
                one.get("fingerprint"),
                one.get("error"),
            )
            for one in found
        ],
        none="no dead letters",
    )


@dead_letters.command(short_help="Shows one, with its original bytes.")
def show(
    number: Number, url: Url = DEFAULT_URL, key_file: KeyFile = None, *, as_json: AsJson = False
) -> None:
    """Shows a dead letter: what is wrong, every reason, and the bytes as they came in.

    \b
    crossplant dead-letters show 17
    """
    from gateway.commands.terminal import details, moment, show_json
    from gateway.commands.terminal import show as line

    letter = ask(url, key_file).get(f"/v1/dead-letters/{number}")
    if as_json:
        show_json(letter)
        return
    names = ("kind", "status", "stage", "adapter", "plant", "type", "route", "key", "position", "attempts")
    details(
        [
            ("number", letter["id"]),
            *((name, letter.get(name)) for name in names),
            ("first at", moment(letter.get("first_at"))),
            ("last at", moment(letter.get("last_at"))),
            ("what is wrong", f"{letter.get('code')}: {letter.get('error')}"),
            *(("", f"{fault.get('pointer')} {fault.get('detail')}") for fault in letter.get("errors") or ()),
            ("ended by", letter.get("resolved_by")),
            ("reason", letter.get("reason")),
            *((str(name), value) for name, value in (letter.get("attributes") or {}).items()),
        ]
    )
    line("")
    line(_body(letter))


def _body(letter: Any) -> str:
    """The bytes for a terminal: lines stay lines, what could steer it is escaped."""
    from gateway.commands.terminal import visible

    text = letter.get("body")
    if text is None:
        return f"{letter.get('size_bytes', '?')} bytes that are no text; --json has them in base64"
    shown = "\n".join(visible(row) for row in str(text).splitlines())
    return f"{shown}\n(cut: it has {letter.get('size_bytes')} bytes)" if letter.get("truncated") else shown


@dead_letters.command(short_help="Tries again: some, a group, or a route's.")
def retry(
    numbers: Numbers = None,
    group: Group = None,
    route: Route = None,
    adapter: Adapter = None,
    *,
    rate: Annotated[
        float | None,
        typer.Option(help="At most so many a second, of a group or filter, whatever their number."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Shows what would come of it, and delivers nothing.")
    ] = False,
    reason: Reason = "",
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Tries dead letters again: messages are taken in anew, deliveries go back to their routes.

    With --rate what is open now is frozen and tried at that rate, while the progress is shown; Ctrl-C leaves
    it running. `crossplant dead-letters retries` lists these, and stops or resumes one.

    With --dry-run they are held against today's configuration: what would be delivered, what would fail again
    and why, how many of each; exit code 1 when some would fail or wait for a code.

    \b
    crossplant dead-letters retry 17 18 --reason "the ERP took the item over at noon"
    crossplant dead-letters retry --route asn-to-erp --dry-run
    crossplant dead-letters retry --group 3f0a9c2b77d1 --rate 20
    """
    chosen = {"route": route, "adapter": adapter}
    if dry_run:
        from gateway.commands.dry_run import dry_run as tell

        tell(numbers, group, chosen, url, key_file, as_json=as_json)
        return
    if rate is not None:
        from gateway.commands.retries import begin

        begin(group, chosen, rate, url, key_file, numbers=numbers, reason=reason, as_json=as_json)
        return
    _act("retry", numbers, group, chosen, because(reason), url, key_file, as_json=as_json)


@dead_letters.command(short_help="Gives up for good: some, a group, or a route's.")
def discard(
    reason: Annotated[str, typer.Option(help="Why; it stands in the audit.")],
    numbers: Numbers = None,
    group: Group = None,
    route: Route = None,
    adapter: Adapter = None,
    *,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Gives dead letters up for good; what waited behind them is delivered.

    \b
    crossplant dead-letters discard 17 --reason "posted by hand, document 4900012345"
    """
    filters = {"route": route, "adapter": adapter}
    _act("discard", numbers, group, filters, {"reason": reason}, url, key_file, as_json=as_json)


def _act(
    act: str,
    numbers: list[int] | None,
    group: str | None,
    filters: dict[str, str | None],
    more: dict[str, str],
    url: str,
    key_file: Any,
    *,
    as_json: bool,
) -> None:
    from canonical.errors import ConfigError
    from gateway.commands.terminal import say, show_json

    chosen = {name: value for name, value in filters.items() if value is not None}
    if bool(numbers) == bool(group or chosen):
        raise ConfigError("say which: numbers, or --group, --route, --adapter")
    client = ask(url, key_file)
    results: list[Any] = []
    if numbers:
        results = [client.post(f"/v1/dead-letters/{number}/{act}", more) for number in numbers]
    else:
        wanted = {**more, **({"group": group} if group else {}), **({"filter": chosen} if chosen else {})}
        answer = client.post(f"/v1/dead-letters/{act}", wanted)
        results = answer["results"]
        if answer.get("remaining"):
            say(f"{answer['remaining']} more are left: run it again")
    if as_json:
        show_json(results)
    _tell(results, quiet=as_json)


def _tell(results: list[Any], *, quiet: bool) -> None:
    """Exits with 1 when one of them is open as before."""
    from gateway.commands.terminal import say, show, visible

    failed = [one for one in results if one.get("status") in (None, "open")]
    if not quiet:
        for one in results:
            words = visible(one.get("error")) if one in failed else ""
            show(f"{one['id']}  {one.get('status') or 'not possible'}  {words}".rstrip())
    if not results:
        say("no open dead letter is among them")
    if failed:
        raise typer.Exit(1)


dead_letters.command("groups", short_help="What failed alike, and how often.")(groups)
dead_letters.command("retries", short_help="Retries of many: their progress; stops or resumes one.")(retries)
dead_letters.command("edit", short_help="Proposes other content.")(edit)
dead_letters.command("edits", short_help="Lists the edits of one.")(edits)
dead_letters.command("approve", short_help="Lets an edit take effect.")(approve)
dead_letters.command("withdraw", short_help="Gives an edit up.")(withdraw)
