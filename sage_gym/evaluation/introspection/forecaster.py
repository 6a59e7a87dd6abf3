"""The frozen forecaster: what it says of trajectories with turns taken away, many at a time.

Variants of one trajectory begin alike. On a CPU they are read as a tree, so that what they have in common is read once
(`sage_gym.distill.sharing`); elsewhere as padded rows. A token counts as the same only at the same position, so that
sequences with gaps are read as they are.
Shapes: M variants, T tokens, H hidden.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sage_gym.distill.objective import backbone_of
from sage_gym.distill.sharing import read_shared, share
from sage_gym.evaluation.introspection.removal import Variant
from sage_gym.protocols import Student

__all__ = ["Forecaster", "Forecasts"]


@dataclass(frozen=True, slots=True)
class Forecasts:
    """Log-odds of failure (nats, before calibration) and calibrated probability of failure, at variants' ends."""

    log_odds_M: NDArray[np.float64]
    p_fail_M: NDArray[np.float64]


class Forecaster:
    """The forecast head of a student, at the last token of a decision (Q), with all weights as they are.

    Args:
        student: with a meta-cognition head.
        step_tokens: of one forward pass, at most, unless one variant alone is longer: this bounds the memory.

    Raises:
        ValueError: the student has no head.
    """

    def __init__(self, student: Student, *, step_tokens: int = 8192) -> None:
        if student.head is None:
            raise ValueError("expected a student with a meta-cognition head, which forecasts the outcome; got none")
        self._model, self._head, self._step_tokens = student.model, student.head, step_tokens

    @torch.inference_mode()
    def judge(self, variants: Sequence[Variant]) -> Forecasts:
        """Forecast each variant at its last token."""
        log_odds_M, p_fail_M = np.empty(len(variants)), np.empty(len(variants))
        embeddings, head = self._model.get_input_embeddings(), _any(self._head)
        for step in self._steps(variants):
            chosen = [variants[index] for index in step]
            hidden_MH = self._states(chosen).float()
            opening_MH = head.read_openings(embeddings, [v.ids_T[: v.opening].tolist() for v in chosen])
            log_odds_M[step] = head.forecast(hidden_MH, opening_MH, "after").double().cpu().numpy()
            p_fail_M[step] = head.p_fail(hidden_MH, opening_MH, "after").double().cpu().numpy()
        return Forecasts(log_odds_M, p_fail_M)

    def _steps(self, variants: Sequence[Variant]) -> Iterator[list[int]]:
        """Cut the variants into passes, in their order: those of one trajectory lie together."""
        step: list[int] = []
        tokens = 0
        for index, variant in enumerate(variants):
            tokens += len(variant.ids_T)
            if step and tokens > self._step_tokens:
                yield step
                step, tokens = [], len(variant.ids_T)
            step.append(index)
        if step:
            yield step

    def _states(self, variants: Sequence[Variant]) -> Tensor:
        """Return the last hidden states `(M, H)` at the variants' ends."""
        length = max(len(variant.ids_T) for variant in variants)
        ends = torch.tensor([row * length + len(variant.ids_T) - 1 for row, variant in enumerate(variants)])
        backbone, size = backbone_of(self._model), _any(self._model.get_input_embeddings()).weight.shape[0]
        # a tree's nodes are told apart by id and position together
        sharing = share([variant.positions_T * size + variant.ids_T for variant in variants], length)
        sharing = replace(sharing, ids_N=sharing.ids_N % size, position_N=sharing.ids_N // size)
        shared_NH = read_shared(self._model, backbone, sharing)
        if shared_NH is not None:
            return shared_NH[sharing.place_BT[ends]]
        ids_MT, positions_MT, mask_MT = (torch.zeros(len(variants), length, dtype=torch.int64) for _ in range(3))
        for row, variant in enumerate(variants):
            count = len(variant.ids_T)
            ids_MT[row, :count] = torch.from_numpy(variant.ids_T)
            positions_MT[row, :count] = torch.from_numpy(variant.positions_T)
            mask_MT[row, :count] = 1
        device = self._model.device
        # with a mask: without one, transformers takes a gap in the positions for the start of another sequence
        found = backbone(
            input_ids=ids_MT.to(device),
            position_ids=positions_MT.to(device),
            attention_mask=mask_MT.to(device),
            use_cache=False,
        )
        states_NH: Tensor = found.last_hidden_state.flatten(0, 1)
        return states_NH[ends.to(device)]


def _any(module: torch.nn.Module) -> Any:
    return module
