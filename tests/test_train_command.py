"""What the command gives the round loop: which critics a run's settings ask for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sage_gym.config import TrainConfig
from sage_gym.errors import ConfigError
from sage_gym.train import _critics
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
    assert [critic.name for critic in _critics(a_config(*stages, eta=eta), tiny_student())] == names


def test_consistency_scores_are_those_of_the_students_own_inverse_head() -> None:
    student = tiny_student()
    [ics] = _critics(a_config("reinforce", eta=0.1), student)
    scores = ics.score(play(student))
    assert all(score.value is not None for score in scores)
    assert {"log_p_given_trace", "copy_rate"} <= scores[0].components.keys()


def test_a_return_with_consistency_scores_needs_an_inverse_head() -> None:
    assert _critics(a_config("distil", "reinforce"), HEADLESS) == []
    with pytest.raises(
        ConfigError, match=r"reinforce.eta_ics=0.1: expected a policy with an inverse head, got headless"
    ):
        _critics(a_config("reinforce", eta=0.1), HEADLESS)
