"""`lockstep demo load` and `generate` where no database is needed."""

from pathlib import Path

import orjson
import pytest
import typer
from typer.testing import CliRunner

from ops.commands import demo
from ops.demo.catalogue import generate_products

runner = CliRunner()


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    demo.register(app)
    return app


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.csv"
    path.write_text("sku,title,cents\n1,One,199\n2,,5\n3,Three,dear\n")
    return path


MAP = ["--map", "article_id=sku", "--map", "name=title", "--map", "price=cents", "--scale", "price=0.01"]


def test_a_dry_run_refuses_by_line_number_and_ends_with_1(app: typer.Typer, shop: Path) -> None:
    result = runner.invoke(app, ["demo", "load", str(shop), "--dry-run", "--json", *MAP])
    assert result.exit_code == 1
    assert "line 3 refused: no name" in result.stderr
    assert "line 4 refused: price is no number: 'dear'" in result.stderr
    assert orjson.loads(result.stdout) == {
        "read": 3,
        "inserted": 1,
        "updated": 0,
        "unchanged": 0,
        "refused": 2,
        "reasons": {"no name": 1, "price is no number": 1},
        "dry_run": True,
    }


def test_the_summary_is_a_table(app: typer.Typer, shop: Path) -> None:
    result = runner.invoke(app, ["demo", "load", str(shop), "--dry-run", *MAP])
    assert [line.split() for line in result.stdout.splitlines()][1:4] == [
        ["read", "3"],
        ["acceptable", "1"],
        ["refused", "2"],
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--map", "nonsense"],
        ["--map", "id=sku"],
        ["--map", "name="],
        ["--scale", "price=0"],
        ["--scale", "price=x"],
        ["--scale", "name=2"],
    ],
    ids=" ".join,
)
def test_a_wrong_map_or_scale_is_a_usage_error(app: typer.Typer, shop: Path, arguments: list[str]) -> None:
    assert runner.invoke(app, ["demo", "load", str(shop), "--dry-run", *arguments]).exit_code == 2


def test_generate_prints_lines_that_load_reads_back(app: typer.Typer, tmp_path: Path) -> None:
    result = runner.invoke(app, ["demo", "generate", "20", "--start", "5"])
    path = tmp_path / "made-up.jsonl"
    path.write_bytes(result.stdout_bytes)
    assert [orjson.loads(line)["article_id"] for line in result.stdout_bytes.splitlines()] == [
        row.article_id for row in generate_products(20, start=5)
    ]
    assert runner.invoke(app, ["demo", "load", str(path), "--dry-run"]).exit_code == 0
