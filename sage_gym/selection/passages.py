"""The texts of trajectories, each once, with the trajectories that have it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from sage_gym.types import Trajectory

__all__ = ["PARTS", "Part", "Passage", "in_chunks", "passages_of"]

Part = Literal["instruction", "decisions", "observations"]
PARTS: tuple[Part, ...] = ("instruction", "decisions", "observations")
CHUNK = 1_000_000
"""Characters that are compared at a time."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A text of training, where it stands, and in which trajectories, by their place in the list."""

    part: Part
    text: str
    holders: tuple[int, ...]


def passages_of(trajectories: Sequence[Trajectory], parts: Sequence[Part]) -> list[Passage]:
    """Return these parts' texts in the order of their first appearance."""
    holders: dict[tuple[Part, str], dict[int, None]] = {}
    for index, trajectory in enumerate(trajectories):
        for part, text in _texts(trajectory):
            if text and part in parts:
                holders.setdefault((part, text), {})[index] = None
    return [Passage(part, text, tuple(found)) for (part, text), found in holders.items()]


def in_chunks(passages: Sequence[Passage]) -> Iterator[list[Passage]]:
    """Cut passages into runs of about `CHUNK` characters."""
    chunk: list[Passage] = []
    size = 0
    for passage in passages:
        chunk.append(passage)
        size += len(passage.text)
        if size >= CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _texts(trajectory: Trajectory) -> Iterator[tuple[Part, str]]:
    yield "instruction", trajectory.task.instruction
    for turn in trajectory.turns:
        yield "decisions", turn.decision.text
        yield "observations", turn.observation
