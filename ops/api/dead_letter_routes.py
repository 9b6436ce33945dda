"""Dead letters: those that are open with their reasons, and a retry."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from ops.api.operation import Call, Operation, Reply, Scope, Success
from ops.api.problems import ProblemError, ProblemType
from ops.dead_letter_jobs import LetterRetries, Retry, RetryRefusedError, refusal_of
from ops.dead_letters import FoundLetter, key_text
from schemas.record import Place

LETTERS = "/dead-letters"
RETRY = LETTERS + "/{place}/retry"
SHOWN = 100

ReadLetters = Callable[[], Awaitable[Sequence[FoundLetter]]]

_PLACE = r"^[^\[\]@]+\[[0-9]{1,9}\]@[0-9]{1,18}$"


class OpenLetter(BaseModel):
    """A record that could not be applied, and why."""

    model_config = ConfigDict(frozen=True)

    place: str = Field(description="Where the record stands on its topic.")
    article_id: str | None = Field(description="The row's, or the key's own text where it names no row.")
    error_class: str
    error: str
    attempts: int
    set_aside_at: datetime
    value_bytes: int | None = Field(description="The size of the record's value; null for a tombstone.")
    refusal: str | None = Field(description="Why it cannot be retried; null when it can.")

    @classmethod
    def of(cls, found: FoundLetter) -> Self:
        """The letter without its record."""
        letter = found.letter
        return cls(
            place=str(found.place),
            article_id=key_text(letter.record),
            error_class=letter.error_class,
            error=letter.error,
            attempts=letter.attempts,
            set_aside_at=letter.set_aside_at,
            value_bytes=found.value_bytes,
            refusal=refusal_of(found),
        )


class OpenLetters(BaseModel):
    """The oldest open dead letters, and what became of the retries that this server was asked for."""

    model_config = ConfigDict(frozen=True)

    count: int = Field(description="How many are open.")
    letters: list[OpenLetter] = Field(description=f"The oldest {SHOWN} of them, the oldest first.")
    retries: list[Retry] = Field(description="The last twenty since the server's start, the newest first.")


class LetterPath(BaseModel):
    """A dead letter."""

    model_config = ConfigDict(frozen=True)

    place: str = Field(
        pattern=_PLACE,
        max_length=300,
        description="As the list gives it, percent-encoded.",
        examples=["pgserver.public.products[0]@1041"],
    )


def operations(read: ReadLetters, retries: LetterRetries) -> tuple[Operation, ...]:
    """List the open ones, and retry one."""

    async def list_open(_: Call[None, None, None]) -> Reply:
        return Reply(body=summary(await read(), retries))

    async def retry(call: Call[LetterPath, None, None]) -> Reply:
        place = Place.parse(call.path.place)
        found = next((each for each in await read() if each.place == place), None)
        if found is None:
            raise ProblemError(ProblemType.NO_DEAD_LETTER, "no open dead letter has this place")
        try:
            begun = retries.start(found)
        except RetryRefusedError as error:
            raise ProblemError(ProblemType.CANNOT_RETRY, str(error)) from error
        return Reply(status=202, body=begun)

    return (
        Operation(
            method="GET",
            path=LETTERS,
            name="listDeadLetters",
            summary="See what could not be applied, and why",
            tag="dead letters",
            scope=Scope.OPERATE,
            handler=list_open,
            successes=(Success(description="The open dead letters.", model=OpenLetters),),
            problems=(ProblemType.BROKER_UNAVAILABLE,),
        ),
        Operation(
            method="POST",
            path=RETRY,
            name="retryDeadLetter",
            summary="Read the row of a dead letter again",
            description="Begins, and `GET /dead-letters` says among `retries` what became of it. The old record is "
            "never applied: Debezium reads the row's present state, and the letter is resolved when that is indexed.",
            tag="dead letters",
            scope=Scope.OPERATE,
            handler=retry,
            path_model=LetterPath,
            successes=(Success(status=202, description="It has begun.", model=Retry),),
            problems=(ProblemType.NO_DEAD_LETTER, ProblemType.CANNOT_RETRY, ProblemType.BROKER_UNAVAILABLE),
        ),
    )


def summary(letters: Sequence[FoundLetter], retries: LetterRetries) -> OpenLetters:
    """What the list answers."""
    return OpenLetters(
        count=len(letters),
        letters=[OpenLetter.of(found) for found in letters[:SHOWN]],
        retries=retries.remembered(),
    )
