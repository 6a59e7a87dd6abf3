"""Both folders of an export, written beside their place and moved there whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from transformers import AutoTokenizer

from sage_gym.config.saved import CONFIG_FILE
from sage_gym.errors import ConfigError
from sage_gym.evaluation.card import CARD_FILE
from sage_gym.evaluation.manifest import write_manifest
from sage_gym.exporting.cards import dataset_card, model_card
from sage_gym.exporting.dataset import DatasetCounts, put_dataset
from sage_gym.exporting.finished import FinishedRun
from sage_gym.exporting.student import put_student

__all__ = ["Exported", "export_run"]

MODEL, DATASET = "model", "dataset"


@dataclass(frozen=True, slots=True)
class Exported:
    """Where the two folders lie, and what went into the data set."""

    model: Path
    dataset: Path | None
    counts: DatasetCounts


def export_run(
    run: FinishedRun, out: Path, episodes: Literal["successes", "all", "none"], tell: Callable[[str], None]
) -> Exported:
    """Write a run's student, and its episodes unless there are to be none.

    Args:
        run: which.
        out: a folder that is not there yet.
        episodes: which of those that the run collected.
        tell: told of each step.

    Raises:
        ConfigError: there is something at `out` already.
        CheckpointError: the student is damaged.
        CatalogError: a benchmark's file that cannot be read.
    """
    if out.exists():
        raise ConfigError([f"out: expected a folder that is not there yet, got {out}; remove it, or give another"])
    draft = out.with_name(f".{out.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        tell(f"student of round {run.number}: {run.student}")
        tokenizer = _put_model(run, draft / MODEL)
        counts = DatasetCounts()
        if episodes != "none":
            tell(f"episodes of {len(run.trained)} rounds")
            counts = _put_episodes(run, draft / DATASET, tokenizer, only_successes=episodes == "successes")
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Exported(out / MODEL, out / DATASET if episodes != "none" else None, counts)


def _put_model(run: FinishedRun, folder: Path) -> Any:
    """Write the model's folder and return its tokenizer."""
    is_rewritten = put_student(run, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    shutil.copyfile(run.folder / CONFIG_FILE, folder / "run_config.yaml")
    write_manifest(folder / CARD_FILE, run.card)
    _write(folder / "README.md", model_card(run, tokenizer, is_rewritten=is_rewritten))
    return tokenizer


def _put_episodes(run: FinishedRun, folder: Path, tokenizer: Any, *, only_successes: bool) -> DatasetCounts:
    counts = put_dataset(run, folder, tokenizer, only_successes=only_successes)
    _write(folder / "README.md", dataset_card(run, counts, only_successes=only_successes))
    return counts


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
