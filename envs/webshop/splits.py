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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.webshop.goals import GoalTable, Kind
from envs.webshop.records import read_json
from sage_gym.errors import CatalogError

__all__ = ["Split", "Splits", "read_splits"]

TEST_END, SELECT_END = 500, 1500
SELECT_SHARE = 4
Indices = Sequence[int] | NDArray[np.int64]
DISJOINT = ("train_disjoint", "train_disjoint_fit", "select_disjoint")


@dataclass(frozen=True, slots=True)
class Split:
    """The goals of a split: their kind and indices, ascending."""

    kind: Kind
    indices: Indices


class Splits(Mapping[str, Split]):
    """The splits that hold goals, by name; the disjoint ones are cut when first asked for."""

    def __init__(
        self,
        goals: Mapping[Kind, GoalTable],
        given: Mapping[str, NDArray[np.int64]] | None,
        asins: NDArray[np.bytes_],
    ) -> None:
        """Name the splits.

        Args:
            goals: the goals by kind.
            given: split → goal indices where the catalogue assigns its products, else None.
            asins: by catalogue position.
        """
        self._goals, self._asins = goals, asins
        count, people = len(goals["synthetic"]), len(goals["human"])
        by_index = {**_cut(count), "eval": range(min(TEST_END, count), min(SELECT_END, count))}
        by_index["train_small"] = range(min(TEST_END, count), count)
        synthetic: dict[str, Indices] = {**(by_index if given is None else given), "all": range(count)}
        human: dict[str, Indices] = {f"human_{name}": held for name, held in _cut(people).items()}
        human["human"] = range(people)
        found = {name: Split("synthetic", held) for name, held in synthetic.items()}
        found |= {name: Split("human", held) for name, held in human.items()}
        self._found = {name: split for name, split in found.items() if len(split.indices)}
        self._late = DISJOINT if given is None and count > TEST_END else ()

    def __getitem__(self, name: str) -> Split:
        if name in self._late and name not in self._found:
            self._found |= {name: Split("synthetic", held) for name, held in self._cut_disjoint().items()}
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._found, *self._late]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _cut_disjoint(self) -> dict[str, NDArray[np.int64]]:
        wanted = self._goals["synthetic"].positions()
        later = np.arange(TEST_END, len(wanted), dtype=np.int64)
        apart = later[~np.isin(wanted[later], wanted[:TEST_END])]
        products = np.unique(wanted[apart])
        held_out = [p for p in products.tolist() if _in_quarter(bytes(self._asins[p]))]
        is_held_out = np.isin(wanted[apart], held_out)
        return dict(zip(DISJOINT, (apart, apart[~is_held_out], apart[is_held_out]), strict=True))


def _cut(count: int) -> dict[str, range]:
    first, second = min(TEST_END, count), min(SELECT_END, count)
    return {"train": range(second, count), "select": range(first, second), "test": range(first)}


def _in_quarter(asin: bytes) -> bool:
    """Whether a product falls into the quarter held out for `select_disjoint`, by the hash of its asin."""
    return hashlib.sha256(asin).digest()[0] % SELECT_SHARE == 0


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
