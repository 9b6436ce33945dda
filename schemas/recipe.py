"""How a row's text becomes vectors; a collection's metadata holds the recipe it was made with."""

from functools import cached_property
from hashlib import sha256
from typing import Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from schemas.product import TEXT_COLUMNS, Product

OFFLINE_MODEL = "lockstep/all-minilm-l6-v2-int8"
"""all-MiniLM-L6-v2, int8 ONNX, 384 dimensions, from a wheel: nothing is downloaded at run time."""

CUT = "@"


def split_model(model: str) -> tuple[str, int | None]:
    """A model's own name, and to how many dimensions its vectors are cut: `<name>@<dimensions>`; None for whole ones.

    A cut vector is normalised again. Models trained for it lose little by that, others more.

    Raises:
        ValueError: What follows the @ is no number of dimensions.
    """
    name, cut, dimensions = model.partition(CUT)
    if not cut:
        return model, None
    if not name or not dimensions.isdecimal() or not 0 < int(dimensions) <= 65_536:
        raise ValueError(f"model {model} must be <name>{CUT}<dimensions>")
    return name, int(dimensions)


class SparseRecipe(BaseModel):
    """BM25's settings, the same at ingest and query; `avg_len` is the catalogue's mean document length in words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Literal["bm25"] = "bm25"
    language: Literal["english"] = "english"
    k: float = 1.2
    b: float = 0.75
    avg_len: float = 30.0


class Recipe(BaseModel):
    """Model, dimensions, distance, template and sparse settings, frozen: another recipe needs another collection.

    `model` is a model of fastembed, or `<model>@<dimensions>` for its vectors cut to fewer dimensions.
    The text of a row is its `text_columns` in order, joined by `separator`; null or blank columns are left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = OFFLINE_MODEL
    dimensions: int = Field(default=384, gt=0)
    distance: Literal["Cosine", "Dot", "Euclid", "Manhattan"] = "Cosine"
    text_columns: tuple[str, ...] = ("name", "product_type", "color", "department", "description")
    separator: str = ". "
    null_rule: Literal["omit"] = "omit"
    sparse: SparseRecipe = SparseRecipe()

    @model_validator(mode="after")
    def _cut_as_named(self) -> Self:
        _, cut = split_model(self.model)
        if cut not in (None, self.dimensions):
            raise ValueError(f"model {self.model} has {cut} dimensions, not {self.dimensions}")
        return self

    @field_validator("text_columns")
    @classmethod
    def _known_columns(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := sorted(set(columns) - set(TEXT_COLUMNS)) or (not columns and "none"):
            raise ValueError(f"text_columns must name some of {', '.join(TEXT_COLUMNS)}, got {unknown}")
        return columns

    @cached_property
    def recipe_id(self) -> str:
        """16 hexadecimal digits, the same for equal recipes on every machine."""
        return sha256(orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]

    def render(self, row: Product) -> str:
        """The text that is embedded; empty when every column of it is null or blank."""
        parts = (getattr(row, column) for column in self.text_columns)
        return self.separator.join(part.strip() for part in parts if part and part.strip())

    def fingerprint(self, text: str) -> str:
        """32 hexadecimal digits, equal exactly when recipe and text are: text is embedded once per fingerprint."""
        return sha256(f"{self.recipe_id}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
