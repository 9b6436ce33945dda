"""`lockstep dead-letters`: what could not be applied, shown, retried or discarded."""

import asyncio
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.commands import dead_letter_views as views
from ops.dead_letters import Collector, FoundLetter, Refused, Selection, find_letters, resolve, split_open
from ops.settings import Settings, load_settings
from ops.terminal import ExitCode, err, harmless, out, print_json
from schemas.dead_letter import ResolvedBy
from schemas.record import Place

if TYPE_CHECKING:
    from ops.dead_letter_retry import RetryPlan, RowResult

commands = typer.Typer(
    name="dead-letters", help="Show, retry or discard what could not be applied.", no_args_is_help=True
)

_NO_MATCH = "no open dead letters match"
_AGE = re.compile(r"(\d{1,5})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

Key = Annotated[str | None, typer.Option("--key", help="The article_id.", show_default=False)]
ErrorClass = Annotated[str | None, typer.Option("--error", help="DecodeError, for example.", show_default=False)]
Since = Annotated[
    str | None, typer.Option("--since", help="A time (2026-11-20T10:00, UTC) or an age: 2h, 3d.", show_default=False)
]
Until = Annotated[str | None, typer.Option("--until", help="The same; exclusive.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Places = Annotated[list[str] | None, typer.Argument(metavar="PLACE", help="As `list` prints them.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def register(app: typer.Typer) -> None:
    """Add the group to `lockstep`."""
    app.add_typer(commands)


@commands.command("list")
def list_letters(
    key: Key = None,
    error: ErrorClass = None,
    since: Since = None,
    until: Until = None,
    every: Annotated[bool, typer.Option("--all", help="Those that were retried or discarded, too.")] = False,
    json: Json = False,
) -> None:
    """List the dead letters that are open, the oldest first.

    Example: lockstep dead-letters list --error DecodeError --since 2h
    """
    selection = _selection(None, key, error, since, until)
    collector = asyncio.run(find_letters(load_settings().kafka.brokers, selection))
    letters = [found for found in collector.letters() if every or found.resolution is None]
    if json:
        print_json([views.as_dict(found) for found in letters])
    elif letters:
        out.print(views.table(letters))
    else:
        out.print(f"no {'' if every else 'open '}dead letters{'' if selection.is_everything else ' match'}")
    _name_foreign(collector)


@commands.command()
def show(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="As `list` prints it.", show_default=False)],
    raw: Annotated[bool, typer.Option("--raw", help="Write the original value as it is, and nothing else.")] = False,
    json: Json = False,
) -> None:
    """Show a dead letter with the record as it was. Exit code 1 if there is none.

    Quote the place: some shells read brackets as a pattern.

    Example: lockstep dead-letters show 'pgserver.public.products[0]@1041'
    """
    wanted = _place(place)
    selection = Selection(places=frozenset((wanted,)))
    letters = asyncio.run(find_letters(load_settings().kafka.brokers, selection, keep_values=True)).letters()
    if not letters:
        err.print(f"no dead letter for {wanted}", soft_wrap=True, markup=False)
        raise typer.Exit(ExitCode.FOUND_WRONG)
    [found] = letters
    if raw:
        sys.stdout.buffer.write(found.letter.record.value or b"")
    elif json:
        print_json(views.as_dict(found) | views.original(found.letter.record))
    else:
        for part in views.whole(found):
            out.print(part)


@commands.command()
def retry(
    places: Places = None,
    key: Key = None,
    error: ErrorClass = None,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Have Debezium read the rows of dead letters again, and say what becomes of each.

    The row's present state is indexed; the old record is never applied. A letter is resolved when its row is indexed or
    gone. Exit code 1 if one was refused, set aside again, or not indexed.

    Example: lockstep dead-letters retry --error DecodeError --since 1d
    """
    from ops.dead_letter_retry import plan_retry

    settings = load_settings()
    chosen = _choose(settings, places, key, error, since, until)
    plan = plan_retry(chosen.letters)
    refused = [*chosen.refused, *plan.refused]
    letters = [found for of_row in plan.rows.values() for found in of_row]
    question = f"Read {views.counted(len(plan.rows), 'row')} again, for {views.counted(len(letters), 'dead letter')}?"
    nothing = f"{views.counted(len(plan.refused), 'open dead letter')}: none can be retried"
    results: dict[str, RowResult] = {}
    if _goes_on(letters, question, nothing if plan.refused else _NO_MATCH, dry_run=dry_run, yes=yes, json=json):
        results = asyncio.run(_retry(settings, plan))
    if json:
        print_json({"dry_run": dry_run, "retried": _outcomes(plan, results), "refused": views.refusals(refused)})
    elif results:
        out.print(views.outcomes(plan, results))
    _name_refused(refused, json=json)
    if refused or any(not result.outcome.is_right for result in results.values()):
        raise typer.Exit(ExitCode.FOUND_WRONG)


@commands.command()
def discard(
    places: Places = None,
    key: Key = None,
    error: ErrorClass = None,
    since: Since = None,
    until: Until = None,
    reason: Annotated[str, typer.Option("--reason", help="Kept with it.", show_default=False)] = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Say that dead letters need nothing more: they leave the list, and stay on the topic.

    Exit code 1 if a place is not an open dead letter.

    Example: lockstep dead-letters discard 'pgserver.public.products[0]@1041' --reason "a test record"
    """
    settings = load_settings()
    chosen = _choose(settings, places, key, error, since, until)
    question = f"Discard {views.counted(len(chosen.letters), 'dead letter')}?"
    if _goes_on(chosen.letters, question, _NO_MATCH, dry_run=dry_run, yes=yes, json=json):
        discarded = resolve(
            settings.kafka.brokers, chosen.letters, ResolvedBy.DISCARDED, now=datetime.now(UTC), reason=reason
        )
        asyncio.run(discarded)
        if not json:
            out.print(f"{views.counted(len(chosen.letters), 'dead letter')} discarded")
    if json:
        places_now = [str(found.place) for found in chosen.letters]
        print_json({"dry_run": dry_run, "discarded": places_now, "refused": views.refusals(chosen.refused)})
    _name_refused(chosen.refused, json=json)
    if chosen.refused:
        raise typer.Exit(ExitCode.FOUND_WRONG)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    letters: Sequence[FoundLetter]
    refused: Sequence[Refused]


def _choose(
    settings: Settings,
    places: list[str] | None,
    key: str | None,
    error: str | None,
    since: str | None,
    until: str | None,
) -> _Chosen:
    """The open letters that are meant; nobody means all of them by saying nothing."""
    selection = _selection(places, key, error, since, until)
    if selection.is_everything:
        raise typer.BadParameter("name places, or choose by --key, --error, --since or --until", param_hint="PLACE")
    collector = asyncio.run(find_letters(settings.kafka.brokers, selection))
    letters, refused = split_open(collector.letters(), selection.places)
    return _Chosen(letters=letters, refused=refused)


def _goes_on(
    letters: Sequence[FoundLetter], question: str, nothing: str, *, dry_run: bool, yes: bool, json: bool
) -> bool:
    """Print what is about to be done, and ask; False when nothing is to be done, which `nothing` says."""
    if json and not (yes or dry_run):
        raise typer.BadParameter("--json cannot ask: give --yes too")
    if not letters:
        if not json:
            out.print(nothing)
        return False
    if not json and (dry_run or not yes):
        out.print(views.table(letters))
    if not dry_run and not yes:
        typer.confirm(question, abort=True, err=True)
    return not dry_run


async def _retry(settings: Settings, plan: "RetryPlan") -> "dict[str, RowResult]":
    # Qdrant's client takes a second to import, which `--help` should not.
    from ops.catch_up import Pipeline
    from ops.dead_letter_retry import SetAside, retry_rows
    from ops.stores import open_rows, open_store

    brokers = settings.kafka.brokers
    async with open_store(settings) as store, open_rows(settings) as rows, Pipeline.open(settings, _say) as pipeline:
        set_aside = await SetAside.after_now(brokers)
        results = await retry_rows(
            plan.rows, rows=rows, store=store, settle=pipeline.settle, set_aside=set_aside.places
        )
    right = [found for key, letters in plan.rows.items() if results[key].outcome.is_right for found in letters]
    await resolve(brokers, right, ResolvedBy.RETRIED, now=datetime.now(UTC))
    return results


def _outcomes(plan: "RetryPlan", results: "dict[str, RowResult]") -> list[dict[str, Any]]:
    return [views.outcome_as_dict(found, key, results.get(key)) for key, of in plan.rows.items() for found in of]


def _selection(
    places: list[str] | None, key: str | None, error: str | None, since: str | None, until: str | None
) -> Selection:
    now = datetime.now(UTC)
    return Selection(
        places=frozenset(map(_place, places or ())),
        key=key,
        error_class=error,
        since=None if since is None else parse_time(since, now, "--since"),
        until=None if until is None else parse_time(until, now, "--until"),
    )


def parse_time(text: str, now: datetime, option: str) -> datetime:
    """A time in ISO 8601, UTC where it names no zone, or an age such as `2h`.

    Raises:
        BadParameter: It is neither.
    """
    if match := _AGE.fullmatch(text):
        return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is neither a time (2026-11-20T10:00) nor an age (2h)", param_hint=option
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _place(text: str) -> Place:
    try:
        return Place.parse(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: write topic[partition]@offset", param_hint="PLACE") from error


def _name_foreign(collector: Collector) -> None:
    foreign = collector.foreign
    if foreign.count:
        err.print(f"{views.counted(foreign.count, 'other record')} on the topic, left alone:", soft_wrap=True)
        for example in foreign.examples:
            err.print(f"  {harmless(example)}", soft_wrap=True, markup=False)


def _name_refused(refused: Sequence[Refused], *, json: bool) -> None:
    if not json:
        for each in refused:
            err.print(harmless(f"refused {each.place}: {each.reason}"), soft_wrap=True, markup=False)


def _say(line: str) -> None:
    err.print(line, style="dim", markup=False)
