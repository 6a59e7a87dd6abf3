"""The forecast baseline's gate: what is measured, how rounds add up, and what a shut gate does to a stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from policies.causal_lm import CausalLM
from sage_gym.config.sections import Reinforce
from sage_gym.distill.batches import collate
from sage_gym.distill.estimators import BaselineGate, variance_report
from sage_gym.distill.gating import gate_after, gate_metrics, measure_baseline
from sage_gym.distill.losses import token_logprobs
from sage_gym.distill.objective import hidden_states, labelled_logits
from sage_gym.distill.returns import Returns, ReturnSettings, returns_of
from sage_gym.distill.rows import Example, rows_of
from sage_gym.distill.stages import Material, make_optimizer, reinforce
from sage_gym.types import Trajectory
from tests.nano_toys import play, tiny_student

HARM = BaselineGate(second_moment=1.0, change=0.5)


pytestmark = pytest.mark.usefixtures("one_thread")


def played(student: CausalLM, episodes: int = 4) -> list[Trajectory]:
    """Episodes of one task with rewards that differ."""
    found = play(student, episodes=episodes)
    return [replace(t, task=found[0].task, reward=0.25 * i) for i, t in enumerate(found)]


def gradients_of(student: CausalLM, trajectory: Trajectory) -> dict[int, torch.Tensor]:
    """Each turn's grad log p, in full precision, one after the other."""
    parameters = list(student.model.parameters())
    found: dict[int, torch.Tensor] = {}
    for row in rows_of(trajectory):
        batch = collate([Example(row)], pad=0)
        logits_NV = labelled_logits(student.model, hidden_states(student.model, batch), batch)
        logprobs_N = token_logprobs(logits_NV, batch.labels_N, batch.allowed_NA, batch.temperature)
        for turn in sorted(set(row.turn_N.tolist())):
            own = logprobs_N[torch.from_numpy(row.turn_N == turn)].sum()
            parts = torch.autograd.grad(own, parameters, retain_graph=True, allow_unused=True)
            flat = torch.cat(
                [torch.zeros(p.numel()) if g is None else g.flatten() for p, g in zip(parameters, parts, strict=True)]
            )
            found[turn] = found.get(turn, torch.zeros_like(flat)) + flat
    return found


def with_baselines(trajectories: Sequence[Trajectory], *base: Sequence[float]) -> Returns:
    returns = returns_of(trajectories, ReturnSettings(success_share=0.0, baseline="none"))
    return replace(returns, baselines_BK=tuple(np.asarray(b, dtype=np.float64) for b in base))


def test_one_baseline_an_episode_is_measured_as_the_variance_report_says() -> None:
    student = tiny_student()
    found = played(student)
    base = [0.5, 0.1, 0.9, 0.3]
    returns = with_baselines(found, *([b] * len(t.turns) for b, t in zip(base, found, strict=True)))
    report = measure_baseline(student, found, returns, episodes=4, seed=0)
    norms_B = torch.tensor([float(sum(gradients_of(student, t).values()).square().sum()) for t in found])  # type: ignore[union-attr]
    expected = variance_report(norms_B, torch.from_numpy(returns.returns_B), torch.tensor(base))
    for name in ("score_norm", "weighted_return", "second_moment", "change"):
        assert getattr(report, name) == pytest.approx(getattr(expected, name), rel=0.05), name
    assert report.ratio == pytest.approx(expected.ratio, rel=0.05)


def test_a_baseline_that_moves_from_turn_to_turn_weighs_each_turns_own_gradient() -> None:
    student = tiny_student()
    [trajectory] = played(student, 1)
    trajectory = replace(trajectory, reward=0.5)
    base = np.linspace(-1.0, 1.0, len(trajectory.turns))
    report = measure_baseline(student, [trajectory], with_baselines([trajectory], base), episodes=4, seed=0)
    gradients = gradients_of(student, trajectory)
    whole = sum(gradients.values())
    with_base = sum((0.5 - base[turn]) * gradient for turn, gradient in gradients.items())
    assert report.second_moment == pytest.approx(float((0.5 * whole).square().sum()), rel=0.05)  # type: ignore[union-attr]
    assert report.change == pytest.approx(float(with_base.square().sum()) - report.second_moment, rel=0.1)  # type: ignore[union-attr]


