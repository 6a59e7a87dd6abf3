"""What holds for the tasks of every environment that makes its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from envs.database.environment import Database
from envs.database.synthetic import SPLITS as MADE_OF_TABLES
from envs.terminal.environment import Terminal
from envs.tools.environment import Tools

COUNTS = {Database: 16, Terminal: 30, Tools: 5}


def some_tasks(environment: type) -> str:
    """Write the first tasks of each generated split."""
    env = environment()
    splits = MADE_OF_TABLES if environment is Database else env.splits()
    return str([task for split in splits for task in env.tasks(split)[: COUNTS[environment]]])


@pytest.fixture(scope="module")
def elsewhere() -> dict[str, str]:
    """The same tasks as another process with another hash seed writes them."""
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    code = "from envs.test_tasks import *\nfor each in COUNTS: print(each.__name__, some_tasks(each))"
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {name: tasks for name, _, tasks in (line.partition(" ") for line in said.splitlines())}


@pytest.mark.parametrize("environment", COUNTS, ids=lambda environment: environment.__name__)
def test_two_processes_with_different_hash_seeds_make_identical_tasks(
    environment: type, elsewhere: dict[str, str]
) -> None:
    tasks = some_tasks(environment)
    assert tasks.count("Task(key=") >= 3 * COUNTS[environment]
    assert tasks == elsewhere[environment.__name__]
