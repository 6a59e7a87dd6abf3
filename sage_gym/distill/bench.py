"""What training costs, measured: each loss beside cross-entropy alone, and TRL's own loop on the same rows.

All variants start from the same weights and take the same steps, one after the other in every repetition, the first of
them in turn, so that what else the machine does falls on all alike. A ratio is taken within a repetition.
"""

from __future__ import annotations

import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import torch
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from sage_gym.config.sections import Rollout
from sage_gym.distill.arena import Arena
from sage_gym.distill.batches import TrainingBatch, collate, plan_steps
from sage_gym.distill.inverse import IGNORED, InverseBatch
from sage_gym.distill.objective import Objective, StepLoss
from sage_gym.distill.passes import InversePasses
from sage_gym.distill.returns import examples_for_distillation
from sage_gym.distill.trainer import DistillationTrainer, constant_rate, plain_trainer, training_arguments
from sage_gym.protocols import Student
from sage_gym.types import Trajectory

__all__ = ["run"]

BASE, TRL = "cross-entropy", "TRL's SFTTrainer"
OBJECTIVES: Mapping[str, Objective] = {
    BASE: Objective(cross_entropy=1.0),
    "cross-entropy + forecast": Objective(cross_entropy=1.0, forecast=0.5),
    "cross-entropy + forecast + inverse": Objective(cross_entropy=1.0, forecast=0.5, inverse=0.1),
    "cross-entropy + forecast + KL": Objective(cross_entropy=1.0, forecast=0.5, kl=0.1),
}
TARGETS: Mapping[str, str] = {"cross-entropy + forecast": " (≤ 1.05)"}
EMPTY_TRACE_SHARE = 0.1


class Clock(TrainerCallback):
    """Measures the loop alone, not what is set up before it."""

    def __init__(self) -> None:
        self.began = self.seconds = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start."""
        self.began = time.perf_counter()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Stop."""
        self.seconds = time.perf_counter() - self.began


@dataclass(frozen=True, slots=True)
class Work:
    """The steps that every variant takes."""

    student: Student
    batches: Sequence[TrainingBatch]
    inverse: Sequence[InverseBatch | None]
    rows: int

    @property
    def tokens(self) -> int:
        """Of all steps, padding left out."""
        return sum(batch.token_count for batch in self.batches)


def run(
    student: Student,
    make_environment: Callable[[], gymnasium.Env[str, str]],
    *,
    episodes: int = 64,
    step_tokens: int = 8192,
    repetitions: int = 7,
    bf16: bool = True,
) -> dict[str, float | int | str]:
    """Measure training on a student's own episodes; names give the unit and the target.

    Args:
        student: with a meta-cognition head.
        make_environment: where the rows come from, its train split.
        episodes: played once, trained on in every variant and repetition.
        step_tokens: of an optimizer step.
        repetitions: of every variant; one more is taken first and thrown away.
        bf16: train in bfloat16 autocast.

    Raises:
        ValueError: the student has no head.
    """
    if student.head is None:
        raise ValueError(f"expected a student with a meta-cognition head, got {student.name} without; use policy=nano")
    work = _plan(student, _play(student, make_environment, episodes), step_tokens)
    variants: dict[str, Callable[[], float]] = {
        name: lambda objective=objective: _time_ours(work, objective, bf16)  # type: ignore[misc]
        for name, objective in OBJECTIVES.items()
    }
    variants[TRL] = lambda: _time_trl(work, bf16)
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    names = list(variants)
    for repetition in range(repetitions + 1):
        first = repetition % len(names)
        for name in names[first:] + names[:first]:
            seconds[name].append(variants[name]())
    return _tell(work, {name: taken[1:] for name, taken in seconds.items()})


def _play(student: Student, make_environment: Callable[[], gymnasium.Env[str, str]], episodes: int) -> list[Trajectory]:
    arena = Arena(make_environment, Rollout(), 0, has_progress=False)
    with tempfile.TemporaryDirectory(prefix="sage_gym_bench_") as folder:
        tasks = arena.fixed_tasks("train", episodes)
        policy = student.with_decoding(temperature=1.0, restricted=True)
        return arena.play(policy, tasks, Path(folder) / "episodes.jsonl", title="episodes")


def _plan(student: Student, trajectories: Sequence[Trajectory], step_tokens: int) -> Work:
    finished = [t for t in trajectories if not t.is_infrastructure]
    examples = examples_for_distillation(finished, {t.id: 1.0 for t in finished})
    pad = student.tokenizer.pad_token_id or 0
    steps = plan_steps(examples, step_tokens=step_tokens, seed=0)
    passes = InversePasses(student.tokenizer, finished, EMPTY_TRACE_SHARE, seed=0)
    batches = [collate(step, pad=pad) for step in steps]
    return Work(student, batches, [passes.batch(step, 0, pad) for step in steps], len(examples))


def _time_ours(work: Work, objective: Objective, bf16: bool) -> float:
    model, head = copy.deepcopy(work.student.model), copy.deepcopy(work.student.head)
    assert head is not None
    reference = copy.deepcopy(model).eval().requires_grad_(False) if objective.kl else None
    optimizer = torch.optim.AdamW([*model.parameters(), *head.parameters()], lr=1e-6)
    inverse = work.inverse if objective.inverse else ()
    with tempfile.TemporaryDirectory(prefix="sage_gym_bench_") as folder:
        args = training_arguments(model, Path(folder), bf16=bf16)
        trainer = DistillationTrainer(
            StepLoss(model, head, reference, objective, bf16=bf16), work.batches, inverse, work.student.tokenizer, args,
            (optimizer, constant_rate(optimizer)),
        )  # fmt: skip
        return _time(trainer)


def _time_trl(work: Work, bf16: bool) -> float:
    """Take the same steps with TRL's own loss; a row is a whole step, so that its batches are ours."""
    model = copy.deepcopy(work.student.model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
    inputs = [_trl_inputs(batch) for batch in work.batches]
    with tempfile.TemporaryDirectory(prefix="sage_gym_bench_") as folder:
        args = training_arguments(model, Path(folder), bf16=bf16)
        return _time(plain_trainer(model, inputs, work.student.tokenizer, args, (optimizer, constant_rate(optimizer))))


def _trl_inputs(batch: TrainingBatch) -> dict[str, torch.Tensor]:
    labels_BT = torch.full_like(batch.ids_BT, IGNORED)
    labels_BT.view(-1)[batch.before_N + 1] = batch.labels_N
    places_T = torch.arange(batch.ids_BT.shape[1])
    attention_BT = (places_T.unsqueeze(0) < batch.lengths_B.unsqueeze(1)).long()
    return {"input_ids": batch.ids_BT, "attention_mask": attention_BT, "labels": labels_BT}


def _time(trainer: Trainer) -> float:
    clock = Clock()
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(clock)
    trainer.train()
    return clock.seconds


def _tell(work: Work, seconds: Mapping[str, Sequence[float]]) -> dict[str, float | int | str]:
    told: dict[str, float | int | str] = {
        "threads": torch.get_num_threads(),
        "rows": work.rows,
        "tokens": work.tokens,
        "steps": len(work.batches),
        "repetitions": len(seconds[BASE]),
    }
    for name, taken in seconds.items():
        told[f"{name} (tokens/s)"] = round(work.tokens / statistics.median(taken))
    for name, taken in seconds.items():
        if name != BASE:
            ratios = sorted(own / base for own, base in zip(taken, seconds[BASE], strict=True))
            spread = f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
            told[f"{name}: its time over {BASE} alone, median and range{TARGETS.get(name, '')}"] = spread
    return told
