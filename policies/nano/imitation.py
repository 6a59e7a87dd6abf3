"""Imitation of demonstrations: cross-entropy on the decisions' tokens, from nothing, on a CPU's two cores."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional
from transformers import Qwen2ForCausalLM

from policies.causal_lm.vocabulary import LABEL_COUNT
from policies.nano.pointing import Pointing
from sage_gym.blockwise import blockwise_attention

ROUND = 64
ROLE_COUNT = 1 + 2 * LABEL_COUNT
"""None, and for each label the first and the last word of what an action behind it quotes."""

__all__ = ["Batch", "ImitationSettings", "Probes", "Sequence_", "imitate", "pack"]


@dataclass(frozen=True, slots=True)
class Sequence_:
    """One episode as ids, and for each the weight of predicting it (0 where the policy did not choose it).

    `marks` are, at label tokens, whether the choice they stand behind is a right one (1 or 0), elsewhere -1; empty
    means nowhere. `ends` are the positions at which a forecast is read before anything is known of the shop, `pieces`
    the ids that the instruction is made of. `roles` are, at the instruction's word marks, what the word serves for in
    the episode (0: nothing), elsewhere -1; empty means nowhere. `pointers` are, for each mark in a decision, the place
    before it, the place where the instruction has that mark, and whether it ends a span (1) or begins one (0).
    """

    ids: tuple[int, ...]
    weights: tuple[float, ...]
    marks: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    pieces: tuple[int, ...] = ()
    roles: tuple[int, ...] = ()
    pointers: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded sequences. Causal attention never looks at the padding, so no mask is needed.

    `ends_E` are flat positions, `pieces_EP` what is asked for at each, filled up with -1.
    """

    ids_BT: torch.Tensor
    weights_BT: torch.Tensor
    marks_BT: torch.Tensor
    ends_E: torch.Tensor
    pieces_EP: torch.Tensor
    roles_BT: torch.Tensor
    pointers_P4: torch.Tensor

    @property
    def tokens(self) -> int:
        """Count of positions, padding included."""
        return self.ids_BT.numel()


@dataclass(frozen=True, slots=True)
class ImitationSettings:
    """Vetted for a model of a few million parameters."""

    steps: int = 12_000
    batch_tokens: int = 6_000
    learning_rate: float = 2e-3
    warmup: int = 200
    final_share: float = 0.05
    weight_decay: float = 0.05
    clip: float = 1.0
    mark_weight: float = 0.0
    """Of the loss that asks at every label whether its choice is right: matching is learned from each choice shown,
    not only from the few taken. Its linear probe is thrown away."""
    recall_weight: float = 0.0
    """Of the loss that asks, where the first decision's forecasts are read, for the pieces of the instruction: what is
    forecast before anything is seen can be read off nothing else. Its linear probe is thrown away."""
    role_weight: float = 0.0
    """Of the loss that asks at every word of the instruction which action quotes it: reading the instruction is learned
    from each word, not only from the few decisions that quote one. Its linear probe is thrown away."""
    pointer_weight: float = 0.0
    """Of the loss that shows two heads where to look for what is quoted next (`pointing`)."""


