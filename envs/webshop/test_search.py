"""Search: BM25, pruning, quantised lengths, stems."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sage_gym  # noqa: F401
from envs.webshop import search
from envs.webshop.index import IndexBuilder, quantise_length
from envs.webshop.porter import stem
from envs.webshop.search import Index


def test_bm25_of_one_term_is_what_the_formula_gives() -> None:
    builder = IndexBuilder()
    for text in ("red red pan", "red shoe shoe shoe", "blue shoe"):
        builder.add(text)
    postings = builder.finish(np.arange(3, dtype=np.int32))
    index = Index(postings)
    assert index.search("red") == [0, 1]
    idf, average = np.log(1 + (3 - 2 + 0.5) / (2 + 0.5)), 3.0
    wanted = [idf * f / (f + 0.9 * (0.6 + 0.4 * length / average)) for f, length in ((2, 3), (1, 4))]
    row = index._find_row("red")
    start, end = postings.starts[row], postings.starts[row + 1]
    assert postings.impacts[start:end].tolist() == pytest.approx(wanted, rel=1e-6)


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_pruned_search_finds_what_full_search_finds(seed: int) -> None:
    generator = np.random.default_rng(seed)
    builder = IndexBuilder()
    size = int(generator.integers(60, 400))
    for _ in range(size):
        words = np.minimum(generator.zipf(1.4, size=int(generator.integers(1, 12))), 60)
        builder.add(" ".join(f"w{word}" for word in words))
    index = Index(builder.finish(generator.permutation(size).astype(np.int32)))
    for _ in range(5):
        query = " ".join(
            f"w{word}" for word in np.minimum(generator.zipf(1.3, size=int(generator.integers(1, 14))), 60)
        )
        full = index.search(query, 10)
        rows = index._query_rows(query)
        docs, scores = index._pruned(rows, 10) if rows else (np.empty(0, np.int64), np.empty(0))
        ranked = search._best(docs, scores.astype(np.float32), 10)
        assert index.postings.numbering[ranked].tolist() == full


@pytest.mark.parametrize(("length", "kept"), [(0, 0), (39, 39), (40, 40), (41, 40), (100, 96), (1000, 984)])
def test_lengths_are_quantised_as_lucene_does(length: int, kept: int) -> None:
    assert quantise_length(length) == kept


@pytest.mark.parametrize(
    ("word", "root"),
    [
        ("caresses", "caress"), ("ponies", "poni"), ("agreed", "agre"), ("plastered", "plaster"), ("motoring", "motor"),
        ("hopping", "hop"), ("filing", "file"), ("happy", "happi"), ("relational", "relat"), ("assembly", "assembl"),
        ("technology", "technolog"), ("adoption", "adopt"), ("probate", "probat"), ("controlling", "control"),
        ("is", "is"), ("y", "y"),
    ],
)  # fmt: skip
def test_porter_stems_its_authors_examples(word: str, root: str) -> None:
    assert stem(word) == root
