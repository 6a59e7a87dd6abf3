from __future__ import annotations

import re
from typing import Any

import gymnasium
import pytest
import torch

import sage_gym  # noqa: F401  registers the environments
from sage_gym.distill.bench import BASE, OBJECTIVES, TRL, run
from tests.nano_toys import tiny_student


def open_shop() -> gymnasium.Env[str, str]:
    return gymnasium.make("sage_gym/WebShop-v0", catalog="world:nano:5:60", disable_env_checker=True)


@pytest.mark.slow
def test_every_loss_and_trl_are_timed_on_the_same_rows_and_the_student_stays_as_it_was() -> None:
    torch.set_num_threads(1)
    student = tiny_student(scale=1.0)
    before = {name: tensor.clone() for name, tensor in student.model.state_dict().items()}
    told: dict[str, Any] = run(student, open_shop, episodes=3, step_tokens=1000, repetitions=2, bf16=False)
    assert told["repetitions"] == 2
    assert told["rows"] >= 3
    assert all(told[f"{name} (tokens/s)"] > 0 for name in (*OBJECTIVES, TRL))
    ratios = {name: value for name, value in told.items() if f"its time over {BASE} alone" in name}
    assert len(ratios) == len(OBJECTIVES)
    for text in ratios.values():
        median, least, most = map(float, re.findall(r"[\d.]+", text))
        assert least <= median <= most
    assert all(torch.equal(tensor, before[name]) for name, tensor in student.model.state_dict().items())


def test_a_student_without_a_head_is_refused() -> None:
    student = tiny_student()
    student.head = None
    with pytest.raises(ValueError, match="expected a student with a meta-cognition head, got tiny without"):
        run(student, open_shop)
