"""Every problem by its key: the generator's splits, and those of a folder of records."""

from __future__ import annotations

from envs.terminal.problems import Problem
from envs.terminal.records import read_records
from envs.terminal.synthetic import SPLITS, synthetic
from sage_gym.errors import CatalogError
from sage_gym.tasks import Library
from sage_gym.types import Task

__all__ = ["open_library"]


def open_library(size: int, seed: int, records: str | None) -> Library[Problem]:
    """Return the problems of an environment.

    Args:
        size: of each generated split.
        seed: of the generated tasks.
        records: folder with AgentBench's records, each file a split by its name; None for none.

    Raises:
        CatalogError: the folder holds none, a bad one, or a file that is named like a generated split.
    """
    sources = {split: synthetic(split, size, seed) for split in SPLITS}
    files = read_records(records) if records is not None else {}
    taken = next((split for split in files if split in sources), None)
    if taken is not None:
        raise CatalogError(f"expected files not named like a generated split, got {taken} in {records}")
    return Library({**sources, **files}, _task)


def _task(problem: Problem) -> Task:
    digest = problem.hash
    seed = int(digest[:8], 16)
    return Task(problem.key, problem.instruction, problem.split, seed, digest, "terminal", problem.family)
