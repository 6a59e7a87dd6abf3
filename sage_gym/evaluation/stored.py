"""Trajectories that lie on disk already, with what is damaged among them named and counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from sage_gym.errors import RecordError
from sage_gym.rollout.journal import load, scan
from sage_gym.types import Trajectory

__all__ = ["FileDamage", "StoredEpisodes", "read_stored"]

OTHER_LINES = frozenset({"metrics.jsonl", "scores.jsonl"})
"""Files of ours that hold lines of JSON, but no trajectories."""


class FileDamage(BaseModel):
    """A line that could not be used, and how many episodes are left out with it.

    A file is checked chunk by chunk: where one line of a chunk is damaged its checksum no longer holds, so the chunk's
    other episodes are left out too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    line: int
    """Counted from 1."""
    reason: str
    episodes: int

    def __str__(self) -> str:
        what = "1 episode" if self.episodes == 1 else f"{self.episodes} episodes"
        return f"{self.file}, line {self.line}: {self.reason}; its chunk is skipped, {what}"


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
    return StoredEpisodes(
        name.removesuffix(".jsonl"),
        tuple(trajectory for _, span in sorted(found.chunks.items()) for trajectory in load(path, span)),
        tuple(
            FileDamage(file=name, line=damage.line, reason=damage.reason, episodes=damage.episodes)
            for damage in found.damage
        ),
    )
