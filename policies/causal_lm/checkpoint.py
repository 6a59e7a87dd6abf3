"""A policy's folder on disk: what transformers writes, the head's weights, and `policy.json`; all or nothing."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sage_gym.errors import CheckpointError

if TYPE_CHECKING:
    from policies.causal_lm.policy import ForecastHead

__all__ = ["HEAD_FILE", "PolicyRecord", "read_record", "restore_checkpoint", "save_checkpoint"]

HEAD_FILE = "head.safetensors"
WEIGHTS_FILE = "model.safetensors"
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
    """Load what `save_checkpoint` wrote into a model and head that are there already.

    Raises:
        CheckpointError: weights are missing, damaged, or of another architecture (both shapes are given).
    """
    path = folder / WEIGHTS_FILE
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: expected the student's weights, got {error}; remove the folder") from error
    expected = dict(model.state_dict())
    tied = {name for name in expected if name not in state and name.endswith("lm_head.weight")}
    wrong = [
        f"{name}: expected {tuple(expected[name].shape) if name in expected else 'nothing'}, "
        f"got {tuple(state[name].shape) if name in state else 'nothing'}"
        for name in sorted((expected.keys() - tied) | state.keys())
        if name not in expected or name not in state or expected[name].shape != state[name].shape
    ]
    if wrong:
        raise CheckpointError(f"{path}: weights of another architecture: {'; '.join(wrong[:5])}")
    model.load_state_dict(state, strict=False)
    if head is not None:
        head.load_state_dict(load_file(folder / HEAD_FILE))


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
