"""A made-up fashion catalogue, the same for the same seed: for demos, tests and measurements at any size.

Its shape is that of a large fashion retailer's: products of one to five articles that share a text and differ in
colour, ten-digit article ids of product code and variant, most columns filled, a few null.
"""

from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from random import Random

from connectors.postgres import ProductDraft
from ops.demo import vocabulary as words
from ops.demo.vocabulary import Garment

FIRST_PRODUCT_CODE = 108_775
_SHARES = [garment.share for garment in words.GARMENTS]
_VARIANT_COUNTS = (1, 2, 3, 4, 5)
_VARIANT_WEIGHTS = (42, 26, 16, 10, 6)
_CENTS = (Decimal("0.99"), Decimal("0.95"), Decimal("0.50"), Decimal("0.00"))
_CENTS_WEIGHTS = (70, 12, 10, 8)


def generate_products(count: int, seed: int = 1, start: int = 0) -> Iterator[ProductDraft]:
    """`count` rows of the seed's endless catalogue, from row `start` on, in the order of article_id.

    Row n is the same whatever `start` and `count` are, so a second load can go on where the first one ended.
    """
    return islice(_articles(Random(seed)), start, start + count)


def _articles(random: Random) -> Iterator[ProductDraft]:
    code = FIRST_PRODUCT_CODE
    while True:
        yield from _product(random, code)
        code += random.randrange(1, 15)


def _product(random: Random, code: int) -> Iterator[ProductDraft]:
    garment = random.choices(words.GARMENTS, _SHARES)[0]
    age = random.choices(garment.ages, [words.AGE_WEIGHTS[age] for age in garment.ages])[0]
    fabric = random.choice(garment.fabrics)
    shape = random.choice(garment.shapes.split(", "))
    pattern = random.choices(words.PATTERNS, words.PATTERN_WEIGHTS)[0]
    name = _name(random, garment, fabric, shape)
    description = None if random.random() < 0.004 else _description(random, garment, fabric, shape, pattern)
    department = _department(random, age, fabric)
    price = _price(random, garment)
    variants = random.choices(_VARIANT_COUNTS, _VARIANT_WEIGHTS)[0]
    for number, color in zip(_variant_numbers(random, variants), _colors(random, variants), strict=True):
        article_id = f"{code:07}{number:03}"
        yield ProductDraft(
            article_id=article_id,
            name=name,
            description=description,
            product_type=garment.product_type,
            product_group=garment.product_group,
            color=color,
            department=department,
            index_name="Sport" if department.endswith("Sport") else words.INDEX_NAMES[age],
            image_url=None
            if random.random() < 0.004
            else f"https://images.example.com/{article_id[:3]}/{article_id}.jpg",
            price=None if random.random() < 0.01 else price,
        )


def _name(random: Random, garment: Garment, fabric: str, shape: str) -> str:
    noun = garment.product_type
    return random.choice(
        (
            f"{random.choice(words.LINES)} {shape} {noun.lower()}",
            f"{shape.capitalize()} {fabric} {noun.lower()}",
            f"{random.choice(words.LINES)} {fabric} {noun.lower()}",
            f"{fabric.capitalize()} {noun.lower()} {random.choice(words.LINES)}",
            f"{random.choice(words.LINES).upper()} {noun}",
        )
    )


def _description(random: Random, garment: Garment, fabric: str, shape: str, pattern: str) -> str:
    first, second, *more = random.sample(garment.details.split(", "), k=random.choice((2, 2, 3, 3, 4)))
    print_words = "" if pattern == "plain" else f" {pattern}"
    kind = f"{shape}{print_words} {garment.product_type.lower()}"
    sentences = [f"{kind[0].upper()}{kind[1:]} in {fabric} with {first} and {second}."]
    if more:
        sentences.append(f"It has {' and '.join(more)}.")
    occasion = random.choice(words.OCCASIONS)
    sentences.append(f"{occasion} from the {random.choice(words.LINES)} line.")
    if random.random() < 0.6:
        sentences.append(random.choice(words.REMARKS))
    if random.random() < 0.5:
        sentences.append(random.choice(words.CARE))
    return " ".join(sentences)


def _department(random: Random, age: str, fabric: str) -> str:
    if fabric in words.SPORTS and age in words.SPORT_DEPARTMENTS and random.random() < 0.7:
        return words.SPORT_DEPARTMENTS[age]
    return random.choice(words.DEPARTMENTS[age])


def _price(random: Random, garment: Garment) -> Decimal:
    """Most prices stand near the low end, as shops have it."""
    whole = int(random.triangular(garment.low, garment.high, garment.low + (garment.high - garment.low) / 4))
    return whole + random.choices(_CENTS, _CENTS_WEIGHTS)[0]


def _variant_numbers(random: Random, variants: int) -> list[int]:
    return sorted(random.sample(range(1, 60), k=variants))


def _colors(random: Random, variants: int) -> list[str]:
    """Distinct colours, common ones first in line."""
    chosen: dict[str, None] = {}
    while len(chosen) < variants:
        chosen[random.choices(words.COLORS, words.COLOR_WEIGHTS)[0]] = None
    return list(chosen)
