"""The meta-cognition head: failure forecasts at two places of a turn, and an adapter for inverse reasoning.

Shapes: B decisions, R sequences, N labelled positions, H hidden, V vocabulary, K inverse rank. The hidden state is
always the backbone's last, after its final norm (what the unembedding reads). The head belongs to no architecture: it
needs the hidden size alone, which the input embeddings must share. Its own arithmetic is float32, whatever the
backbone's.
Sources: SAGE-32B, arXiv 2601.04237 (the head); scaling, arXiv 1706.04599.
Left out: the losses (`sage_gym.distill.losses`) and the sequences of the inverse pass (`sage_gym.distill.inverse`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from policies.metacognition.scaling import ScalingFit, fit_scaling
from sage_gym.errors import CheckpointError

__all__ = ["MetacognitionHead", "Place", "hidden_size_of"]

Place = Literal["before", "after"]
"""`before`: the last token of the prompt, nothing sampled yet (V). `after`: the last token of the decision (Q)."""
PLACES: tuple[Place, ...] = get_args(Place)


def hidden_size_of(model: nn.Module) -> int:
    """Return the width of a causal model's last hidden state.

    Raises:
        ValueError: its configuration states none.
    """
    config: Any = getattr(model, "config", None)
    text_config = config.get_text_config() if hasattr(config, "get_text_config") else config
    size = getattr(text_config, "hidden_size", None)
    if not isinstance(size, int):
        raise ValueError(f"expected a model whose config states hidden_size, got {type(model).__name__} with {size!r}")
    return size


class _InverseAdapter(nn.Module):
    """h + U gelu(D h), U starting at zero, so that an untrained adapter changes nothing."""

    def __init__(self, hidden_size: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(hidden_size, rank, bias=False)
        self.up = nn.Linear(rank, hidden_size, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, hidden_NH: Tensor) -> Tensor:
        return hidden_NH + cast(Tensor, self.up(nn.functional.gelu(self.down(hidden_NH))))


class MetacognitionHead(nn.Module):
    """Forecasts p_fail = sigmoid(w h + u g + b), with w, u and b for each place, and reads x back off a trace.

    h is the hidden state at the place, and g tells the words that the sequence opened with (`read_openings`): the
    last hidden state is made to predict the next token, and holds little of what a task asks for.

    Args:
        hidden_size: H of the backbone.
        inverse_rank: K, the width of the inverse adapter's bottleneck.
    """

    def __init__(self, hidden_size: int, inverse_rank: int = 32) -> None:
        super().__init__()
        self.hidden_size, self.inverse_rank = hidden_size, inverse_rank
        self.forecasts = nn.ModuleDict({place: nn.Linear(hidden_size, 1) for place in PLACES})
        self.openings = nn.ModuleDict({place: nn.Linear(hidden_size, 1, bias=False) for place in PLACES})
        self.inverse_adapter = _InverseAdapter(hidden_size, inverse_rank)
        self.temperatures: Tensor
        self.register_buffer("temperatures", torch.ones(len(PLACES)))
        self.shifts: Tensor
        self.register_buffer("shifts", torch.zeros(len(PLACES)))
        self.floors: Tensor
        self.register_buffer("floors", torch.zeros(len(PLACES)))
        self.ceilings: Tensor
        self.register_buffer("ceilings", torch.ones(len(PLACES)))
        for linear in [*self.forecasts.values(), *self.openings.values()]:
            nn.init.zeros_(cast(nn.Linear, linear).weight)
        for linear in self.forecasts.values():
            nn.init.zeros_(cast(nn.Linear, linear).bias)

    def read_openings(self, embeddings: nn.Module, openings: Sequence[Sequence[int]]) -> Tensor:
        """Return g (R, H) of sequences: the sum of the input embeddings of the ids before the first sampled one.

        It is divided by the root of the mean over H of their summed squares, so that a long opening and a large table
        of embeddings give numbers of the same size. No gradient flows into the embeddings.

        Raises:
            ValueError: embeddings of another width, or an opening without ids.
        """
        weight_VH = cast(Tensor, embeddings.weight).detach()
        if weight_VH.shape[1] != self.hidden_size:
            raise ValueError(f"expected input embeddings of width {self.hidden_size}, got {tuple(weight_VH.shape)}")
        if not all(len(ids) for ids in openings):
            raise ValueError("expected an opening of 1 id or more before the first sampled one, got 0")
        known: dict[tuple[int, ...], Tensor] = {}
        for ids in map(tuple, openings):
            if ids not in known:
                rows_TH = weight_VH[torch.tensor(ids, device=weight_VH.device)].float()
                known[ids] = rows_TH.sum(0) / rows_TH.square().sum().div(self.hidden_size).sqrt().clamp_min(1e-12)
        return torch.stack([known[tuple(ids)] for ids in openings])

    def forecast(self, hidden_BH: Tensor, opening_BH: Tensor, place: Place) -> Tensor:
        """Return raw logits (B) of p_fail, for the loss and for fitting the scaling.

        Raises:
            ValueError: an unknown place, or hidden states or openings of another width.
        """
        self._check(hidden_BH)
        self._check(opening_BH)
        _index(place)
        linear, opening = cast(nn.Linear, self.forecasts[place]), cast(nn.Linear, self.openings[place])
        dtype = linear.weight.dtype
        return cast(Tensor, linear(hidden_BH.to(dtype)) + opening(opening_BH.to(dtype))).squeeze(-1)

    def p_fail(self, hidden_BH: Tensor, opening_BH: Tensor, place: Place) -> Tensor:
        """Return calibrated probabilities (B) that the episode will fail.

        Raises:
            ValueError: as `forecast`.
        """
        at = _index(place)
        p_B = torch.sigmoid(self.forecast(hidden_BH, opening_BH, place) / self.temperatures[at] + self.shifts[at])
        return self.floors[at] + (self.ceilings[at] - self.floors[at]) * p_B

    def calibrate(self, place: Place, logits_B: Tensor, failed_B: Tensor) -> ScalingFit:
        """Fit a place's scaling on the select split's raw logits, and keep it.

        The fit says why where there was nothing to be had.
        """
        fit = fit_scaling(logits_B, failed_B)
        with torch.no_grad():
            self.temperatures[_index(place)] = fit.temperature
            self.shifts[_index(place)] = fit.shift
            self.floors[_index(place)] = fit.floor
            self.ceilings[_index(place)] = fit.ceiling
        return fit

    def uncalibrate(self) -> None:
        """Take the scaling away, so that what is recorded next are raw logits to calibrate on."""
        self.temperatures.fill_(1.0)
        self.shifts.zero_()
        self.floors.zero_()
        self.ceilings.fill_(1.0)

    def adapt(self, hidden_NH: Tensor) -> Tensor:
        """Return hidden states for the unembedding in the inverse pass, in the type that came.

        Raises:
            ValueError: hidden states of another width.
        """
        self._check(hidden_NH)
        adapted_NH = self.inverse_adapter(hidden_NH.to(self.inverse_adapter.down.weight.dtype))
        return cast(Tensor, adapted_NH).to(hidden_NH.dtype)

    def inverse_logits(self, hidden_NH: Tensor, unembedding: Callable[[Tensor], Tensor]) -> Tensor:
        """Return logits (N, V) of the instruction's next token, through the backbone's own unembedding."""
        return unembedding(self.adapt(hidden_NH))

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load weights after checking every name and shape, so that nothing is half loaded.

        Raises:
            CheckpointError: names or shapes of another head; both are given.
        """
        expected = {name: tuple(tensor.shape) for name, tensor in self.state_dict().items()}
        got = {name: tuple(tensor.shape) for name, tensor in state_dict.items()}
        wrong = [
            f"{name}: expected {expected.get(name, 'nothing')}, got {got.get(name, 'nothing')}"
            for name in sorted(expected.keys() | got.keys())
            if expected.get(name) != got.get(name) and (strict or (name in expected and name in got))
        ]
        if wrong:
            raise CheckpointError(
                f"a meta-cognition head of another architecture (ours: hidden size {self.hidden_size}, inverse rank "
                f"{self.inverse_rank}): {'; '.join(wrong)}; load it on the backbone that it was trained with"
            )
        return super().load_state_dict(state_dict, strict=strict, assign=assign)

    def save(self, path: Path) -> None:
        """Write the weights and the scaling to `path` (safetensors), all or nothing."""
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        partial = path.with_name(f"{path.name}.partial")
        save_file(state, partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)

    @classmethod
    def load(cls, path: Path, hidden_size: int) -> MetacognitionHead:
        """Read a head for a backbone of this width; the adapter's rank is the file's.

        Raises:
            CheckpointError: the file is missing, damaged, or of another architecture (both shapes are given).
        """
        try:
            state = load_file(path)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"{path}: expected a meta-cognition head in safetensors format, got {error}; save it again"
            ) from error
        down = state.get("inverse_adapter.down.weight")
        head = cls(hidden_size, inverse_rank=down.shape[0] if down is not None else 1)
        try:
            head.load_state_dict(state)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error
        if not bool(torch.all(torch.isfinite(head.temperatures) & (head.temperatures > 0))):
            raise CheckpointError(f"{path}: expected temperatures above 0, got {head.temperatures.tolist()}; fit again")
        if not bool(torch.isfinite(head.shifts).all()):
            raise CheckpointError(f"{path}: expected finite shifts, got {head.shifts.tolist()}; fit again")
        if not bool(torch.all((head.floors >= 0) & (head.floors < head.ceilings) & (head.ceilings <= 1))):
            ends = f"{head.floors.tolist()} and {head.ceilings.tolist()}"
            raise CheckpointError(f"{path}: expected floors from 0 below ceilings up to 1, got {ends}; fit again")
        return head

    def _check(self, hidden: Tensor) -> None:
        if hidden.shape[-1] != self.hidden_size:
            raise ValueError(
                f"expected hidden states of width {self.hidden_size}, got shape {tuple(hidden.shape)}; "
                f"make the head with hidden_size_of(model)"
            )


def _index(place: Place) -> int:
    if place not in PLACES:
        raise ValueError(f"expected a place among {PLACES}, got {place!r}")
    return PLACES.index(place)
