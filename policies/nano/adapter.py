"""Adapters of sage-nano: what one family of environments adds to the frozen weights, in at most a megabyte.

A matrix W becomes W + s·B·A (LoRA, arXiv 2106.09685), and the embeddings of the prompt style's own tokens get a row
each, since the base has hardly seen most of them. Trained as a parametrisation of the weights and merged into them when
loaded, so that a student with an adapter is an ordinary model, trained on as any other. peft keeps the low-rank product
apart instead: for a model this narrow that took more than twice the time of a step.
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

__all__ = ["SCALE", "attach", "merge", "save_adapter", "trained"]

SCALE = 2.0
ROWS, PLACES = "rows", "places"


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
    """Adds to some rows of an embedding; zero at first."""

    places_N: torch.Tensor

    def __init__(self, places_N: torch.Tensor, width: int) -> None:
        super().__init__()
        self.register_buffer("places_N", places_N)
        self.rows_NH = nn.Parameter(torch.zeros(len(places_N), width))

    def forward(self, weight_VH: torch.Tensor) -> torch.Tensor:
        """Return the embeddings with what is added."""
        return weight_VH.index_add(0, self.places_N, self.rows_NH)


def attach(model: Qwen2ForCausalLM, *, rank: int, tokens: list[int], seed: int) -> None:
    """Freeze the weights and put an adapter on every matrix of the blocks and on the embeddings of `tokens`."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for _, linear in _matrices(model):
        rows, columns = linear.weight.shape
        parametrize.register_parametrization(linear, "weight", LowRank(rank, rows, columns, generator))
    added = AddedRows(torch.tensor(sorted(tokens)), model.config.hidden_size)
    for module in (model.model.embed_tokens, model.lm_head):  # tied: one weight, one addition
        parametrize.register_parametrization(module, "weight", added)


def trained(model: Qwen2ForCausalLM) -> list[nn.Parameter]:
    """List an attached adapter's parameters."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def save_adapter(model: Qwen2ForCausalLM, path: Path) -> None:
    """Write an attached adapter in bfloat16."""
    state: dict[str, torch.Tensor] = {}
    for name, linear in _matrices(model):
        part = _part_of(linear)
        state[f"{name}.down"], state[f"{name}.up"] = part.down_RI, part.up_OR
    added = _part_of(model.model.embed_tokens)
    state[ROWS] = added.rows_NH
    held = {name: tensor.detach().to(torch.bfloat16).contiguous() for name, tensor in state.items()}
    save_file({**held, PLACES: added.places_N.to(torch.int32)}, path)


def merge(model: Qwen2ForCausalLM, path: Path) -> None:
    """Add a saved adapter to a model's weights.

    Raises:
        CheckpointError: there is none, it is damaged, or it is another model's.
    """
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"expected an adapter at {path}, got {error}") from error
    matrices = dict(_matrices(model))
    names = {name.rpartition(".")[0] for name in state} - {""}
    if names != matrices.keys() or not {ROWS, PLACES} <= state.keys():
        strange = sorted(names ^ matrices.keys())[:3]
        raise CheckpointError(f"{path}: expected an adapter of this model, got one that differs in {strange}")
    with torch.no_grad():
        for name, linear in matrices.items():
            up_OR, down_RI = state[f"{name}.up"].float(), state[f"{name}.down"].float()
            if (len(up_OR), down_RI.shape[1]) != tuple(linear.weight.shape):
                raise CheckpointError(
                    f"{path}: expected {tuple(linear.weight.shape)} for {name}, got {(len(up_OR), down_RI.shape[1])}"
                )
            linear.weight += (SCALE * (up_OR @ down_RI)).to(linear.weight)
        model.model.embed_tokens.weight.index_add_(0, state[PLACES].long(), state[ROWS].to(torch.float32))


def _matrices(model: Qwen2ForCausalLM) -> list[tuple[str, nn.Linear]]:
    """List the blocks' matrices by name."""
    return [(name, module) for name, module in model.model.layers.named_modules() if isinstance(module, nn.Linear)]


def _part_of(module: nn.Module) -> Any:
    parametrizations: Any = module.parametrizations
    return parametrizations["weight"][0]
