"""A policy's folder on disk: what transformers writes, the head's weights, and `policy.json`; all or nothing."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sage_gym.errors import CheckpointError

if TYPE_CHECKING:
    from policies.causal_lm.policy import ForecastHead

__all__ = ["HEAD_FILE", "PolicyRecord", "read_record", "restore_checkpoint", "save_checkpoint"]

HEAD_FILE = "head.safetensors"
WEIGHTS_FILES = "model*.safetensors"
ADAPTER_FILE = "adapter_model.safetensors"
RECORD_FILE = "policy.json"


class PolicyRecord(BaseModel):
    """How a saved policy was used: what `load_causal_lm` falls back to where it is not told otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = 1
    name: str
    prompt: str
    temperature: float = Field(ge=0)
    restricted: bool
    has_head: bool


def save_checkpoint(
    folder: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    head: ForecastHead | None,
    record: PolicyRecord,
) -> None:
    """Write beside `folder`, then rename; a folder that is there already is replaced once the new one is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for kind in ("partial", "old"):
        for leftover in folder.parent.glob(f".{folder.name}.{kind}-*"):
            shutil.rmtree(leftover, ignore_errors=True)
    mark = uuid.uuid4().hex[:8]
    partial, old = (folder.with_name(f".{folder.name}.{kind}-{mark}") for kind in ("partial", "old"))
    try:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        if head is not None:
            head.save(partial / HEAD_FILE)
        text = json.dumps(record.model_dump(), indent=2, sort_keys=True)
        (partial / RECORD_FILE).write_text(text + "\n", encoding="utf-8")
        _sync(partial)
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def restore_checkpoint(folder: Path, model: PreTrainedModel, head: ForecastHead | None) -> None:
    """Load what `save_checkpoint` wrote into a model (or its adapters) and head that are there already.

    Raises:
        CheckpointError: weights are missing, damaged, or of another architecture (both shapes are given).
    """
    is_adapter = (folder / ADAPTER_FILE).is_file()
    pattern = ADAPTER_FILE if is_adapter else WEIGHTS_FILES
    state = _read_weights(folder, pattern)
    expected = _adapter_state(model) if is_adapter else dict(model.state_dict())
    wrong = [
        f"{name}: expected {tuple(expected[name].shape) if name in expected else 'nothing'}, "
        f"got {tuple(state[name].shape) if name in state else 'nothing'}"
        for name in sorted((expected.keys() - _shared(expected, state)) | state.keys())
        if name not in expected or name not in state or expected[name].shape != state[name].shape
    ]
    if wrong:
        raise CheckpointError(f"{folder / pattern}: weights of another architecture: {'; '.join(wrong[:5])}")
    head_state = _read_weights(folder, HEAD_FILE) if head is not None else {}
    if head is not None:
        cast(torch.nn.Module, head).load_state_dict(head_state)
    if is_adapter:
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(model, state)
    else:
        model.load_state_dict(state, strict=False)


def _read_weights(folder: Path, pattern: str) -> dict[str, torch.Tensor]:
    paths = sorted(folder.glob(pattern))
    try:
        state = {name: tensor for path in paths for name, tensor in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: expected weights in {pattern}, got {error}; remove the folder") from error
    if not state:
        raise CheckpointError(f"{folder}: expected weights in {pattern}, got no such file; remove the folder")
    return state


def _adapter_state(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    from peft import get_peft_model_state_dict

    return dict(get_peft_model_state_dict(model))


def _shared(expected: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]) -> set[str]:
    """Name what shares the storage of something that `state` holds: transformers saves tied weights once."""
    held = {expected[name].data_ptr() for name in expected.keys() & state.keys()}
    return {name for name, tensor in expected.items() if name not in state and tensor.data_ptr() in held}


def read_record(folder: Path) -> PolicyRecord | None:
    """Read `policy.json`; None where the folder is not one of ours.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = folder / RECORD_FILE
    if not path.is_file():
        return None
    try:
        return PolicyRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise CheckpointError(f"{path}: expected a policy's record, got {error}; save the policy again") from error


def _sync(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
