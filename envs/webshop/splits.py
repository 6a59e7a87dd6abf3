"""Which goals belong to which split.

Without a `splits.json` beside the catalogue, by index, upstream's way:

| split | goals |
|---|---|
| `test` | 0–499 |
| `select` (upstream's `eval`) | 500–1499 |
| `train` | 1500 and later |
| `train_small` | 500 and later, the convention of work on the small set; it contains `select` |
| `train_disjoint` | 500 and later, without the goals whose product a test goal wants |
| `select_disjoint`, `train_disjoint_fit` | `train_disjoint` cut in two by product, about 1 : 3, so that promotion has goals that share no product with `test` nor with what is trained on |
| `human_test`, `human_select`, `human_train` | 0–499, 500–1499, 1500 and later of the goals that people wrote |
| `all`, `human` | every goal of the kind |

With a `splits.json` (an object from split to asins), a split holds the goals whose product is listed, in index order,
beside `all` and the human ones.
"""  # noqa: E501

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.webshop.goals import Kind
from envs.webshop.records import read_json
from sage_gym.errors import CatalogError

__all__ = ["Split", "make_splits", "read_splits"]

TEST_END, SELECT_END = 500, 1500
SELECT_SHARE = 4


@dataclass(frozen=True, slots=True)
class Split:
    """The goals of a split: their kind and indices, ascending."""

    kind: Kind
    indices: NDArray[np.int64]


def make_splits(
    synthetic: NDArray[np.int32], human_count: int, by_product: Mapping[str, NDArray[np.int32]] | None, names: list[str]
) -> dict[str, Split]:
    """Name the splits that hold goals.

    Args:
        synthetic: the product position of each synthetic goal.
        human_count: number of human goals.
        by_product: split → product positions, or None for the splits by index.
        names: the asin at each position that occurs, looked up lazily only for the disjoint cut.
    """
    every = np.arange(len(synthetic), dtype=np.int64)
    if by_product is None:
        chosen = _by_index(synthetic, every, names)
    else:
        chosen = {name: every[np.isin(synthetic, positions)] for name, positions in by_product.items()}
    people = np.arange(human_count, dtype=np.int64)
    human = {
        "human_train": people[SELECT_END:],
        "human_select": people[TEST_END:SELECT_END],
        "human_test": people[:TEST_END],
        "human": people,
    }
    found = {name: Split("synthetic", indices) for name, indices in {**chosen, "all": every}.items()}
    found |= {name: Split("human", indices) for name, indices in human.items()}
    return {name: split for name, split in found.items() if len(split.indices)}


def _by_index(synthetic: NDArray[np.int32], every: NDArray[np.int64], names: list[str]) -> dict[str, NDArray[np.int64]]:
    later = every[TEST_END:]
    apart = later[~np.isin(synthetic[later], synthetic[:TEST_END])]
    held_out = _quarter(np.unique(synthetic[apart]), names)
    is_held_out = np.isin(synthetic[apart], held_out)
    return {
        "train": every[SELECT_END:],
        "select": every[TEST_END:SELECT_END],
        "eval": every[TEST_END:SELECT_END],
        "test": every[:TEST_END],
        "train_small": later,
        "train_disjoint": apart,
        "train_disjoint_fit": apart[~is_held_out],
        "select_disjoint": apart[is_held_out],
    }


def _quarter(positions: NDArray[np.int32], names: list[str]) -> NDArray[np.int32]:
    """Pick one product in four by the hash of its asin."""
    picked = [p for p in positions.tolist() if hashlib.sha256(names[p].encode()).digest()[0] % SELECT_SHARE == 0]
    return np.asarray(picked, np.int32)


def read_splits(path: Path, asins: list[str]) -> dict[str, NDArray[np.int32]]:
    """Read an object from split to asins.

    Raises:
        CatalogError: it is no such object, or names a product that the catalogue lacks.
    """
    found = read_json(path)
    if not isinstance(found, dict) or not all(isinstance(listed, list) for listed in found.values()):
        raise CatalogError(f"{path}: expected an object from split to a list of asins")
    place = {asin: position for position, asin in enumerate(asins)}
    out = {}
    for name, listed in found.items():
        unknown = [asin for asin in listed if asin not in place]
        if unknown:
            raise CatalogError(f"{path}: split {name!r}: expected asins of the catalogue, got {unknown[:3]}")
        out[name] = np.array([place[asin] for asin in listed], np.int32)
    return out
