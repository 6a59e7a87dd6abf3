"""What a round leaves for the next one: the student and its optimizer, written all or nothing."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sage_gym.errors import CheckpointError
from sage_gym.protocols import Student

__all__ = ["load_optimizer", "read_training", "remove_checkpoint", "save_checkpoint"]

OPTIMIZER_FILE = "optimizer.pt"
TRAINING_FILE = "training.json"


def save_checkpoint(
    folder: Path,
    student: Student,
    optimizer: torch.optim.Optimizer | None,
    *,
    training: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint to `folder`; a killed process leaves no folder of that name, or a whole one.

    Args:
        folder: where to.
        student: with the weights of the moment.
        optimizer: whose state goes with them.
        training: what is to be known of how it was trained, for `read_training`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for leftover in folder.parent.glob(f".{folder.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    student.save(draft / "student")
    if optimizer is not None:
        torch.save(optimizer.state_dict(), draft / OPTIMIZER_FILE)
    if training is not None:
        (draft / TRAINING_FILE).write_text(json.dumps(training, indent=1) + "\n", encoding="utf-8")
    for path in draft.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    if folder.exists():
        folder.rename(folder.with_name(f".{folder.name}-replaced"))  # removing takes time, in which a kill leaves half
    draft.rename(folder)
    shutil.rmtree(folder.with_name(f".{folder.name}-replaced"), ignore_errors=True)


def read_training(folder: Path) -> dict[str, Any] | None:
    """Return what a checkpoint says of its training; None where there is none, or none that can be gone on from."""
    path = folder / TRAINING_FILE
    if not path.is_file() or not (folder / "student").is_dir():
        return None
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def load_optimizer(folder: Path, optimizer: torch.optim.Optimizer) -> None:
    """Restore an optimizer's state from a checkpoint.

    Raises:
        CheckpointError: the file is missing or of another model.
    """
    path = folder / OPTIMIZER_FILE
    try:
        optimizer.load_state_dict(torch.load(path, weights_only=True))
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: expected the optimizer's state of this student, got {error}") from error


def remove_checkpoint(folder: Path) -> None:
    """Remove a checkpoint that nothing will be loaded from any more."""
    shutil.rmtree(folder, ignore_errors=True)
