"""`python -m sage_gym.bench env=webshop`: an environment's speed and memory, measured by its own module `bench`.

Every environment folder may offer `bench.run(...) -> Mapping[str, float | int | str]`: what was measured, units in
the names, in the order to be shown. Its keyword arguments are the keys of `env.*`. `measure=training` measures what
each loss of training costs instead, `measure=view` how fast the viewer is, `sandbox=docker` what sandboxes cost.
"""

from __future__ import annotations

import platform
import sys
import warnings
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from sage_gym.config import BENCH, BenchConfig, find_bench, make_environment, make_policy, read_or_exit
from sage_gym.errors import SageGymError

__all__ = ["main", "table"]


def main(words: list[str] | None = None) -> int:
    """Run one benchmark, print its table and return the process's exit status."""
    config = read_or_exit(BENCH, words)
    console = Console(highlight=False)
    if config.sandbox is not None:
        return _measure_sandboxes(config.sandbox, console)
    console.print(f"{_subject(config)} on {platform.machine()}, Python {platform.python_version()}")
    try:
        measured = _measure(config)
    except SageGymError as error:
        print(error, file=sys.stderr)
        return 2
    console.print(table(measured))
    return 0


def _subject(config: BenchConfig) -> str:
    if config.measure == "environment":
        return config.env.name
    return "the viewer" if config.measure == "view" else f"training of {config.policy.name}"


def _measure(config: BenchConfig) -> Mapping[str, float | int | str]:
    if config.measure == "environment":
        found: Mapping[str, float | int | str] = find_bench(config.env.name)(**config.env.arguments)
        return found
    if config.measure == "view":
        from sage_gym.evaluation.viewer.bench import run as measure_viewer

        return measure_viewer(**config.view.model_dump())
    from transformers.utils import logging

    from sage_gym.distill.bench import run

    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    return run(make_policy(config.policy), lambda: make_environment(config.env), **config.training.model_dump())


def _measure_sandboxes(backend: str, console: Console) -> int:
    from sage_gym.sandbox.bench import run

    try:
        measured = run(backend)
    except SageGymError as error:
        print(error, file=sys.stderr)
        return 2
    columns = Table("ms, medians", *measured)
    for column in columns.columns[1:]:
        column.justify = "right"
    for name in next(iter(measured.values())):
        columns.add_row(name, *(_written(found[name]) for found in measured.values()))
    console.print(f"sandboxes on {platform.machine()}, Python {platform.python_version()}")
    console.print(columns)
    return 0


def table(measured: Mapping[str, float | int | str]) -> Table:
    """Return the measurements as a table of two columns."""
    result = Table("measured", "value")
    result.columns[1].justify = "right"
    for name, value in measured.items():
        result.add_row(name, _written(value))
    return result


def _written(value: float | int | str) -> str:
    """Write four significant digits, thousands grouped."""
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{float(f'{value:.4g}'):,}"


if __name__ == "__main__":
    raise SystemExit(main())
