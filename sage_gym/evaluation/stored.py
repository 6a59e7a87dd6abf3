"""Trajectories that lie on disk already, with what is damaged among them named and counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from sage_gym.errors import RecordError
from sage_gym.rollout.journal import MARKER_START, Damage, load, scan
from sage_gym.rollout.records import decode
from sage_gym.types import Trajectory

__all__ = ["FileDamage", "StoredEpisodes", "read_stored"]

OTHER_LINES = frozenset({"metrics.jsonl", "scores.jsonl"})
"""Files of ours that hold lines of JSON, but no trajectories."""


class FileDamage(BaseModel):
    """A line that could not be used, and how many episodes are left out for it.

    Where a trajectory cannot be read, it alone is left out, and the others of its chunk are kept although the chunk's
    checksum can no longer be verified. Where every line can be read and the checksum is wrong, or the chunk's end is
    missing, nobody can say which lines are sound: the chunk is left out whole.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    line: int
    """Counted from 1."""
    reason: str
    episodes: int

    def __str__(self) -> str:
        what = "1 episode" if self.episodes == 1 else f"{self.episodes} episodes"
        return f"{self.file}, line {self.line}: {self.reason}; {what} skipped"


@dataclass(frozen=True, slots=True)
class StoredEpisodes:
    """What one file holds; `name` is its path under the folder that was read, without its ending."""

    name: str
    trajectories: tuple[Trajectory, ...]
    damage: tuple[FileDamage, ...]


def read_stored(place: Path) -> list[StoredEpisodes]:
    """Read a trajectory file, or all of a folder, by name.

    Raises:
        RecordError: nothing is there, the folder holds no trajectory file, or the file is none.
    """
    if place.is_file():
        return [_read(place, place.parent)]
    if not place.is_dir():
        raise RecordError(f"expected a trajectory file or a folder of them at {place}, got none; check the path")
    found = list(_read_folder(place))
    if not found:
        raise RecordError(
            f"{place}: expected trajectory files (*.jsonl) in it, got none; name a run's or an evaluation's folder"
        )
    return found


def _read_folder(folder: Path) -> Iterator[StoredEpisodes]:
    for path in sorted(folder.rglob("*.jsonl")):
        if path.name in OTHER_LINES:
            continue
        try:
            yield _read(path, folder)
        except RecordError as error:
            name = path.relative_to(folder).as_posix()
            damage = FileDamage(file=name, line=1, reason=str(error), episodes=0)
            yield StoredEpisodes(name.removesuffix(".jsonl"), (), (damage,))


def _read(path: Path, folder: Path) -> StoredEpisodes:
    name, found = path.relative_to(folder).as_posix(), scan(path)
    whole = [trajectory for _, span in sorted(found.chunks.items()) for trajectory in load(path, span)]
    kept, damage = _salvage(path, found.damage) if found.damage else ([], [])
    known = {trajectory.id for trajectory in whole}  # a damaged chunk may have been written again since
    return StoredEpisodes(
        name.removesuffix(".jsonl"),
        (*whole, *(trajectory for trajectory in kept if trajectory.id not in known)),
        tuple(FileDamage(file=name, line=one.line, reason=one.reason, episodes=one.episodes) for one in damage),
    )


def _salvage(path: Path, damage: Sequence[Damage]) -> tuple[list[Trajectory], list[Damage]]:
    """Read the sound lines of each chunk in which a line cannot be read; return them, and what is damaged for good."""
    by_line = {one.line: one for one in damage}
    kept: list[Trajectory] = []
    told: list[Damage] = []
    chunk: list[tuple[int, bytes]] = []
    with path.open("rb") as file:
        file.readline()
        for number, line in enumerate(file, 2):
            if not line.startswith(MARKER_START):
                chunk.append((number, line))
                continue
            first = next((by_line.pop(at) for at, _ in chunk if at in by_line), None)
            for at, text in chunk if first is not None else ():
                try:
                    kept.append(decode(text))
                except RecordError as error:
                    told.append(Damage(at, str(error), 1))
            chunk.clear()
    return kept, sorted([*told, *by_line.values()], key=lambda one: one.line)
