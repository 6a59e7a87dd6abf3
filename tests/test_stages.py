"""A round's stages: what they are given of the run's settings and of the round."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from sage_gym.config import TrainConfig
from sage_gym.distill.stages import Material, make_optimizer, take_stages
from sage_gym.selection import apply_critics, select
from sage_gym.selection.settings import SelectionSettings
from sage_gym.types import Group
from tests.nano_toys import play, tiny_student


@pytest.mark.parametrize("stage", ["distil", "reinforce"])
def test_a_rounds_share_of_the_learning_rate_is_the_backbones_alone(stage: str) -> None:
    torch.set_num_threads(1)
    student = tiny_student()
    found = [replace(t, reward=float(i % 2)) for i, t in enumerate(play(student, episodes=4))]
    groups = [Group(t.task, (t,)) for t in found]
    settings: dict[str, Any] = {"learning_rate": 1e-2, "head_learning_rate": 3e-2}
    config = TrainConfig.model_validate({"rounds": {"stages": [stage]}, stage: settings})
    selection = select(groups, apply_critics(groups, []), SelectionSettings(), [])
    optimizer = make_optimizer(student, learning_rate=1.0)
    take_stages(student, Material(found, 0, selection=selection, rate=0.25), config, optimizer)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.25e-2, 3e-2])