def pack(sequences: Iterator[Sequence_], *, batch_tokens: int, pool: int = 512, seed: int = 0) -> Iterator[Batch]:
    """Group sequences of like length; the order of batches is shuffled by `seed`.

    Lengths are rounded up to a multiple of 64 and a length's batches are all of one size, because a CPU's matrix
    kernels are compiled for each new shape.
    """
    rng = np.random.default_rng(seed)
    waiting: dict[int, list[Sequence_]] = {}
    while True:
        ready: list[Batch] = []
        for _ in range(pool):
            sequence = next(sequences)
            length = -(-len(sequence.ids) // ROUND) * ROUND
            held = waiting.setdefault(length, [])
            held.append(sequence)
            if len(held) == max(1, batch_tokens // length):
                ready.append(_pad(held, length))
                waiting[length] = []
        for index in rng.permutation(len(ready)):
            yield ready[index]


def _pad(group: Sequence[Sequence_], length: int) -> Batch:
    ids = np.zeros((len(group), length), dtype=np.int64)
    weights = np.zeros((len(group), length), dtype=np.float32)
    marks = np.full((len(group), length), -1, dtype=np.int64)
    roles = np.full((len(group), length), -1, dtype=np.int64)
    for row, sequence in enumerate(group):
        ids[row, : len(sequence.ids)] = sequence.ids
        weights[row, : len(sequence.weights)] = sequence.weights
        marks[row, : len(sequence.marks)] = sequence.marks
        roles[row, : len(sequence.roles)] = sequence.roles
    ends = [row * length + end for row, sequence in enumerate(group) for end in sequence.ends]
    asked = [sequence.pieces for sequence in group for _ in sequence.ends]
    pieces = np.full((len(asked), max(map(len, asked), default=0)), -1, dtype=np.int64)
    for row, ids_of_row in enumerate(asked):
        pieces[row, : len(ids_of_row)] = ids_of_row
    return Batch(
        torch.from_numpy(ids),
        torch.from_numpy(weights),
        torch.from_numpy(marks),
        torch.tensor(ends, dtype=torch.int64),
        torch.from_numpy(pieces),
        torch.from_numpy(roles),
        torch.tensor([(row, *pointer) for row, sequence in enumerate(group) for pointer in sequence.pointers]),
    )


def learning_rate_at(step: int, settings: ImitationSettings) -> float:
    """Linear warm-up, then a cosine to `final_share` of the peak."""
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    share = settings.final_share + (1 - settings.final_share) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return settings.learning_rate * share


@dataclass(frozen=True, slots=True)
class Probes:
    """The linear maps of the auxiliary losses, and the losses' weights; None where there is none."""

    mark: torch.nn.Linear | None = None
    mark_weight: float = 0.0
    recall: torch.nn.Linear | None = None
    recall_weight: float = 0.0
    role: torch.nn.Linear | None = None
    role_weight: float = 0.0
    pointing: Pointing | None = None
    pointer_weight: float = 0.0

    @classmethod
    def of(cls, settings: ImitationSettings, model: Qwen2ForCausalLM) -> Probes:
        """Make those that the settings ask for."""
        hidden, vocabulary = model.config.hidden_size, model.config.vocab_size
        return cls(
            torch.nn.Linear(hidden, 1) if settings.mark_weight else None,
            settings.mark_weight,
            torch.nn.Linear(hidden, vocabulary) if settings.recall_weight else None,
            settings.recall_weight,
            torch.nn.Linear(hidden, ROLE_COUNT) if settings.role_weight else None,
            settings.role_weight,
            Pointing(model) if settings.pointer_weight else None,
            settings.pointer_weight,
        )

    def parameters(self) -> list[torch.nn.Parameter]:
        """List what is trained along."""
        return [p for probe in (self.mark, self.recall, self.role) if probe is not None for p in probe.parameters()]


def batch_loss(model: Qwen2ForCausalLM, batch: Batch, probes: Probes | None = None) -> torch.Tensor:
    """Weighted mean cross-entropy in nats; the unembedding runs at weighted positions alone."""
    pointing = probes.pointing if probes is not None else None
    with blockwise_attention(model), pointing or nullcontext():
        hidden_BTH = model.model(input_ids=batch.ids_BT, use_cache=False).last_hidden_state
    loss = _cross_entropy(model, hidden_BTH, batch)
    if probes is None:
        return loss
    marked_BT = batch.marks_BT >= 0
    if probes.mark is not None and bool(marked_BT.any()):
        logits_M = probes.mark(hidden_BTH.float()).squeeze(-1)[marked_BT]
        wanted_M = batch.marks_BT[marked_BT].float()
        loss = loss + probes.mark_weight * functional.binary_cross_entropy_with_logits(logits_M, wanted_M)
    if probes.recall is not None and len(batch.ends_E):
        log_EV = torch.log_softmax(probes.recall(hidden_BTH.flatten(0, 1)[batch.ends_E].float()).float(), dim=-1)
        is_asked_EP = batch.pieces_EP >= 0
        found_EP = log_EV.gather(1, batch.pieces_EP.clamp(min=0))
        loss = loss - probes.recall_weight * found_EP[is_asked_EP].mean()
    has_role_BT = batch.roles_BT >= 0
    if probes.role is not None and bool(has_role_BT.any()):
        logits_NC = probes.role(hidden_BTH[has_role_BT].float()).float()
        loss = loss + probes.role_weight * functional.cross_entropy(logits_NC, batch.roles_BT[has_role_BT])
    if pointing is not None and len(batch.pointers_P4):
        loss = loss + probes.pointer_weight * pointing.loss(batch.pointers_P4)
    return loss


def _cross_entropy(model: Qwen2ForCausalLM, hidden_BTH: torch.Tensor, batch: Batch) -> torch.Tensor:
    chosen_N = _chosen(batch.weights_BT)
    logits_NV = model.lm_head(hidden_BTH.flatten(0, 1)[chosen_N]).float()
    loss_N = functional.cross_entropy(logits_NV, batch.ids_BT.flatten()[chosen_N + 1], reduction="none")
    weights_N = batch.weights_BT.flatten()[chosen_N + 1]
    return (loss_N * weights_N).sum() / weights_N.sum()


def _chosen(weights_BT: torch.Tensor) -> torch.Tensor:
    """Return the flat positions before weighted ones, filled up to a multiple of 128 with unweighted ones."""
    flat = weights_BT.flatten()[1:]
    chosen = flat.nonzero().squeeze(1)
    missing = min(-len(chosen) % 128, len(flat) - len(chosen))
    return torch.cat([chosen, (flat == 0).nonzero().squeeze(1)[:missing]])


def imitate(
    model: Qwen2ForCausalLM,
    batches: Iterator[Batch],
    settings: ImitationSettings,
    *,
    report: Callable[[int, float, float], None],
    stop: int | None = None,
) -> None:
    """Train for `settings.steps` steps in bf16 autocast with fp32 master weights.

    Args:
        model: trained in place.
        batches: an endless stream.
        settings: see there.
        report: called after each step with (step, loss in nats, tokens a second so far).
        stop: end after so many steps, on the schedule of all of them.
    """
    probes = Probes.of(settings, model)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=settings.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    if probes.parameters():
        optimizer.add_param_group({"params": probes.parameters(), "weight_decay": 0.0})
    model.train()
    began, tokens = time.perf_counter(), 0
    for step in range(settings.steps if stop is None else stop):
        batch = next(batches)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, settings)
        with torch.autocast("cpu", torch.bfloat16):
            loss = batch_loss(model, batch, probes)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        tokens += batch.tokens
        report(step, float(loss.detach()), tokens / (time.perf_counter() - began))
