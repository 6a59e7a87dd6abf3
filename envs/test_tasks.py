"""What holds for the tasks of every environment that makes its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from envs.database.environment import Database
from envs.database.synthetic import CAPACITY as MOST_OF_TABLES
from envs.database.synthetic import SPLITS as OF_TABLES
from envs.terminal.environment import Terminal
from envs.terminal.synthetic import CAPACITY as MOST_IN_SHELLS
from envs.terminal.synthetic import SPLITS as IN_SHELLS
from envs.tools.environment import Tools
from envs.tools.splits import MOST_TASKS as MOST_WITH_TOOLS
from envs.tools.splits import SPLITS as WITH_TOOLS
from sage_gym.errors import ConfigError, TaskKeyError, UnknownNameError


@dataclass(frozen=True)
class Maker:
    """An environment with a generator.

    Args:
        make: its constructor.
        splits: those that are generated.
        capacity: tasks of a split at most.
        stem: of a split's keys; `{}` is the split.
        first: number of the first task of the last split.
        some: so many tasks of each split are compared.
    """

    make: Callable[..., Any]
    splits: tuple[str, ...]
    capacity: int
    stem: str
    first: int = 0
    some: int = 12

    def key(self, at: int) -> str:
        return f"{self.stem.format(self.splits[-1])}/{self.first + at:05d}"


MAKERS = {
    "database": Maker(Database, OF_TABLES, MOST_OF_TABLES, "database/synthetic", first=60_000),
    "terminal": Maker(lambda **given: Terminal(sandbox="stub", **given), IN_SHELLS, MOST_IN_SHELLS, "terminal/{}"),
    "tools": Maker(Tools, WITH_TOOLS, MOST_WITH_TOOLS, "tools/{}", some=4),
}
each = pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)


def some_tasks(maker: Maker) -> str:
    env = maker.make()
    return str([task for split in maker.splits for task in env.tasks(split)[: maker.some]])


@pytest.fixture(scope="module")
def elsewhere() -> list[str]:
    """The same tasks as another process with another hash seed writes them."""
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    code = "from envs.test_tasks import *\nfor maker in MAKERS.values(): print(some_tasks(maker))"
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return said.stdout.splitlines()


@each
def test_two_processes_with_different_hash_seeds_make_identical_tasks(maker: Maker, elsewhere: list[str]) -> None:
    tasks = some_tasks(maker)
    assert tasks.count("Task(key=") == len(maker.splits) * maker.some
    assert tasks == elsewhere[list(MAKERS.values()).index(maker)]


@each
def test_a_task_depends_on_its_number_alone(maker: Maker) -> None:
    small, large = maker.make(size=3), maker.make(size=2 * maker.some)
    for split in maker.splits:
        assert list(small.tasks(split)) == large.tasks(split)[:3]
        assert len({task.hash for task in large.tasks(split)}) == 2 * maker.some


@pytest.mark.parametrize("name", ["database", "terminal"])
def test_another_seed_makes_other_tasks(name: str) -> None:
    one, other = MAKERS[name].make(size=3), MAKERS[name].make(size=3, seed=1)
    for split in MAKERS[name].splits:
        assert not {task.hash for task in one.tasks(split)} & {task.hash for task in other.tasks(split)}


@each
@pytest.mark.parametrize("more", [False, True])
def test_a_generator_says_how_many_it_can_give(maker: Maker, more: bool) -> None:
    size = maker.capacity + 1 if more else 0
    with pytest.raises(ConfigError, match=f"size: the generator can give 1 to {maker.capacity} tasks a split, got"):
        maker.make(size=size)


@each
def test_the_last_task_of_the_largest_set_can_be_made(maker: Maker) -> None:
    env, last = maker.make(size=maker.capacity), maker.key(maker.capacity - 1)
    assert env.tasks(maker.splits[-1])[-1].key == last
    assert env.reset(options={"task": last})[1]["task"] == last


@each
@pytest.mark.parametrize(
    "wrong", ["{stem}/00007", "{stem}/99999", "{stem}/5", "{stem}/", "{stem}/00002/1", "elsewhere/00001", "x", ""]
)
def test_a_key_without_a_task_is_told_those_that_there_are(maker: Maker, wrong: str) -> None:
    env, stem = maker.make(size=5), maker.stem.format(maker.splits[0])
    with pytest.raises(TaskKeyError, match=f"train: {stem}/00000 to {stem}/00004; select: "):
        env.reset(options={"task": wrong.format(stem=stem)})


@each
def test_an_unknown_split_is_told_the_nearest(maker: Maker) -> None:
    env = maker.make(size=5)
    for look in (lambda: env.tasks("trian"), lambda: maker.make(split="trian")):
        with pytest.raises(UnknownNameError, match=r"no split named 'trian'; did you mean 'train'\?; known: .*select"):
            look()
