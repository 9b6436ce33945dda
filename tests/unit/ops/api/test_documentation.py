"""The pages: complete, and with nothing from another host."""

import re
from html.parser import HTMLParser

import pytest

from ops.api.problems import ProblemType
from tests.fakes.api import operation, served
from tests.unit.ops.api.test_openapi import NESTED
from tests.unit.ops.api.test_request_reader import SHOW


class _Page(HTMLParser):
    """What a page refers to, its ids, and the elements that it opens and does not close."""

    VOID = frozenset({"meta", "link", "br", "!doctype"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("href", "src", "action"):
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open[-1] in ("p", "li", "dt", "dd") and self.open[-1] != tag:
            self.open.pop()
        assert self.open.pop() == tag


async def _page(path: str) -> tuple[str, _Page]:
    async with served(SHOW, NESTED) as client, client.get(path) as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        text = await response.text()
    return text, _Page(text)


@pytest.mark.parametrize("path", ["/docs", "/docs/problems"])
async def test_a_page_is_whole_runs_nothing_and_loads_nothing_from_elsewhere(path: str) -> None:
    _, page = await _page(path)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert not {"script", "style", "img", "iframe", "form"} & set(page.tags)
    assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in page.links)


async def test_every_link_within_a_page_leads_somewhere() -> None:
    _, page = await _page("/docs")
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)


async def test_every_link_to_another_page_is_answered() -> None:
    async with served(operation()) as client:
        for path in ("/docs", "/docs/problems", "/docs/docs.css", "/openapi.json"):
            async with client.get(path) as response:
                assert response.status == 200, path


async def test_the_docs_show_each_operation_with_its_parameters_answers_and_scope() -> None:
    text, page = await _page("/docs")
    words = re.sub(r"<[^>]+>", "", text)
    assert {"thing", "nested", "schema-Answer", "schema-ThingBody"} <= set(page.ids)
    for expected in (
        "PUT /thing/{key}",
        "If-Match",
        "≥ 1, ≤ 100, default 10",
        "Scope operate.",
        "Its version.",
        "no-job",
    ):
        assert expected in words


async def test_every_problem_has_the_place_that_its_type_names() -> None:
    _, page = await _page("/docs/problems")
    assert {each.uri for each in ProblemType} <= {f"/docs/problems#{name}" for name in page.ids}
