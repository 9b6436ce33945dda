"""The command `lockstep`: joins the command groups and turns errors into a sentence and an exit code."""

import asyncio
import sys

import typer

from ops.commands import (
    bench,
    collections,
    connector,
    dead_letters,
    demo,
    doctor,
    rebuild,
    reconcile,
    replay,
    search,
    serve,
    stack,
    status,
    table,
    tokens,
    topics,
    worker,
)
from ops.terminal import ExitCode, err, print_error
from schemas.errors import (
    BrokerError,
    LockstepError,
    ReplayError,
    SettingsError,
    SourceError,
    StackError,
    VectorStoreError,
)

app = typer.Typer(
    name="lockstep",
    help="Keep a Qdrant collection in lockstep with a Postgres table.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # so that a paragraph's lines are joined before they are wrapped
    context_settings={"help_option_names": ["-h", "--help"]},
)

for group in (
    stack,
    status,
    worker,
    serve,
    tokens,
    doctor,
    search,
    reconcile,
    replay,
    rebuild,
    dead_letters,
    table,
    topics,
    connector,
    collections,
    demo,
    bench,
):
    group.register(app)


def exit_code(error: LockstepError) -> ExitCode:
    """The exit code that stands for an error."""
    match error:
        case SettingsError() | ReplayError():
            return ExitCode.USAGE
        case BrokerError() | SourceError() | VectorStoreError() | StackError():
            return ExitCode.UNREACHABLE
        case _:
            return ExitCode.FOUND_WRONG


def main() -> None:
    """Run a command; never shows a stack trace for an error that Lockstep knows."""
    try:
        app()
    except LockstepError as error:
        print_error(error)
        sys.exit(exit_code(error))
    except (KeyboardInterrupt, asyncio.CancelledError):
        err.print("interrupted")
        sys.exit(ExitCode.INTERRUPTED)


if __name__ == "__main__":
    main()
