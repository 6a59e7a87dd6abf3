"""Where a run stands, read off its manifests, and where the files of its rounds lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sage_gym.evaluation.manifest import RoundManifest, hash_file, round_path
from sage_gym.rollout import read_trajectories
from sage_gym.types import Trajectory

__all__ = ["RunFolder", "Standing", "round_seed"]


@dataclass(frozen=True, slots=True)
class Standing:
    """The last finished round, and which rounds' students matter."""

    last: int
    incumbent: int
    best: int
    unpromoted: int
    """Rounds since the incumbent's."""

    @classmethod
    def of(cls, rounds: Sequence[RoundManifest]) -> Standing:
        """Read it off the manifests."""
        promoted = [m.round for m in rounds if m.promoted]
        scored = {m.round: m.select.success.value for m in rounds if m.promoted and m.select and m.select.success}
        best = max(scored, key=lambda number: (scored[number], number), default=0)
        return cls(rounds[-1].round, promoted[-1], best, rounds[-1].round - promoted[-1])

    def source(self, patience: int) -> int:
        """Return whose student goes on: the last one, or the incumbent each time it has gone too long unpromoted."""
        return self.incumbent if self.unpromoted % (patience + 1) == 0 else self.last


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run's folder, round by round."""

    path: Path

    def round(self, number: int) -> Path:
        """Where everything of a round lies."""
        return round_path(self.path, number).parent

    def checkpoint(self, number: int) -> Path:
        """Where a round's student and optimizer lie."""
        return self.round(number) / "checkpoint"

    def select_journal(self, number: int) -> Path:
        """Where the round's episodes on the select split are recorded."""
        return self.round(number) / "select.jsonl"

    def played_select(self, number: int) -> list[Trajectory]:
        """Read those episodes."""
        return [t for chunk in read_trajectories(self.select_journal(number)) for t in chunk]

    def collected(self, number: int) -> list[Trajectory]:
        """Read the episodes that a round collected, none where it has no journal."""
        path = self.round(number) / "collect.jsonl"
        return [t for chunk in read_trajectories(path) for t in chunk] if path.exists() else []

    def everything(self, number: int) -> list[Trajectory]:
        """Read what a round collected, with second attempts and recovery traces where it has any."""
        further = [self.round(number) / f"{name}.jsonl" for name in ("reflection", "recovery")]
        more = [t for path in further if path.exists() for chunk in read_trajectories(path) for t in chunk]
        return [*self.collected(number), *more]

    def relative(self, path: Path) -> str:
        """Name a file as manifests do."""
        return path.relative_to(self.path).as_posix()

    def hashes(self, number: int) -> dict[str, str]:
        """Hash a round's weights, which are a function of the configuration."""
        paths = sorted((self.checkpoint(number) / "student").glob("*.safetensors"))
        return {self.relative(path): hash_file(path) for path in paths}


def round_seed(run_seed: int, number: int) -> int:
    """Return what a round's draws are seeded with."""
    return int(np.random.SeedSequence([run_seed, number]).generate_state(1)[0])
