"""What the command gives the round loop: which critics a run's settings ask for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sage_gym.config import TrainConfig
from sage_gym.distill.training import check_student, critics_of
from sage_gym.errors import ConfigError
from sage_gym.train import main
from tests.nano_toys import play, tiny_student

HEADLESS: Any = SimpleNamespace(head=None, name="headless")


def a_config(*stages: str, eta: float = 0.0) -> TrainConfig:
    return TrainConfig.model_validate({"rounds": {"stages": stages}, "reinforce": {"eta_ics": eta}})


@pytest.mark.parametrize(
    ("stages", "eta", "names"),
    [
        (("reinforce",), 0.0, []),
        (("reinforce",), 0.1, ["ics"]),
        (("distil",), 0.0, ["critic", "ics"]),
        (("distil", "reinforce"), 0.1, ["critic", "ics"]),
        (("forecast",), 0.1, []),
    ],
)
def test_only_what_selection_or_the_return_looks_at_is_scored(
    stages: tuple[str, ...], eta: float, names: list[str]
) -> None:
    assert [critic.name for critic in critics_of(a_config(*stages, eta=eta), tiny_student())] == names


def test_consistency_scores_are_those_of_the_students_own_inverse_head() -> None:
    student = tiny_student()
    [ics] = critics_of(a_config("reinforce", eta=0.1), student)
    scores = ics.score(play(student))
    assert all(score.value is not None for score in scores)
    assert {"log_p_given_trace", "copy_rate"} <= scores[0].components.keys()


def test_stages_that_need_a_head_are_refused_without_one() -> None:
    assert critics_of(a_config("distil", "reinforce"), HEADLESS) == []
    splits = ("train", "select", "test")
    check_student(a_config("distil", "reinforce"), HEADLESS, splits)
    with pytest.raises(ConfigError) as caught:
        check_student(a_config("reinforce", "forecast", eta=0.1), HEADLESS, splits)
    assert caught.value.problems == (
        "rounds.stages: forecast: expected a policy with a meta-cognition head, got headless",
        "reinforce.eta_ics=0.1: expected a policy with a meta-cognition head, got headless",
    )


def test_what_the_environment_or_the_policy_does_not_have_is_found_before_there_is_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["env=webshop", "run=typo", "tracking.wandb=off"]
    assert main([*words, "rollout.split=trian", "evaluate.test_split=tst", "evaluate.further_splits=[test,trans]"]) == 2
    said = capsys.readouterr().err
    assert "rollout.split: no split named 'trian'; did you mean 'train'?" in said
    assert "evaluate.test_split: no split named 'tst'; did you mean 'test'?" in said
    assert "evaluate.further_splits[1]: no split named 'trans'; did you mean 'train'?" in said
    assert main([*words, "policy=random"]) == 2
    assert "policy: expected one to train, such as nano or causal_lm, got random" in capsys.readouterr().err
    assert main([*words, "env.catalog=nowhere"]) == 2
    assert "nowhere: expected a folder" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
