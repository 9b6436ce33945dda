"""BM25 as sparse vectors: term ids and weights. The other half of the formula, the term's rarity, is Qdrant's `idf`."""

from collections.abc import Sequence
from tempfile import gettempdir
from typing import NamedTuple

from connectors.fastembed_without_telemetry import Bm25, SparseEmbedding
from schemas.recipe import SparseRecipe

# NLTK's English list, which Qdrant's own BM25 uses too, less the words with an apostrophe: the tokenizer splits those.
# Given here because fastembed fetches its copy from a hub. Another list would be another language of the recipe.
_STOPWORDS = {
    "english": """
    i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers herself it
    its itself they them their theirs themselves what which who whom this that these those am is are was were be been
    being have has had having do does did doing a an the and but if or because as until while of at by for with about
    against between into through during before after above below to from up down in out on off over under again further
    then once here there when where why how all any both each few more most other some such no nor not only own same so
    than too very s t can will just don should now d ll m o re ve y ain aren couldn didn doesn hadn hasn haven isn ma
    mightn mustn needn shan shouldn wasn weren won wouldn
    """,
}


class SparseVector(NamedTuple):
    """Distinct term ids and their weights, in step; both empty for a text without words."""

    indices: list[int]
    values: list[float]


class SparseEncoder:
    """BM25 with a recipe's settings. Reads a text whole: 1 MB of words takes 0.2 s."""

    def __init__(self, recipe: SparseRecipe) -> None:
        self._bm25 = Bm25(
            "Qdrant/bm25",
            k=recipe.k,
            b=recipe.b,
            avg_len=recipe.avg_len,
            language=recipe.language,
            stopwords=set(_STOPWORDS[recipe.language].split()),
            # Any folders that exist: nothing is read from them, and nothing is downloaded into them.
            cache_dir=gettempdir(),
            specific_model_path=gettempdir(),
        )

    def encode(self, texts: Sequence[str]) -> list[SparseVector]:
        """Vectors of documents, in the order of the texts."""
        return [_sparse_vector(embedding) for embedding in self._bm25.raw_embed(list(texts))]

    def encode_query(self, text: str) -> SparseVector:
        """The vector of a query: every term weighs 1."""
        (embedding,) = self._bm25.query_embed(text)
        return _sparse_vector(embedding)


def _sparse_vector(embedding: SparseEmbedding) -> SparseVector:
    return SparseVector([int(index) for index in embedding.indices], [float(value) for value in embedding.values])
