"""The stages of a round's training: the forecast head, distillation of what selection kept, policy gradient."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from sage_gym.config import TrainConfig
from sage_gym.config.sections import Distil, Reinforce
from sage_gym.distill.allowance import allot, keep_within, return_settings_of, tokens_of
from sage_gym.distill.batches import TrainingBatch, collate, plan_steps
from sage_gym.distill.estimators import BaselineGate
from sage_gym.distill.gating import gate_metrics, measure_baseline
from sage_gym.distill.heads import fit_forecasts
from sage_gym.distill.hints import is_on_policy
from sage_gym.distill.inverse import InverseBatch
from sage_gym.distill.objective import Objective
from sage_gym.distill.passes import InversePasses
from sage_gym.distill.returns import (
    Returns,
    examples_for_distillation,
    examples_for_gradient,
    returns_of,
)
from sage_gym.distill.rows import Example
from sage_gym.distill.trainer import train_steps
from sage_gym.evaluation.sources import SourceCount, count_sources
from sage_gym.protocols import Student
from sage_gym.selection import Selection
from sage_gym.types import Trajectory

__all__ = ["Material", "StageResult", "distil", "make_optimizer", "reinforce", "take_stages"]


WHOLE_EPISODES = 192
"""Of so many of a round's episodes the stage `forecast` reads every decision; of the others, the first."""


@dataclass(frozen=True, slots=True)
class Material:
    """What a round trains on.

    Args:
        collected: every episode of the round, those of second attempts and forced mistakes included, and without those
            that decontamination leaves out.
        seed: of the round.
        selection: what the stage `distil` imitates; None where it is no stage of the run.
        ics: Inverse Consistency Scores by trajectory id, by the student as it was when the round began.
        gate: whether a baseline of forecasts may be used.
        rate: the share of the backbone's learning rates that the round has.
        earlier: episodes of the rounds before, the latest first, where the stage `forecast` is one of the run's.
        allowance: sampled tokens that the round may train on, of each stage the same share; None is no limit.
    """

    collected: Sequence[Trajectory]
    seed: int
    selection: Selection | None = None
    ics: Mapping[str, float] = field(default_factory=dict)
    gate: BaselineGate = field(default_factory=BaselineGate)
    rate: float = 1.0
    earlier: Sequence[Sequence[Trajectory]] = ()
    allowance: int | None = None


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage did: named means of its losses, and the sampled tokens that carried weight, with their sources."""

    metrics: dict[str, float] = field(default_factory=dict)
    tokens_trained: int = 0
    sources: tuple[SourceCount, ...] = ()

    def to_record(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of it."""
        sources = [source.model_dump() for source in self.sources]
        return {"metrics": self.metrics, "tokens_trained": self.tokens_trained, "sources": sources}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> StageResult:
        """Read what `to_record` gave; a checkpoint of an earlier version names no sources."""
        sources = tuple(SourceCount.model_validate(source) for source in record.get("sources", ()))
        return cls(record["metrics"], record["tokens_trained"], sources)


def take_stages(
    student: Student, material: Material, config: TrainConfig, optimizer: torch.optim.Optimizer
) -> StageResult:
    """Train the run's stages in their order; their metrics are put together and their tokens summed."""
    metrics: dict[str, float] = {}
    tokens, sources = 0, list[SourceCount]()
    imitating = config.distil.model_copy(update={"learning_rate": config.distil.learning_rate * material.rate})
    reinforcing = config.reinforce.model_copy(update={"learning_rate": config.reinforce.learning_rate * material.rate})
    allowances: dict[str, int] = {}
    if material.allowance is not None:
        weights = {} if material.selection is None else _weights(material.selection)
        allowances = allot(material.allowance, config, material.collected, weights, material.ics)
    for stage in config.rounds.stages:
        own = allowances.get(stage)
        if stage == "forecast":
            result = StageResult(_fit_forecasts(student, material))
        elif stage == "distil" and material.selection is not None:
            result = distil(
                student, material.collected, material.selection, imitating, optimizer, seed=material.seed, allowance=own
            )
        else:
            result = reinforce(student, material, reinforcing, optimizer, allowance=own)
        metrics |= result.metrics
        tokens += result.tokens_trained
        sources += result.sources
    return StageResult(metrics, tokens, tuple(sources))


def _weights(selection: Selection) -> dict[str, float]:
    return {verdict.trajectory_id: verdict.weight for verdict in selection.verdicts if verdict.kept}


def _fit_forecasts(student: Student, material: Material) -> dict[str, float]:
    share = min(1.0, WHOLE_EPISODES / max(1, len(material.collected)))
    return fit_forecasts(student, material.collected, earlier=material.earlier, share=share, seed=material.seed)


def make_optimizer(student: Student, *, learning_rate: float, weight_decay: float = 0.0) -> torch.optim.AdamW:
    """Make the run's one optimizer over the student's weights and its head's; it lives from round to round."""
    parameters = [p for p in student.model.parameters() if p.requires_grad]
    groups = [{"params": parameters}]
    if student.head is not None:
        groups.append({"params": [p for p in student.head.parameters() if p.requires_grad]})
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95), weight_decay=weight_decay, fused=fused)


