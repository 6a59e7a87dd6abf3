"""Configurations of the commands that work on a run that is there."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from sage_gym.config.saved import CONFIG_FILE
from sage_gym.config.sections import Section
from sage_gym.errors import ConfigError, UnknownNameError

__all__ = ["RUNS", "CardConfig", "ExportConfig", "find_run_folder"]

RUNS = Path("runs")


class CardConfig(Section):
    """Settings of `python -m sage_gym.card`."""

    run: Path | None = None
    """The run's folder, or its name under `runs`."""
    benchmarks: Path | Literal["run", "auto"] | None = "run"
    """Folder of benchmarks; `run` is what the run itself was given, `auto` is `$SAGE_GYM_DATA/data/benchmarks` where
    that is a folder, null compares with the environment's own held-out splits alone."""


class ExportConfig(Section):
    """Settings of `python -m sage_gym.export`."""

    run: Path | None = None
    """The run's folder, or its name under `runs`."""
    out: Path | None = None
    """Where to; null makes it `exports/<run>-round<round>`."""
    round: int | None = Field(default=None, ge=0)
    """Whose student; null is the last promoted."""
    episodes: Literal["successes", "all", "none"] = "successes"
    """Which episodes go into the data set, of those that the run collected for training; `none` leaves it out."""


def find_run_folder(run: Path | None) -> Path:
    """Return the folder of the run that is meant.

    Raises:
        ConfigError: none is named, or there is none of that name; the nearest is given.
    """
    known = sorted(path.parent.name for path in RUNS.glob(f"*/{CONFIG_FILE}"))
    if run is None:
        there = f"; there are {', '.join(known)}" if known else ""
        raise ConfigError([f"run: expected a run's folder, for example run=runs/demo, got none{there}"])
    found = next((path for path in (run.expanduser(), RUNS / run) if (path / CONFIG_FILE).is_file()), None)
    if found is None:
        raise ConfigError([f"run: {UnknownNameError('run', str(run), known)}"])
    return found
