"""Every environment and reward of ours against the contract that third parties test theirs with."""

import re
from collections import Counter
from pathlib import Path

import pytest

from envs.database.environment import Database
from envs.database.experts import expert as database_expert
from envs.database.experts import unattainable as database_unattainable
from envs.terminal.environment import Terminal
from envs.terminal.experts import expert as terminal_expert
from envs.terminal.experts import unattainable as terminal_unattainable
from envs.tools.environment import Tools
from envs.tools.experts import expert as tools_expert
from envs.webshop.environment import WebShop
from envs.webshop.experts import expert as webshop_expert
from envs.webshop.experts import unattainable as webshop_unattainable
from rewards.calibration import Calibration
from rewards.critic import LearnedCritic, RuleCritic
from rewards.outcome import Outcome
from sage_gym.conformance import ENVIRONMENT_CHECKS, REWARD_CHECKS, EnvironmentSubject, RewardSubject
from tests.imports import ROOT
from tests.sandbox_backends import require_engine
from tests.trajectories import make_trajectory, make_turn

SUBJECTS = {
    "webshop": EnvironmentSubject(WebShop, webshop_expert, webshop_unattainable),
    "database": EnvironmentSubject(Database, database_expert, database_unattainable),
    "tools": EnvironmentSubject(Tools, tools_expert),
    "terminal": EnvironmentSubject(Terminal, terminal_expert, terminal_unattainable, tasks=4),
    "terminal on the stub": EnvironmentSubject(
        lambda: Terminal(sandbox="stub"), terminal_expert, terminal_unattainable, tasks=24
    ),
}
REWARDS = {"outcome": Outcome, "critic": LearnedCritic, "rule": RuleCritic, "calibration": Calibration}
TRAJECTORIES = tuple(
    make_trajectory(
        f"shop/{i}", success=i % 2 == 0, reward=i / 4, turns=(make_turn(p_fail_before=0.5, p_fail=0.1 * i),) * (i + 1)
    )
    for i in range(4)
)
GUIDE = (ROOT / "docs" / "your-own-environment.md").read_text(encoding="utf-8")


def name(check):
    return check.__name__


@pytest.mark.parametrize("check", ENVIRONMENT_CHECKS, ids=name)
@pytest.mark.parametrize(
    "environment", [pytest.param(n, marks=[pytest.mark.docker] if n == "terminal" else []) for n in SUBJECTS]
)
def test_environment_holds(environment, check):
    if environment == "terminal":
        require_engine()
    check(SUBJECTS[environment])


@pytest.mark.parametrize("check", REWARD_CHECKS, ids=name)
@pytest.mark.parametrize("reward", REWARDS)
def test_reward_holds(reward, check):
    check(RewardSubject(REWARDS[reward](), TRAJECTORIES))


def blocks() -> dict[str, str]:
    """The guide's files: name → text."""
    return dict(re.findall(r"^```python\n# (\S+)\n(.*?)^```$", GUIDE, flags=re.MULTILINE | re.DOTALL))


@pytest.fixture
def countdown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for file, text in blocks().items():
        (tmp_path / file).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    import countdown

    return countdown


def test_the_guides_environment_is_as_short_as_it_says():
    lines = Counter(
        {file: len([line for line in text.splitlines() if line.strip()]) for file, text in blocks().items()}
    )
    assert set(lines) == {"countdown.py", "brevity.py", "test_countdown.py"}
    assert max(lines.values()) < 60


@pytest.mark.parametrize("check", ENVIRONMENT_CHECKS, ids=name)
def test_the_guides_environment_holds(countdown, check):
    check(EnvironmentSubject(countdown.Countdown, countdown.Expert))


@pytest.mark.parametrize("check", REWARD_CHECKS, ids=name)
def test_the_guides_reward_holds(countdown, check):
    import brevity

    check(RewardSubject(brevity.Brevity(), TRAJECTORIES))
