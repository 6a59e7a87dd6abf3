"""An ablation from its configuration to its figures. Every run's are kept at once, and no run is made twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from sage_gym.config import AblateConfig, TrainConfig, check_run, open_ablation
from sage_gym.config.saved import flatten
from sage_gym.evaluation.ablation.comparison import compare_parts, compare_with_yardstick, remarks
from sage_gym.evaluation.ablation.figures import Ablation, RunFigures, keep_figures, read_figures
from sage_gym.evaluation.ablation.sharing import take_over
from sage_gym.evaluation.ablation.variants import Run, plan
from sage_gym.evaluation.manifest import write_manifest

__all__ = ["Train", "run_ablation"]

Train = Callable[[TrainConfig, Console], None]
"""Makes a training run, or goes on with one that was stopped."""

ABLATION = "ablation.json"


def run_ablation(config: AblateConfig, train: Train, console: Console) -> tuple[Ablation, Path]:
    """Make the runs that are missing, compare all, and write `ablation.json`; return it and where it lies.

    Args:
        config: resolved.
        train: makes a run.
        console: told of every run.

    Raises:
        ConfigError: a part that is off, or folders that hold other runs; before anything is started.
    """
    runs = plan(config)
    for run in runs:
        check_run(run.config)
    folder = open_ablation(config)
    figures: list[RunFigures] = []
    for number, run in enumerate(runs, 1):
        finished = [other.config for other in runs[: number - 1] if other.seed == run.seed]
        console.print(f"run {number} of {len(runs)}: {run.name}", soft_wrap=True)
        figures.append(_figures_of(run, folder, train, console, finished if config.share else []))
    found = _compare(config, runs, figures)
    write_manifest(folder / ABLATION, found)
    return found, folder / ABLATION


def _figures_of(run: Run, folder: Path, train: Train, console: Console, finished: Sequence[TrainConfig]) -> RunFigures:
    kept = read_figures(folder, run)
    if kept is not None:
        console.print(f"  is over: its figures are in {folder / 'figures'}", soft_wrap=True)
        return kept
    take_over(run.config, finished)
    train(run.config, console)
    return keep_figures(folder, run)


def _compare(config: AblateConfig, runs: Sequence[Run], figures: Sequence[RunFigures]) -> Ablation:
    full = runs[0].config
    return Ablation(
        name=config.run_name,
        environment=config.env.name,
        seeds=tuple(dict.fromkeys(run.seed for run in runs)),
        margin=config.margin,
        runs=tuple(figures),
        effects=compare_parts(figures, config.margin),
        rivals=compare_with_yardstick(figures, config.margin),
        notes=tuple(remarks(figures)),
        settings={key: str(value) for key, value in flatten(full.model_dump(mode="json")).items()},
        changes={run.variant: _changes(full, run.config) for run in runs if run.seed == full.run.seed},
    )


def _changes(full: TrainConfig, other: TrainConfig) -> Mapping[str, str]:
    """Return what differs, the run's name apart: dotted key -> both values."""
    a, b = (flatten(config.model_dump(mode="json")) for config in (full, other))
    keys = sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key) and key != "run.name")
    return {key: f"{a.get(key, 'absent')} → {b.get(key, 'absent')}" for key in keys}
