"""Which files of a run hold trajectories, and what each is about by its place."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Run", "TrajectoryFile", "find_files", "find_runs", "is_run"]

PASSED_OVER = frozenset({"checkpoint", "wandb", "introspection"})
"""Folders of a run that hold no trajectories."""
MARKS = ("rounds", "test", "config.yaml", "trajectories.parquet")
TABLE = "trajectories.parquet"
JOURNAL_START = b'{"kind":"header"'
JOURNALS = re.compile(r"(rounds/\d+/(collect|select|recovery|reflection|pilot-.+)|test/.+)\.jsonl")
"""Places where a run writes journals: such a file counts even where its first line is damaged."""
_ROUND = re.compile(r"rounds/(\d+)/(.+)")
_TEST = re.compile(r"test/(?:test|further-(?P<split>\w+))-(?P<round>\d+)-(?P<way>.+)")


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder under the name that its links carry."""

    name: str
    folder: Path


@dataclass(frozen=True, slots=True)
class TrajectoryFile:
    """A journal or a table of trajectories. `name` is its path under the run folder, with slashes."""

    run: str
    name: str
    path: Path

    @property
    def round(self) -> int | None:
        """The round that its place names; None where the trajectories themselves have to say."""
        if found := _ROUND.fullmatch(self.name):
            return int(found[1])
        found = _TEST.fullmatch(self.name)
        return int(found["round"]) if found else None

    @property
    def part(self) -> str:
        """What it was played for: `collect`, `select`, `test free`, `pilot-plain`, or its path where that is new."""
        stem = self.name.rpartition(".")[0]
        if found := _ROUND.fullmatch(stem):
            return "collect" if found[2] == "trajectories" else found[2]
        found = _TEST.fullmatch(stem)
        return f"{found['split'] or 'test'} {found['way']}" if found else stem

    @property
    def is_table(self) -> bool:
        """Whether it is Parquet."""
        return self.name.endswith(".parquet")


def is_run(folder: Path) -> bool:
    """Whether a folder is a run: it has rounds, a test or a configuration, or trajectories lie in it."""
    if any((folder / name).exists() for name in MARKS):
        return True
    return any(_holds_trajectories(path, path.name) for path in folder.glob("*.jsonl"))


def find_runs(paths: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """Return the runs that paths name, and a sentence for each path that names none.

    A folder that is no run itself but holds some stands for all of these. Runs of one name are told apart by as much
    of their path as it takes.
    """
    folders: dict[Path, None] = {}
    problems = []
    for path in paths:
        inside = [path] if is_run(path) else sorted(p for p in _subfolders(path) if is_run(p))
        if not inside and next(find_files("", path), None) is not None:
            inside = [path]
        folders |= dict.fromkeys(folder.resolve() for folder in inside)
        if not inside:
            problems.append(f"{path}: expected a run folder, or one that holds some, got {_what_it_is(path)}")
    return [Run(name, folder) for folder, name in zip(folders, _names(list(folders)), strict=True)], problems


def find_files(run: str, folder: Path) -> Iterator[TrajectoryFile]:
    """Give the trajectory files of a run folder, by name.

    A table is left out where the journal it was made from is there. Files that lie where a run writes none count where
    they begin as a journal does.
    """
    names: list[str] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in PASSED_OVER and not name.startswith("."))
        for file in files:
            path = Path(parent, file)
            name = path.relative_to(folder).as_posix()
            if _holds_trajectories(path, name):
                names.append(name)
    for name in sorted(names):
        yield TrajectoryFile(run, name, folder / name)


def _holds_trajectories(path: Path, name: str) -> bool:
    if path.name == TABLE:
        return path.is_file() and not path.with_name("collect.jsonl").exists()
    if path.suffix != ".jsonl" or not path.is_file():
        return False  # a pipe would keep its reader waiting for ever
    return JOURNALS.fullmatch(name) is not None or _begins_as_journal(path)


def _begins_as_journal(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(JOURNAL_START)) == JOURNAL_START
    except OSError:
        return False


def _subfolders(path: Path) -> list[Path]:
    return [inside for inside in path.iterdir() if inside.is_dir()] if path.is_dir() else []


def _what_it_is(path: Path) -> str:
    if path.is_dir():
        return "a folder without rounds, tests or trajectories"
    return "a file" if path.exists() else "nothing of that name"


def _names(folders: Sequence[Path]) -> list[str]:
    names = []
    for folder in folders:
        others = [other for other in folders if other != folder]
        depth = 1
        while any(other.parts[-depth:] == folder.parts[-depth:] for other in others) and depth < len(folder.parts):
            depth += 1
        names.append("/".join(folder.parts[-depth:]).lstrip("/") or "/")
    return names
