"""Each command that README shows is run: quick ones as they stand, long ones as a smaller invocation."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.imports import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALLER: dict[str, str] = {
    "python -m sage_gym.train env=webshop run=mine seed=1": (
        "python -m sage_gym.train env=webshop run=readme-check run.folder={folder} seed=1 rounds.count=1 "
        "rollout.tasks_per_round=2 rollout.group_size=2 evaluate.select_tasks=4 evaluate.test_tasks=4 "
        "tracking.wandb=off"
    ),
    "python -m sage_gym.evaluate env=webshop policy=nano tasks=20": (
        "python -m sage_gym.evaluate env=webshop policy=random tasks=4 recovery.tasks=0 folder={folder}"
    ),
}
"""A command that takes long, to what is run in its place."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [" ".join(line.partition(" #")[0].split()) for line in lines if line.strip()]


def run(argv: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "WANDB_MODE": "offline", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        argv,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_readme_shows_commands() -> None:
    assert len(commands()) >= 5
    assert set(SMALLER) <= set(commands())


@pytest.mark.parametrize("command", commands())
def test_the_command_runs(command: str, tmp_path: Path) -> None:
    program, *arguments = shlex.split(SMALLER.get(command, command).replace("{folder}", str(tmp_path)))
    assert program in ("make", "python"), f"expected make or python, got {program!r}; say here how to test it"
    # What make's targets do is this very test run, or would repeat it: that each exists and expands is seen here.
    result = run([program, "-n", *arguments] if program == "make" else [sys.executable, *arguments])
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]


@pytest.mark.parametrize("source", blocks("python"))
def test_the_python_example_runs(source: str) -> None:
    result = run([sys.executable, "-c", source])
    assert result.returncode == 0, result.stderr[-2000:]
    assert "next >" in result.stdout


def test_every_make_target_named_in_text_exists() -> None:
    named = set(re.findall(r"\bmake ([a-z]+)\b", README)) - {"s"}
    assert named >= {"test", "check", "venv"}
    for target in named:
        assert run(["make", "-n", target]).returncode == 0, target


def test_every_file_and_extra_named_in_text_exists() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for name in re.findall(r"`([\w./-]+\.(?:md|txt|toml))`", README):
        assert (ROOT / name).is_file(), name
    extras = re.search(r"the extras are (.*?)\.\n", README, flags=re.DOTALL)
    assert extras is not None
    for extra in re.findall(r"`(\w+)`", extras[1]):
        assert re.search(rf"^{extra} = \[", project, flags=re.MULTILINE), extra
