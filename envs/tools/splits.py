"""What is held out, by rule.

- A *shape* is held out when it is one of the first two, in the order of a keyed hash, without which every tool is
  still used by the other shapes.
- A *combination* (the sorted set of a plan's tools) belongs by a keyed hash to training (70 %), to
  `select_combinations` (15 %) or to `test_combinations` (15 %).
- `train`, `select` and `test` share training's shapes and combinations; which of them a task belongs to is a keyed hash
  of its instruction (60, 20 and 20 %), so that no instruction is in two of them.
- `test_shapes` has the held-out shapes, filled with combinations that occur in training.
- `demonstrations` is for imitation before any training here: half of training's combinations, by a keyed hash, with
  instructions of the part that `train` has. sage-nano's adapter has seen these alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from types import MappingProxyType

from envs.tools.shapes import SHAPES, skeletons
from envs.tools.skeleton import Skeleton

__all__ = [
    "HELD_OUT_SHAPES",
    "MOST_TASKS",
    "PARTS",
    "SPLITS",
    "draw",
    "held_out_shapes",
    "part_of_instruction",
    "pools",
]

KEY = "sage-gym tools v0"
HELD_OUT_SHAPES = 2
MOST_TASKS = 100_000
"""Of each split: what five digits of a key can count."""
SPLITS = ("train", "select", "test", "select_combinations", "test_combinations", "test_shapes", "demonstrations")
PARTS = {"train": "train", "select": "select", "test": "test", "demonstrations": "train"}
"""Split → the part that its instructions belong to, for those that share training's shapes and combinations."""


def draw(*parts: object) -> int:
    """Return a number of 64 bits that depends on these parts alone."""
    text = "\0".join([KEY, *map(str, parts)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _part(kind: str, text: str, shares: Iterable[tuple[str, int]]) -> str:
    place = draw(kind, text) % 100
    for name, share in shares:
        if place < share:
            return name
        place -= share
    raise AssertionError("shares that do not sum to 100")


def part_of_combination(family: str) -> str:
    """Say which part a combination of tools belongs to."""
    return _part("combination", family, (("train", 70), ("select_combinations", 15), ("test_combinations", 15)))


def part_of_instruction(instruction: str) -> str:
    """Say which of `train`, `select` and `test` an instruction belongs to."""
    return _part("instruction", instruction.casefold(), (("train", 60), ("select", 20), ("test", 20)))


@lru_cache(maxsize=1)
def held_out_shapes() -> frozenset[str]:
    """Name the shapes that training never has."""
    left = list(SHAPES)
    out: list[str] = []
    every = _tools_of(left)
    for shape in sorted(SHAPES, key=lambda name: draw("shape", name)):
        others = [name for name in left if name != shape]
        if len(out) < HELD_OUT_SHAPES and _tools_of(others) == every:
            left, out = others, [*out, shape]
    return frozenset(out)


def _tools_of(shapes: Iterable[str]) -> set[str]:
    wanted = set(shapes)
    return {tool for skeleton in skeletons() if skeleton.shape in wanted for tool in skeleton.tools}


@lru_cache(maxsize=8)
def pools(most_calls: int | None = None) -> MappingProxyType[str, MappingProxyType[str, tuple[Skeleton, ...]]]:
    """Return split → shape → the skeletons that its tasks are made of, those of at most `most_calls` calls.

    Which combinations and shapes are held out does not depend on it.
    """
    if most_calls is not None:
        short = {
            split: [skeleton for held in shapes.values() for skeleton in held if len(skeleton.tools) <= most_calls]
            for split, shapes in pools().items()
        }
        return MappingProxyType({split: _by_shape(held) for split, held in short.items()})
    unseen = held_out_shapes()
    seen = [skeleton for skeleton in skeletons() if skeleton.shape not in unseen]
    parts = {family: part_of_combination(family) for family in {skeleton.family for skeleton in seen}}
    trained = [skeleton for skeleton in seen if parts[skeleton.family] == "train"]
    known = {skeleton.family for skeleton in trained}
    found = dict.fromkeys(PARTS, trained)
    found["demonstrations"] = [skeleton for skeleton in trained if draw("demonstrations", skeleton.family) % 2 == 0]
    for split in ("select_combinations", "test_combinations"):
        found[split] = [skeleton for skeleton in seen if parts[skeleton.family] == split]
    found["test_shapes"] = [
        skeleton for skeleton in skeletons() if skeleton.shape in unseen and skeleton.family in known
    ]
    return MappingProxyType({split: _by_shape(held) for split, held in found.items()})


def _by_shape(held: Iterable[Skeleton]) -> MappingProxyType[str, tuple[Skeleton, ...]]:
    grouped: dict[str, list[Skeleton]] = {}
    for skeleton in held:
        grouped.setdefault(skeleton.shape, []).append(skeleton)
    return MappingProxyType({shape: tuple(members) for shape, members in grouped.items()})