def test_episodes_are_drawn_by_lot_and_the_student_stays_as_it_was() -> None:
    student = tiny_student()
    found = played(student)
    returns = with_baselines(found, *([0.1] * len(t.turns) for t in found))
    before = {name: tensor.clone() for name, tensor in student.model.state_dict().items()}
    reports = [measure_baseline(student, found, returns, episodes=1, seed=seed) for seed in (0, 0, 1, 2, 3)]
    assert reports[0] == reports[1]
    assert len({report.score_norm for report in reports}) > 1
    assert all(torch.equal(tensor, before[name]) for name, tensor in student.model.state_dict().items())
    assert all(parameter.grad is None for parameter in student.model.parameters())


def test_an_episode_without_sampled_tokens_has_no_gradient() -> None:
    student = tiny_student()
    [trajectory] = played(student, 1)
    silent = replace(
        trajectory, turns=tuple(replace(t, decision=replace(t.decision, ledger=None)) for t in trajectory.turns)
    )
    report = measure_baseline(
        student, [silent], with_baselines([silent], [0.5] * len(silent.turns)), episodes=1, seed=0
    )
    assert (report.score_norm, report.second_moment, report.change) == (0.0, 0.0, 0.0)


def test_rounds_that_measured_nothing_leave_the_gate_as_it_is() -> None:
    harm = gate_metrics(BaselineGate(), variance_report(torch.ones(1), torch.tensor([0.1]), torch.tensor([1.0])))
    help_ = gate_metrics(BaselineGate(), variance_report(torch.ones(1), torch.tensor([2.0]), torch.tensor([1.0])))
    assert gate_after([]).is_open
    assert not gate_after([{"reinforce/loss": 1.0}, harm, {}]).is_open
    assert gate_after([harm, *[help_] * 3]).is_open
    assert gate_after([harm, help_]) == gate_after([harm, {}, help_])


def train(student: CausalLM, gate: BaselineGate, **settings: Any) -> tuple[dict[str, float], torch.Tensor]:
    """Take the stage on one and the same batch of episodes; give its metrics and the weights after it."""
    found = [t for task in range(2) for t in _of_task(played(tiny_student()), task)]
    material = Material(found, 0, gate=gate, ics=settings.pop("ics", {}))
    optimizer = make_optimizer(student, learning_rate=1e-2)
    result = reinforce(student, material, Reinforce(learning_rate=1e-2, settled_share=1.0, **settings), optimizer)
    return result.metrics, torch.cat([p.detach().flatten() for p in student.model.parameters()])


def _of_task(trajectories: Sequence[Trajectory], number: int) -> list[Trajectory]:
    task = replace(trajectories[0].task, key=f"tiny/{number}")
    return [replace(t, task=task, id=f"{task.key}#{i}") for i, t in enumerate(trajectories)]


@pytest.mark.parametrize("baseline", ["forecast", "turn"])
def test_while_the_gate_is_shut_the_stage_does_what_the_group_baseline_does(baseline: str) -> None:
    grouped, group_weights = train(tiny_student(), HARM, baseline="group")
    shut, shut_weights = train(tiny_student(), HARM, baseline=baseline)
    opened, open_weights = train(tiny_student(), BaselineGate(), baseline=baseline)
    ungated, ungated_weights = train(tiny_student(), HARM, baseline=baseline, gate_episodes=0)
    assert torch.equal(shut_weights, group_weights)
    assert torch.equal(open_weights, ungated_weights)
    assert not torch.equal(open_weights, shut_weights)
    assert (shut["reinforce/baseline_gate"], opened["reinforce/baseline_gate"]) == (0.0, 1.0)
    assert shut["reinforce/baseline_second_moment"] == opened["reinforce/baseline_second_moment"] > 0.0
    assert not any("baseline" in name for name in (*grouped, *ungated))


def test_consistency_scores_are_in_the_return_by_their_weight() -> None:
    found = played(tiny_student())
    ics = {f"tiny/{task}#{i}": 0.5 * i for task in range(2) for i in range(len(found) - 1)}
    plain, plain_weights = train(tiny_student(), BaselineGate(), ics=ics)
    weighed, weights = train(tiny_student(), BaselineGate(), ics=ics, eta_ics=0.5)
    assert not torch.equal(weights, plain_weights)
    assert "reinforce/ics" not in plain
    assert (weighed["reinforce/ics"], weighed["reinforce/ics_scored"]) == (0.5, 6.0)
