"""BM25's weights, its stopwords, and texts without words."""

import pytest

from connectors.sparse_encoder import SparseEncoder
from schemas.recipe import SparseRecipe


@pytest.fixture(scope="module")
def encoder() -> SparseEncoder:
    return SparseEncoder(SparseRecipe())


def test_weight_is_bm25_s_term_frequency(encoder: SparseEncoder) -> None:
    # f (k + 1) / (f + k (1 - b + b length / average)), with the recipe's k 1.2, b 0.75 and average 30.
    (vector,) = encoder.encode(["Black dress, black belt"])
    saturation = 1.2 * (1 - 0.75 + 0.75 * 4 / 30)
    assert sorted(vector.values) == pytest.approx(sorted([2 * 2.2 / (2 + saturation)] + [2.2 / (1 + saturation)] * 2))
    assert len(set(vector.indices)) == 3


def test_settings_of_the_recipe_count(encoder: SparseEncoder) -> None:
    flat = SparseEncoder(SparseRecipe(k=2.0, b=0.0, avg_len=5.0))
    assert flat.encode(["dress"])[0].values == pytest.approx([3.0 / 3.0])
    assert flat.encode(["dress"])[0].indices == encoder.encode(["dress"])[0].indices


def test_words_meet_by_stem_and_a_query_weighs_each_once(encoder: SparseEncoder) -> None:
    (document,) = encoder.encode(["Striped dresses"])
    query = encoder.encode_query("the dress with stripes, a dress")
    assert set(query.indices) == set(document.indices)
    assert query.values == [1.0, 1.0]
    assert all(type(value) is float for value in query.values)


@pytest.mark.parametrize("text", ["", " \n", "!!! … 👗", "the and of isn't it", "x" * 41])
def test_text_without_words_gives_an_empty_vector(encoder: SparseEncoder, text: str) -> None:
    assert encoder.encode([text]) == [([], [])]
    assert encoder.encode_query(text) == ([], [])


def test_large_text_is_read_whole(encoder: SparseEncoder) -> None:
    (vector,) = encoder.encode(["filler " * 150_000 + "needle"])
    assert encoder.encode_query("needle").indices[0] in vector.indices
