"""`lockstep search`: what a person reads at 80 columns, and what is refused before anything is asked."""

from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from ops.cli import app
from ops.commands import search as command
from schemas.ranking import Ranks
from schemas.search import FacetCount, FacetField, Hit, SearchAnswer, SearchQuery

HIT = Hit(
    article_id="0108775015",
    score=0.51,
    ranks=Ranks(semantic=3, keyword=None),
    name="Organic cotton [bold]strap[/bold] top\x1b[31m with a name longer than a terminal is wide",
    description=None,
    product_type="Vest top",
    product_group="Garment upper body",
    color="Light turquoise and more",
    department="Jersey",
    index_name="Ladieswear",
    image_url=None,
    price="19.90",
    version=7,
    indexed_at=None,
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command asked for; `answer` is what it gets."""
    asked: dict[str, Any] = {"answer": SearchAnswer(hits=[HIT])}

    async def answer(settings: object, query: SearchQuery, **how: Any) -> SearchAnswer:
        asked.update(how, query=query)
        given: SearchAnswer = asked["answer"]
        return given

    monkeypatch.setattr(command, "_search", answer)
    monkeypatch.setattr(command, "load_settings", lambda: None)
    return asked


def run(*arguments: str) -> Any:
    return CliRunner(env={"COLUMNS": "80", "TERM": "dumb"}).invoke(app, ["search", *arguments])


def test_hits_show_their_ranks_within_80_columns(asked: dict[str, Any]) -> None:
    result = run("top")
    heading, line = result.stdout.splitlines()
    assert heading.split() == ["Meaning", "Words", "Article", "Name", "Colour", "Price"]
    assert line.split()[:3] == ["3", "-", "0108775015"]
    assert line.split()[-1] == "19.90"
    assert "[bold]" in line
    assert "\x1b" not in line
    assert max(map(len, (heading, line))) <= 80


def test_facets_are_counted_below_the_hits(asked: dict[str, Any]) -> None:
    counts = [FacetCount(value="Black", count=1200), FacetCount(value="[red]", count=1)]
    asked["answer"] = SearchAnswer(hits=[HIT], facets={FacetField.COLOR: counts, FacetField.DEPARTMENT: []})
    lines = run("top", "--facets", "color, department").stdout.splitlines()
    assert lines[2:] == ["color: Black 1,200, [red] 1", "department: none"]
    assert asked["facets"] == (FacetField.COLOR, FacetField.DEPARTMENT)


def test_a_search_that_gave_up_says_so(asked: dict[str, Any]) -> None:
    asked["answer"] = SearchAnswer(hits=[], complete=False)
    result = run("top", "--fresh")
    assert asked["fresh"] is True
    assert "no product matches" in result.stderr
    assert "there may be more" in result.stderr


def test_json_has_the_whole_answer(asked: dict[str, Any]) -> None:
    answer = orjson.loads(run("top", "--json").stdout)
    assert answer["hits"][0]["ranks"] == {"semantic": 3, "keyword": None}
    assert answer["complete"] is True


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("  ",), "text"),
        (("top", "--price-min", "2", "--price-max", "1"), "price_min is above price_max"),
        (("top", "--limit", "100", "--offset", "150"), "beyond the first 200 hits"),
        (("top", "--facets", "price"), "color, department"),
    ],
)
def test_what_cannot_be_right_is_refused(asked: dict[str, Any], arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())
    assert "query" not in asked


def test_bytes_that_are_no_utf8_are_searched_as_question_marks(asked: dict[str, Any]) -> None:
    assert run("robe d\udce9t\udce9", "--color", "gr\udce9").exit_code == 0
    assert asked["query"].text == "robe d?t?"
    assert asked["query"].filters.color == "gr?"
