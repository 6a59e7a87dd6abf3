"""`python -m sage_gym.bench env=webshop`: an environment's speed and memory, measured by its own module `bench`.

Every environment folder may offer `bench.run(...) -> Mapping[str, float | int | str]`: what was measured, units in
the names, in the order to be shown. Its keyword arguments are the keys of `env.*`.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from sage_gym.config import BENCH, find_bench, read_or_exit
from sage_gym.errors import SageGymError

__all__ = ["main", "table"]


def main(words: list[str] | None = None) -> int:
    """Run one benchmark, print its table and return the process's exit status."""
    config = read_or_exit(BENCH, words)
    console = Console(highlight=False)
    console.print(f"{config.env.name} on {platform.machine()}, Python {platform.python_version()}")
    try:
        measured = find_bench(config.env.name)(**config.env.arguments)
    except SageGymError as error:
        print(error, file=sys.stderr)
        return 2
    console.print(table(measured))
    return 0


def table(measured: Mapping[str, float | int | str]) -> Table:
    """Return the measurements as a table of two columns."""
    result = Table("measured", "value")
    result.columns[1].justify = "right"
    for name, value in measured.items():
        result.add_row(name, value if isinstance(value, str) else _rounded(value))
    return result


def _rounded(value: float) -> str:
    """Write four significant digits, thousands grouped."""
    return f"{value:,}" if isinstance(value, int) else f"{float(f'{value:.4g}'):,}"


if __name__ == "__main__":
    raise SystemExit(main())
