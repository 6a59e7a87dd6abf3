"""Adapters of sage-nano: what one family of environments adds to the frozen weights, in at most a megabyte.

A matrix W becomes W + s·B·A (LoRA, arXiv 2106.09685), and each embedding gets a row that is added: the base has hardly
seen most of another family's tokens, and with the low-rank part alone 250 steps of imitation ended at a loss of 2.2
instead of 0.8 nats a token. Trained as a parametrisation of the weights, saved in 8 bits with a scale for each row, and
merged into the weights when loaded, so that a student with an adapter is an ordinary model, trained on as any other.
peft keeps the low-rank product apart instead, which for a model this narrow took more than twice the time of a step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import parametrize
from transformers import Qwen2ForCausalLM

from sage_gym.errors import CheckpointError

__all__ = ["SCALE", "attach", "load_adapter", "merge", "save_adapter", "trained"]

SCALE = 2.0
ROWS = "rows"
LEVELS = 127


class LowRank(nn.Module):
    """Adds s·B·A to a matrix; B is zero at first."""

    def __init__(self, rank: int, rows: int, columns: int, generator: torch.Generator) -> None:
        super().__init__()
        bound = columns**-0.5
        self.down_RI = nn.Parameter((torch.rand(rank, columns, generator=generator) * 2 - 1) * bound)
        self.up_OR = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, weight_OI: torch.Tensor) -> torch.Tensor:
        """Return the matrix with what is added."""
        return weight_OI + SCALE * (self.up_OR @ self.down_RI)


class AddedRows(nn.Module):
    """Adds a row to each embedding; zero at first."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.rows_VH = nn.Parameter(torch.zeros(vocabulary, width))

    def forward(self, weight_VH: torch.Tensor) -> torch.Tensor:
        """Return the embeddings with what is added."""
        return weight_VH + self.rows_VH


def attach(model: Qwen2ForCausalLM, *, rank: int, seed: int) -> None:
    """Freeze the weights and put an adapter on every matrix of the blocks and on the embeddings."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for _, linear in _matrices(model):
        rows, columns = linear.weight.shape
        parametrize.register_parametrization(linear, "weight", LowRank(rank, rows, columns, generator))
    added = AddedRows(*model.model.embed_tokens.weight.shape)
    for module in (model.model.embed_tokens, model.lm_head):  # tied: one weight, one addition
        parametrize.register_parametrization(module, "weight", added)


def trained(model: Qwen2ForCausalLM) -> list[nn.Parameter]:
    """List an attached adapter's parameters."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def save_adapter(model: Qwen2ForCausalLM, path: Path) -> None:
    """Write an attached adapter, in 8 bits with a scale for each row."""
    state: dict[str, torch.Tensor] = {}
    for name, linear in _matrices(model):
        part = _part_of(linear)
        state[f"{name}.down"], state[f"{name}.up"] = part.down_RI, part.up_OR
    state[ROWS] = _part_of(model.model.embed_tokens).rows_VH
    packed: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        scale_R = (tensor.detach().abs().amax(1) / LEVELS).clamp(min=1e-7).to(torch.float16)
        packed[name] = (tensor.detach() / scale_R.float()[:, None]).round().clamp(-LEVELS, LEVELS).to(torch.int8)
        packed[f"{name}/scale"] = scale_R
    save_file(packed, path)


def load_adapter(model: Qwen2ForCausalLM, path: Path) -> None:
    """Read a saved adapter into an attached one.

    Raises:
        CheckpointError: as `merge`.
    """
    held = _read(model, path)
    with torch.no_grad():
        for name, linear in _matrices(model):
            part = _part_of(linear)
            part.down_RI.copy_(held[f"{name}.down"])
            part.up_OR.copy_(held[f"{name}.up"])
        _part_of(model.model.embed_tokens).rows_VH.copy_(held[ROWS])


def merge(model: Qwen2ForCausalLM, path: Path) -> None:
    """Add a saved adapter to a model's weights.

    Raises:
        CheckpointError: there is none, it is damaged, or it is another model's.
    """
    held = _read(model, path)
    added = {ROWS: model.model.embed_tokens.weight} | {name: linear.weight for name, linear in _matrices(model)}
    for name, weight in added.items():
        delta = held[ROWS] if name == ROWS else SCALE * (held[f"{name}.up"] @ held[f"{name}.down"])
        if delta.shape != weight.shape:
            raise CheckpointError(f"{path}: expected {tuple(weight.shape)} for {name}, got {tuple(delta.shape)}")
        with torch.no_grad():
            weight += delta.to(weight)


def _read(model: Qwen2ForCausalLM, path: Path) -> dict[str, torch.Tensor]:
    """Return an adapter's parts by name."""
    try:
        packed = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"expected an adapter at {path}, got {error}") from error
    parts = [ROWS, *(f"{name}.{side}" for name, _ in _matrices(model) for side in ("down", "up"))]
    missing = [name for name in parts if not {name, f"{name}/scale"} <= packed.keys()]
    if missing:
        raise CheckpointError(f"{path}: expected an adapter of this model, got one without {', '.join(missing[:3])}")
    return {name: packed[name].float() * packed[f"{name}/scale"].float()[:, None] for name in parts}


def _matrices(model: Qwen2ForCausalLM) -> list[tuple[str, nn.Linear]]:
    """List the blocks' matrices by name."""
    return [(name, module) for name, module in model.model.layers.named_modules() if isinstance(module, nn.Linear)]


def _part_of(module: nn.Module) -> Any:
    parametrizations: Any = module.parametrizations
    return parametrizations["weight"][0]
