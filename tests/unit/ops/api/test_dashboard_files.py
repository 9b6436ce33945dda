"""The files that the dashboard is made of: what is borrowed is as published, and nothing comes from elsewhere."""

import re
from hashlib import sha256
from pathlib import Path

import pytest

import ops.api

STATIC = Path(ops.api.__file__).parent / "static"
VENDOR = STATIC / "vendor"
TEMPLATES = STATIC.with_name("templates")
OURS = [*STATIC.glob("dashboard*"), *TEMPLATES.glob("dashboard*.html")]


def test_borrowed_files_are_as_the_table_says() -> None:
    table = dict(re.findall(r"^\| `([^`]+)` .*`([0-9a-f]{64})` \|$", (VENDOR / "README.md").read_text(), re.MULTILINE))
    borrowed = {path.name for path in VENDOR.iterdir() if path.suffix in (".js", ".css")}
    assert borrowed == set(table)
    assert {name: sha256((VENDOR / name).read_bytes()).hexdigest() for name in borrowed} == table


def test_each_borrowed_package_has_its_licence_beside_it() -> None:
    for name in ("uplot", "idiomorph"):
        assert (VENDOR / f"{name}.LICENSE").read_text().strip()


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_nothing_is_inline_and_nothing_comes_from_another_host(path: Path) -> None:
    text = path.read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|//cdn|@import", text)
    if path.suffix == ".html":
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon[a-z]+=|javascript:", text)
    if path.suffix == ".js":
        assert not re.search(r"innerHTML\s*=|insertAdjacentHTML|document\.write|\beval\(", text)
