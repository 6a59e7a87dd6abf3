"""A student's folder as plain transformers loads it: whole weights, the heads beside them, the tokenizer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoTokenizer

from sage_gym.errors import CheckpointError
from sage_gym.evaluation.manifest import hash_file
from sage_gym.exporting.finished import FinishedRun
from sage_gym.exporting.twins import rewrite_as_llama

__all__ = ["put_student"]

ADAPTER_FILE = "adapter_config.json"
PROBE = "Find me a red shoe, size 9 (men's), price lower than 40.50 dollars — naïve test: a_b\n x=3."
WHOLE = ("config.json", "tokenizer_config.json")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")


def put_student(run: FinishedRun, folder: Path) -> bool:
    """Write the run's student into a new folder, and make sure that transformers reads it as it was.

    Low-rank adapters are merged into their model, which has to be at hand. A Qwen2 whose tokenizer transformers would
    not read from its files becomes a Llama (`sage_gym.exporting.twins`).

    Returns:
        whether it became one.

    Raises:
        CheckpointError: files are missing, damaged, or not those that the run wrote.
    """
    _check_files(run)
    if (run.student / ADAPTER_FILE).is_file():
        _merge_adapter(run.student, folder)
    else:
        shutil.copytree(run.student, folder, copy_function=shutil.copyfile)
    _check_folder(folder, run.student)
    if _is_cut_alike(folder):
        return False
    rewrite_as_llama(folder)
    if not _is_cut_alike(folder):
        raise CheckpointError(
            f"{run.student}: expected AutoTokenizer to cut text as the student's own tokenizer.json does, got other "
            "ids; another version of transformers may do"
        )
    return True


def _check_files(run: FinishedRun) -> None:
    expected = {run.folder / name: digest for name, digest in run.manifest.files.items()}
    own = {path: digest for path, digest in expected.items() if path.parent == run.student}
    is_adapter = (run.student / ADAPTER_FILE).is_file()
    missing = [path for path in (*own, *(run.student / name for name in WHOLE if not is_adapter)) if not path.is_file()]
    if missing:
        raise CheckpointError(f"{missing[0]}: expected a file of the student, got none; the checkpoint is damaged")
    if not any((run.student / name).is_file() for name in TOKENIZERS):
        raise CheckpointError(f"{run.student}: expected a tokenizer's file, got none of {', '.join(TOKENIZERS)}")
    for path, digest in own.items():
        found = hash_file(path)
        if found != digest:
            raise CheckpointError(
                f"{path}: expected the weights that the run wrote (sha256 {digest[:12]}…), got others "
                f"({found[:12]}…): the file is damaged, or was changed since; export another round, or train again"
            )


def _check_folder(folder: Path, source: Path) -> None:
    """Read configuration, weights' lists and tokenizer of what was written."""
    try:
        AutoConfig.from_pretrained(folder)
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, framework="np") as tensors:
                tensors.keys()
        AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"{source}: expected a student that transformers can load, got {error}") from error


def _is_cut_alike(folder: Path) -> bool:
    """Whether `AutoTokenizer` gives the ids that the tokenizer's own file gives; true where there is no such file."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return True
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    expected = Tokenizer.from_file(str(path)).encode(PROBE, add_special_tokens=False).ids
    return bool(tokenizer.encode(PROBE, add_special_tokens=False) == expected)


def _merge_adapter(source: Path, folder: Path) -> None:
    from peft import AutoPeftModelForCausalLM

    try:
        merged: Any = AutoPeftModelForCausalLM.from_pretrained(source).merge_and_unload()
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{source}: expected the model that the adapter belongs to, got {error}") from error
    merged.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    for name in ("head.safetensors", "policy.json"):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
