"""Page tokens: they come back as they went out, and fit nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.api.page_token import page_token, position_of
from ops.api.problems import ProblemError

KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(KEYS)
def test_token_gives_its_position_back_and_needs_no_escape_in_an_address(position: str) -> None:
    token = page_token("products", position)
    assert position_of("products", token) == position
    assert not token.strip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


GOOD = page_token("products", "a")


@pytest.mark.parametrize(
    "token",
    [
        page_token("other", "a"),
        page_token("", "a"),
        GOOD[:-1],
        GOOD + "A",
        GOOD + "=",
        GOOD + "\n",
        "é" + GOOD,
        page_token("products", "a\0b"),
        "",
        "A",
        "AAAA",
        "JyBPUiAxPTE",
        "A" * 4096,
    ],
)
def test_token_of_another_query_or_a_damaged_one_is_refused(token: str) -> None:
    with pytest.raises(ProblemError):
        position_of("products", token)