def distil(
    student: Student,
    collected: Sequence[Trajectory],
    selection: Selection,
    settings: Distil,
    optimizer: torch.optim.Optimizer,
    *,
    seed: int,
    allowance: int | None = None,
) -> StageResult:
    """Train on what selection kept, with its weights; the forecast learns from every finished episode."""
    weights = _weights(selection)
    finished = [t for t in collected if not t.is_infrastructure]
    examples = examples_for_distillation(finished, weights)
    if allowance is not None:
        examples = keep_within(examples, allowance // settings.epochs, seed)
    if not settings.lambda_forecast or student.head is None:
        examples = [example for example in examples if example.weight > 0]
    objective = Objective(
        cross_entropy=1.0 if weights else 0.0,
        forecast=settings.lambda_forecast,
        inverse=settings.lambda_inverse if weights and student.head is not None else 0.0,
        kl=settings.lambda_kl if weights else 0.0,
        reference_temperature=settings.reference_temperature,
    )
    passes = InversePasses(student.tokenizer, finished, settings.empty_trace_share, seed)
    return _train(
        student, finished, examples, objective, optimizer, name="distil", epochs=settings.epochs,
        clip=settings.max_grad_norm, step_tokens=settings.batch_tokens,
        rates=(settings.learning_rate, settings.head_learning_rate), seed=seed, passes=passes,
    )  # fmt: skip


def reinforce(
    student: Student,
    material: Material,
    settings: Reinforce,
    optimizer: torch.optim.Optimizer,
    *,
    allowance: int | None = None,
) -> StageResult:
    """Take policy-gradient steps on the student's own finished episodes; none that anything else had a part in."""
    finished = [t for t in material.collected if not t.is_infrastructure and is_on_policy(t)]
    if not finished:
        return StageResult({"reinforce/steps": 0.0})
    returns, watched = _returns(student, finished, material, settings)
    examples = examples_for_gradient(finished, returns)
    settled_share = sum(example.weight == 0 for example in examples) / max(1, len(examples))
    if allowance is not None:
        examples = keep_within(examples, allowance // settings.epochs, material.seed)
    if settings.settled_share < 1.0:
        examples = _thin(examples, settings.settled_share, material.seed)
    objective = Objective(
        policy_gradient=1.0,
        forecast=settings.lambda_forecast,
        kl=settings.kl,
        admissible=settings.admissible,
        entropy=settings.entropy,
        clip_low=settings.clip_low,
        clip_high=settings.clip_high,
    )
    result = _train(
        student, finished, examples, objective, optimizer, name="reinforce", epochs=settings.epochs,
        clip=settings.max_grad_norm, step_tokens=settings.batch_tokens,
        rates=(settings.learning_rate, settings.head_learning_rate), seed=material.seed,
    )  # fmt: skip
    return replace(result, metrics={**result.metrics, **watched, "reinforce/settled_share": settled_share})


def _returns(
    student: Student, finished: Sequence[Trajectory], material: Material, settings: Reinforce
) -> tuple[Returns, dict[str, float]]:
    """Value the episodes; a baseline of forecasts is measured, and exchanged for the group's while the gate is shut."""
    wanted = return_settings_of(settings)
    returns = returns_of(finished, wanted, material.ics)
    watched: dict[str, float] = {}
    if settings.eta_ics:
        known = [material.ics[t.id] for t in finished if t.id in material.ics]
        watched = {"reinforce/ics": float(np.mean(known)) if known else 0.0, "reinforce/ics_scored": float(len(known))}
    if settings.baseline in ("forecast", "turn") and settings.gate_episodes:
        measured = measure_baseline(student, finished, returns, episodes=settings.gate_episodes, seed=material.seed)
        watched |= gate_metrics(material.gate, measured)
        if not material.gate.is_open:
            returns = returns_of(finished, replace(wanted, baseline="group"), material.ics)
    return returns, watched


def _thin(examples: Sequence[Example], share: float, seed: int) -> list[Example]:
    """Keep only a share, by lot, of the rows that train the forecast alone, and weigh those up to stay unbiased."""
    rng = np.random.default_rng([seed, 7])
    kept = []
    for example in examples:
        if example.weight > 0:
            kept.append(example)
        elif rng.random() < share:
            kept.append(replace(example, forecast_weight=example.forecast_weight / share))
    return kept


def _train(
    student: Student,
    episodes: Sequence[Trajectory],
    examples: Sequence[Example],
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    *,
    name: str,
    epochs: int,
    clip: float,
    step_tokens: int,
    rates: tuple[float, float],
    seed: int,
    passes: InversePasses | None = None,
) -> StageResult:
    if not any(example.weight > 0 for example in examples):
        return StageResult({f"{name}/steps": 0.0})
    for group, rate in zip(optimizer.param_groups, rates, strict=False):  # the model's, and the head's if there is one
        group["lr"] = rate
    has_reference = bool(objective.kl) and not objective.policy_gradient
    reference = copy.deepcopy(student.model).eval().requires_grad_(False) if has_reference else None
    pad = student.tokenizer.pad_token_id or 0
    batches: list[TrainingBatch] = []
    inverse: list[InverseBatch | None] = []
    for epoch in range(epochs):
        steps = plan_steps(examples, step_tokens=step_tokens, seed=seed + epoch)
        batches += [collate(step, pad=pad) for step in steps]
        if passes is not None and objective.inverse:
            inverse += [passes.batch(step, epoch, pad) for step in steps]
    losses = train_steps(
        student.model, student.head, reference, objective, batches, student.tokenizer, optimizer, inverse=inverse,
        clip=clip, seed=seed,
    )  # fmt: skip
    metrics = {f"{name}/{part if part != 'cross_entropy' else 'loss'}": value for part, value in losses.items()}
    metrics[f"{name}/steps"] = float(len(batches))
    moving = [example.row for example in examples if example.weight > 0]
    tokens = [
        (row.trajectory, {turn: count * epochs for turn, count in Counter(row.turn_N.tolist()).items()})
        for row in moving
    ]
    return StageResult(metrics, tokens_of(examples) * epochs, count_sources(name, {t.id: t for t in episodes}, tokens))
