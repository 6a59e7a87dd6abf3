"""`python -m sage_gym.train env=webshop`: rounds of collect, score, select, train, evaluate, promote; then the test."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence

from rich.console import Console

from sage_gym.config import TRAIN, read_or_exit
from sage_gym.errors import SageGymError

__all__ = ["main"]


def main(words: Sequence[str] | None = None) -> int:
    """Read the configuration, train, and return the process's exit status."""
    config = read_or_exit(TRAIN, None if words is None else list(words))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    from sage_gym.distill.training import train  # takes seconds to load, which a mistake in a word need not wait for

    try:
        train(config, Console(stderr=True, highlight=False))
    except SageGymError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
