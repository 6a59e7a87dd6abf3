"""Every problem by its key: the generator's splits, and AgentBench's files where they are at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from envs.database.problems import Problem
from envs.database.records import FILES, default_folder, read_records
from envs.database.synthetic import SPLITS, synthetic
from sage_gym.errors import CatalogError
from sage_gym.tasks import Library, Source
from sage_gym.types import Task

__all__ = ["open_library"]


def open_library(size: int, seed: int, records: str | None) -> Library[Problem]:
    """Return the problems of an environment.

    Args:
        size: of each generated split.
        seed: of the generated tasks.
        records: folder with AgentBench's `dev.jsonl` and `standard.jsonl`; None for the default place, if it is there.

    Raises:
        CatalogError: a folder was named and holds neither.
    """
    folder = Path(records) if records is not None else default_folder()
    sources = Sources(size, seed, folder)
    absent = [f"{name}.jsonl" for name in FILES if name not in sources]
    if records is not None and len(absent) == len(FILES):
        raise CatalogError(f"expected {' or '.join(absent)} in {records}, got neither")
    advice = f"for {' and '.join(absent)}, not in {folder}, pass records=FOLDER or set SAGE_GYM_DATA" if absent else ""
    return Library(sources, _task, advice)


class Sources(Mapping[str, Source[Problem]]):
    """The splits by name; files are read when first looked up, all that the folder holds.

    Raises:
        CatalogError: on looking up, a file holds a bad record.
    """

    def __init__(self, size: int, seed: int, folder: Path) -> None:
        self._generated = {split: synthetic(split, size, seed) for split in SPLITS}
        self._folder = folder
        self._files = tuple(name for name in FILES if (folder / f"{name}.jsonl").is_file())

    def __getitem__(self, split: str) -> Source[Problem]:
        if split in self._files:
            return read_records(str(self._folder))[split]
        return self._generated[split]

    def __iter__(self) -> Iterator[str]:
        return iter((*self._generated, *self._files))

    def __len__(self) -> int:
        return len(self._generated) + len(self._files)

    def __contains__(self, split: object) -> bool:
        return split in self._generated or split in self._files


def _task(problem: Problem) -> Task:
    digest = problem.hash
    seed = int(digest[:8], 16)
    return Task(problem.key, problem.question, problem.split, seed, digest, "database", family=problem.family)
