"""The made-up catalogue: the same for the same seed, shaped like a real one."""

from decimal import Decimal
from hashlib import sha256
from itertools import groupby

from connectors.postgres import ProductDraft
from ops.demo.catalogue import generate_products
from schemas.product import Product
from schemas.recipe import Recipe

ROWS = list(generate_products(5000))


def test_the_same_seed_gives_the_same_rows_in_every_process() -> None:
    digest = sha256(repr(list(generate_products(1000, seed=7))).encode()).hexdigest()
    assert digest == sha256(repr(list(generate_products(1000, seed=7))).encode()).hexdigest()
    assert next(generate_products(3)).article_id == "0108775007"
    assert list(generate_products(1000, seed=8)) != list(generate_products(1000, seed=7))


def test_a_second_load_goes_on_where_the_first_ended() -> None:
    assert list(generate_products(500, start=1000)) == ROWS[1000:1500]


def test_article_ids_are_ten_digits_unique_and_ascending() -> None:
    ids = [row.article_id for row in ROWS]
    assert all(len(key) == 10 and key.isdigit() for key in ids)
    assert ids == sorted(set(ids))


def test_variants_share_their_text_and_differ_in_colour() -> None:
    products = [list(variants) for _, variants in groupby(ROWS, key=lambda row: row.article_id[:7])]
    assert 1.8 < len(ROWS) / len(products) < 2.6
    for variants in products:
        assert len({row.description for row in variants}) == 1
        assert len({row.color for row in variants}) == len(variants)


def test_nearly_every_text_is_its_own_so_that_nearly_every_row_is_embedded() -> None:
    recipe = Recipe()
    texts = {recipe.render(_product(row)) for row in ROWS}
    assert len(texts) > 0.99 * len(ROWS)


def test_descriptions_have_about_thirty_words_and_some_are_null() -> None:
    words = [len(row.description.split()) for row in ROWS if row.description]
    assert 27 < sum(words) / len(words) < 36
    assert 0 < sum(row.description is None for row in ROWS) < 0.02 * len(ROWS)


def test_prices_are_cents_in_a_plausible_range_and_some_are_null() -> None:
    prices = [row.price for row in ROWS if row.price is not None]
    assert all(Decimal(3) <= price <= Decimal(221) for price in prices)
    assert all(price.as_tuple().exponent == -2 for price in prices)
    assert 0 < len(ROWS) - len(prices) < 0.03 * len(ROWS)


def test_a_thousand_rows_have_a_right_answer_to_black_cotton_t_shirt() -> None:
    right = [
        row
        for row in ROWS[:1000]
        if row.color == "Black" and row.product_type == "T-shirt" and "cotton" in f"{row.name} {row.description}"
    ]
    assert len(right) >= 5


def _product(draft: ProductDraft) -> Product:
    return Product(id=1, **{name: getattr(draft, name) for name in ProductDraft.__slots__})
