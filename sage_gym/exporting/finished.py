"""The run that is exported, and which of its students."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sage_gym.config import TRAIN, TrainConfig, read
from sage_gym.config.saved import CONFIG_FILE
from sage_gym.distill.standing import RunFolder, Standing
from sage_gym.errors import CheckpointError, UnknownNameError
from sage_gym.evaluation.card import DataCard, build_card, read_card
from sage_gym.evaluation.manifest import FinalManifest, RoundManifest, read_final, read_rounds

__all__ = ["FinishedRun"]


@dataclass(frozen=True)
class FinishedRun:
    """A run's folder, with what its manifests say of the round that is exported."""

    folder: Path
    config: TrainConfig
    rounds: tuple[RoundManifest, ...]
    final: FinalManifest | None
    number: int

    @classmethod
    def open(cls, folder: Path, number: int | None = None) -> FinishedRun:
        """Read a run, and choose a round.

        Args:
            folder: of the run.
            number: of the round; None is the last promoted.

        Raises:
            CheckpointError: no round is finished or none promoted, or the round's student is not kept.
            UnknownNameError: there is no such round.
            ConfigError: the run's configuration is damaged.
        """
        rounds = read_rounds(folder)
        if not rounds:
            raise CheckpointError(
                f"{folder}: expected a finished round, got none; "
                f"python -m sage_gym.train config={folder}/config.yaml goes on with the run"
            )
        chosen = _choose(folder, rounds, number)
        config = read(TRAIN, [f"config={folder / CONFIG_FILE}"])
        run = cls(folder, config, tuple(rounds), read_final(folder), chosen)
        if not run.student.is_dir():
            kept = sorted(int(path.parts[-3]) for path in folder.glob("rounds/*/checkpoint/student"))
            raise CheckpointError(
                f"{folder}: expected the student of round {chosen}, got none; kept are those of round 0, of the last "
                f"promoted, the best and the last round: {', '.join(map(str, kept)) or 'none'}"
            )
        return run

    @property
    def name(self) -> str:
        """What the run is called."""
        return self.rounds[0].run

    @property
    def manifest(self) -> RoundManifest:
        """Of the round that is exported."""
        return next(manifest for manifest in self.rounds if manifest.round == self.number)

    @property
    def files(self) -> RunFolder:
        """The run's files, round by round."""
        return RunFolder(self.folder)

    @property
    def student(self) -> Path:
        """The folder of the student's weights."""
        return self.files.checkpoint(self.number) / "student"

    @property
    def trained(self) -> tuple[RoundManifest, ...]:
        """The rounds that made this student: those up to its own."""
        return tuple(manifest for manifest in self.rounds if 0 < manifest.round <= self.number)

    @property
    def is_tested(self) -> bool:
        """Whether the test split was played by this student."""
        return self.final is not None and self.final.last_promoted == self.number

    @cached_property
    def policy(self) -> dict[str, Any]:
        """How the student was used: the name of its prompt, its temperature, and so on."""
        path = self.student / "policy.json"
        found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        return found

    @cached_property
    def card(self) -> DataCard:
        """What the run was trained on."""
        return read_card(self.folder) or build_card(self.rounds)


def _choose(folder: Path, rounds: Sequence[RoundManifest], number: int | None) -> int:
    if number is not None:
        known = [str(manifest.round) for manifest in rounds]
        if str(number) not in known:
            raise UnknownNameError(f"finished round of {folder}", str(number), known)
        return number
    incumbent = Standing.of(rounds).incumbent
    if incumbent == 0:
        raise CheckpointError(
            f"{folder}: expected a promoted round, got none of {len(rounds) - 1}: the student is that of round 0, "
            "which round=0 exports; round=<n> exports one that was not promoted"
        )
    return incumbent
