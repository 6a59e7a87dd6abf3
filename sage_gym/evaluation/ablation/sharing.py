"""What runs of one seed need not play twice: episodes that are a function of settings which do not differ.

Only journals are taken over, before a run begins. It reads them as it reads its own after a kill, and does all else
itself, so that nothing but clocks differs from a run that played everything. Two kinds are alike:

- round 0 on the select split and on the test split, where the student is the one that everything begins with;
- what the first round collects, where collecting is set up alike: that student's too, calibrated on the former.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sage_gym.config import TrainConfig
from sage_gym.config.saved import flatten

__all__ = ["SHARED_FILE", "read_shared", "take_over"]

SHARED_FILE = "shared.json"
"""In a run's folder: file -> the run that played what is in it."""

NOTHING_PLAYED = ("run.name", "run.folder", "run.resume", "executor", "tracking", "promotion", "rounds", "selection",
                  "distil", "reinforce")  # fmt: skip
"""Settings that the first collection is no function of; of `rounds`, it is of whether anything is distilled."""
NOTHING_COLLECTED = (*NOTHING_PLAYED, "amplify", *(f"rollout.{name}" for name in (
    "split", "tasks_per_round", "draw", "pool", "group_size", "temperature", "restricted", "second_attempts",
    "recovery_traces")))  # fmt: skip
"""Settings that the evaluation of round 0 is no function of."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """Files that are alike where all settings but the free ones are."""

    patterns: tuple[str, ...]
    free: tuple[str, ...]
    minds_distilling: bool

    def depends_on(self, config: TrainConfig) -> dict[str, Any]:
        """Return the settings that decide what is in the files."""
        found = {
            key: value
            for key, value in flatten(config.model_dump(mode="json")).items()
            if not any(key == name or key.startswith(f"{name}.") for name in self.free)
        }
        return {**found, "distils": self.minds_distilling and "distil" in config.rounds.stages}


KINDS = (
    _Kind(("rounds/000/select.jsonl", "test/*-000-*.jsonl"), NOTHING_COLLECTED, minds_distilling=False),
    _Kind(
        tuple(
            f"rounds/001/{name}.jsonl"
            for name in ("pilot-plain", "pilot-amplified", "collect", "reflection", "recovery")
        ),
        NOTHING_PLAYED,
        minds_distilling=True,
    ),
)


def take_over(config: TrainConfig, finished: Iterable[TrainConfig]) -> dict[str, str]:
    """Copy the journals that a run would play exactly as a finished one did; what it has already stays.

    Args:
        config: of the run that is to begin.
        finished: of runs that are over, in the order in which they are asked.

    Returns:
        file -> name of the run that it is from, of this call and earlier ones.
    """
    folder, found = config.run_folder, dict(read_shared(config.run_folder))
    for other in finished:
        for name in _alike(config, other):
            target = folder / name
            if not target.exists():
                found[name] = other.run_name
                _write_shared(folder, found)  # first: a file that is there unnamed would pass for the run's own
                _copy(other.run_folder / name, target)
    return found


def _alike(config: TrainConfig, other: TrainConfig) -> Iterator[str]:
    for kind in KINDS:
        if kind.depends_on(config) == kind.depends_on(other):
            for pattern in kind.patterns:
                for path in sorted(other.run_folder.glob(pattern)):
                    yield path.relative_to(other.run_folder).as_posix()


def read_shared(folder: Path) -> Mapping[str, str]:
    """Return what a run took over: file -> run."""
    path = folder / SHARED_FILE
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def _write_shared(folder: Path, found: Mapping[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{SHARED_FILE}.partial"
    partial.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / SHARED_FILE)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    shutil.copyfile(source, partial)
    partial.replace(target)
