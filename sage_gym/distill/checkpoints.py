"""What a round leaves for the next one: the student and its optimizer, written all or nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import torch

from sage_gym.errors import CheckpointError
from sage_gym.protocols import Student

__all__ = ["load_optimizer", "remove_checkpoint", "save_checkpoint"]

OPTIMIZER_FILE = "optimizer.pt"


def save_checkpoint(folder: Path, student: Student, optimizer: torch.optim.Optimizer | None) -> None:
    """Write a checkpoint to `folder`; a killed process leaves no folder of that name, or a whole one."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for leftover in folder.parent.glob(f".{folder.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    student.save(draft / "student")
    if optimizer is not None:
        torch.save(optimizer.state_dict(), draft / OPTIMIZER_FILE)
    for path in draft.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)


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
