"""What of a run is looked into: the student that forecasts, and files of trajectories that it played."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sage_gym.config import TRAIN, TrainConfig, read
from sage_gym.config.saved import CONFIG_FILE
from sage_gym.distill.standing import RunFolder, Standing
from sage_gym.errors import ConfigError, UnknownNameError
from sage_gym.evaluation.manifest import read_rounds
from sage_gym.rollout import read_trajectories
from sage_gym.rollout.journal import Damage, scan
from sage_gym.types import Trajectory

__all__ = ["Played", "Source", "find_source"]


@dataclass(frozen=True, slots=True)
class Played:
    """A trajectory and the file it stands in, relative to the run folder."""

    trajectory: Trajectory
    file: str


@dataclass(frozen=True, slots=True)
class Source:
    """A run's folder, its training configuration, the round whose student forecasts, and the files."""

    folder: Path
    training: TrainConfig
    round: int
    files: tuple[Path, ...]

    @property
    def student(self) -> Path:
        """Where the student's weights lie."""
        return RunFolder(self.folder).checkpoint(self.round) / "student"

    def name_of(self, file: Path) -> str:
        """Name a file as manifests do."""
        return RunFolder(self.folder).relative(file)

    def trajectories(self) -> Iterator[Played]:
        """Give all trajectories, file by file."""
        for file in self.files:
            for chunk in read_trajectories(file):
                yield from (Played(trajectory, self.name_of(file)) for trajectory in chunk)

    def damage(self) -> list[tuple[str, Damage]]:
        """List what of the files cannot be read and is passed over."""
        return [(self.name_of(file), damage) for file in self.files for damage in scan(file).damage]


def find_source(folder: Path, round: int | None, files: Sequence[str]) -> Source:
    """Find a run's student and trajectories.

    Args:
        folder: the run's.
        round: whose student forecasts; None is the last promoted.
        files: of trajectories, relative to the run folder; none means the test that this round's student played with
            the run's own decoding, or, where there is none yet, its episodes on the select split.

    Raises:
        ConfigError: no round of it is finished, or it has no such file.
        UnknownNameError: the run keeps no student of that round.
        ValueError: a damaged manifest.
    """
    training = read(TRAIN, [f"config={folder / CONFIG_FILE}"])
    rounds = read_rounds(folder)
    if not rounds:
        raise ConfigError([f"run: expected a run with a finished round, got none in {folder}"])
    number = Standing.of(rounds).incumbent if round is None else round
    if not (RunFolder(folder).checkpoint(number) / "student").is_dir():
        kept = [str(int(path.parts[-3])) for path in folder.glob("rounds/*/checkpoint/student")]
        raise UnknownNameError(f"round of {folder} that keeps its student", str(number), kept)
    return Source(folder, training, number, _find_files(folder, training, number, files))


def _find_files(folder: Path, training: TrainConfig, number: int, files: Sequence[str]) -> tuple[Path, ...]:
    if not files:
        judged = training.evaluate
        way = ("restricted" if judged.restricted else "free") + ("-greedy" if judged.temperature == 0 else "")
        tested = folder / "test" / f"test-{number:03d}-{way}.jsonl"
        files = [tested.relative_to(folder).as_posix() if tested.is_file() else f"rounds/{number:03d}/select.jsonl"]
    known = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jsonl") if _has_trajectories(path))
    problems = [
        f"files: {UnknownNameError(f'file of trajectories in {folder}', name, known)}"
        for name in files
        if name not in known
    ]
    if problems:
        raise ConfigError(problems)
    return tuple(folder / name for name in files)


def _has_trajectories(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline(64).startswith(b'{"kind":"header"')
