"""`python -m sage_gym.ablate env=…`: what each part of the system is worth, by runs with exactly one part taken out."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence

from rich.console import Console

from sage_gym.config import ABLATE, AblateConfig, read_or_exit
from sage_gym.errors import SageGymError

__all__ = ["ablate", "main"]


def ablate(config: AblateConfig, console: Console) -> None:
    """Make every run that is missing, write the figures and the page, and print the table.

    Raises:
        SageGymError: what stops an ablation, with what to do about it.
    """
    from sage_gym.evaluation.ablation.variants import plan

    plan(config)  # a part that is off is said before a model library is loaded
    from sage_gym.distill.training import train
    from sage_gym.evaluation.ablation.running import run_ablation
    from sage_gym.evaluation.ablation.table import print_ablation
    from sage_gym.evaluation.report.ablation import write_ablation_page

    found, path = run_ablation(config, train, console)
    page = write_ablation_page(config.run_folder, found)
    print_ablation(found)
    console.print(f"figures: {path}\nreport: {page}", soft_wrap=True)


def main(words: Sequence[str] | None = None) -> int:
    """Read the configuration, make the runs, and return the process's exit status."""
    config = read_or_exit(ABLATE, None if words is None else list(words))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    try:
        ablate(config, Console(stderr=True, highlight=False))
    except SageGymError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
