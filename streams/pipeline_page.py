"""The page `/pipeline/` of a worker: its state for people, made on the server; a small script keeps it fresh."""

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from streams.stopwatch import Stage
from streams.worker_state import WorkerState

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
ASSETS = {"page.css": "text/css", "page.js": "text/javascript"}
"""What the page loads from beside it, and the type of each."""

UNKNOWN = "\N{EN DASH}"

_FOLDER = Path(__file__).parent / "pages"


def render(state: WorkerState, now: datetime) -> str:
    """The page. Whatever an error says is text in it, never markup."""
    return (
        _environment().get_template("pipeline.html").render(state=state, stages=_stages(state), at=now.astimezone(UTC))
    )


def asset(name: str) -> str:
    """The text of one of `ASSETS`."""
    return (_FOLDER / name).read_text()


def number(value: float | None) -> str:
    """`1,234`, and with one digit behind the point below ten; a dash for what is not known."""
    if value is None:
        return UNKNOWN
    return f"{value:,.1f}" if 0.05 <= value < 10 and value != int(value) else f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """`3 ms`, `1.2 s`, `4 min`, `3.5 h`, `12 days`; a dash for what is not known."""
    if seconds is None:
        return UNKNOWN
    for limit, divisor, unit in ((1, 0.001, "ms"), (120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{number(seconds / divisor)} {unit}"
    return f"{number(seconds / 86_400)} days"


def _stages(state: WorkerState) -> list[tuple[str, float | None, float]]:
    """Each stage with its seconds for a batch, and its share of them."""
    spent = state.activity.stage_seconds
    whole = sum(spent.values())
    return [
        (stage.value.replace("_", " "), spent.get(stage), spent.get(stage, 0.0) / whole if whole else 0.0)
        for stage in Stage
    ]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "duration": duration}
    return environment
