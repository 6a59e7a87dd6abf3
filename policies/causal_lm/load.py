"""Load a causal model from a hub name, a folder, a GGUF file or a PEFT adapter's folder, as a policy."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import BaseModel, ConfigDict, Field
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from policies.causal_lm.chat import ChatRenderer
from policies.causal_lm.checkpoint import HEAD_FILE, read_record
from policies.causal_lm.compact import CompactRenderer
from policies.causal_lm.policy import CausalLM
from policies.causal_lm.prompt import Renderer
from policies.causal_lm.vocabulary import Vocabulary
from policies.causal_lm.weights import unwrap
from sage_gym.errors import CheckpointError

__all__ = ["HeadLoader", "LoraSettings", "load_causal_lm"]

HeadLoader = Callable[[Path, int], torch.nn.Module]
"""Reads a head's file for a backbone of a hidden size, e.g. `MetacognitionHead.load`."""

ADAPTER_FILE = "adapter_config.json"
TOKENIZER_FILE = "tokenizer_config.json"
PLAIN_TOKENIZERS = ("TokenizersBackend", "PreTrainedTokenizerFast")
COMPACT_CONTEXT = 1536


class LoraSettings(BaseModel):
    """Low-rank adapters (arXiv 2106.09685) to train instead of the weights. Vetted for instruction-tuned models."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: str | tuple[str, ...] = "all-linear"


def load_causal_lm(
    name_or_folder: str | Path,
    *,
    dtype: str | torch.dtype | None = None,
    decode_dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    lora: LoraSettings | Mapping[str, Any] | None = None,
    prompt: str | None = None,
    restricted: bool | None = None,
    temperature: float | None = None,
    head: torch.nn.Module | HeadLoader | None = None,
    name: str | None = None,
    max_rows: int = 256,
    revision: str | None = None,
) -> CausalLM:
    """Load a model and its tokenizer as a policy.

    Args:
        name_or_folder: a hub name, a local folder (a PEFT adapter's too) or a GGUF file (needs the package `gguf`).
        dtype: of the weights; by default those of the checkpoint (float32 for GGUF).
        decode_dtype: decode with a copy in this type.
        device: where to.
        lora: train adapters of these settings.
        prompt: `plain`, `sage` or `compact`; by default what a saved policy used, else `plain`.
        restricted: whether only admissible actions may be sampled; by default what a saved policy did, else not.
        temperature: by default what a saved policy used, else 1.
        head: a meta-cognition head, or the function that reads one's file from the folder.
        name: for records; by default the saved one, or the last part of the place.
        max_rows: decisions decoded at a time.
        revision: of a hub model.

    Raises:
        CheckpointError: nothing is there, it is damaged, or of another architecture (with both shapes).
        UnknownNameError: no such prompt preset.
        ImportError: a GGUF file without the package `gguf`.
    """
    place = str(name_or_folder)
    folder = Path(place)
    record = read_record(folder) if folder.is_dir() else None
    model, tokenizer = _load(place, _torch_dtype(dtype), {"revision": revision} if revision else {})
    if lora is not None:
        model = _add_lora(model, lora if isinstance(lora, LoraSettings) else LoraSettings.model_validate(dict(lora)))
    is_restricted = restricted if restricted is not None else bool(record and record.restricted)
    renderer = _renderer(prompt or (record.prompt if record else "plain"), tokenizer, model, restricted=is_restricted)
    return CausalLM(
        model,
        tokenizer,
        renderer,
        head=_load_head(head, folder, model),
        temperature=temperature if temperature is not None else (record.temperature if record else 1.0),
        dtype=_torch_dtype(decode_dtype),
        device=device,
        name=name or (record.name if record else folder.name),
        max_rows=max_rows,
    )


def _load(
    place: str, dtype: torch.dtype | None, options: dict[str, Any]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    path = Path(place)
    if path.is_dir() and (path / ADAPTER_FILE).is_file():
        return _load_adapter(path, dtype)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise CheckpointError(f"expected a GGUF file at {path}, got none; check the path")
        place, options = str(path.parent), {**options, "gguf_file": path.name}
    elif path.is_dir() and not (path / "config.json").is_file():
        listed = ", ".join(sorted(entry.name for entry in path.iterdir())[:8]) or "nothing"
        raise CheckpointError(f"{path}: expected config.json of a saved model, got {listed}; save the policy again")
    elif not path.exists() and (path.is_absolute() or place.startswith((".", "~")) or place.count("/") > 1):
        raise CheckpointError(f"expected a hub name, a folder or a GGUF file, got {place!r}, which does not exist")
    return _load_model(place, dtype, options), _load_tokenizer(place, options)


def _load_model(place: str, dtype: torch.dtype | None, options: dict[str, Any]) -> PreTrainedModel:
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            place, dtype=dtype or "auto", ignore_mismatched_sizes=True, output_loading_info=True, **options
        )
    except ImportError:
        raise
    except Exception as error:  # transformers answers a bad checkpoint with almost any type
        raise CheckpointError(f"{place}: expected a causal language model, got {error}") from error
    model, info = cast(tuple[PreTrainedModel, dict[str, Any]], loaded)
    if "gguf_file" in options:  # so that an adapter's folder names the file, not the folder it lies in
        model.name_or_path = model.config._name_or_path = str(Path(place) / options["gguf_file"])
    wrong = [f"{key}: expected {tuple(ours)}, got {tuple(theirs)}" for key, theirs, ours in info["mismatched_keys"]]
    wrong += [f"{key}: expected {tuple(model.get_parameter(key).shape)}, got nothing" for key in info["missing_keys"]]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise CheckpointError(
            f"{place}: a checkpoint of another architecture than its {type(model.config).__name__} says: "
            f"{'; '.join(wrong[:5])}{more}; use the config.json that was saved with the weights"
        )
    return model


def _load_tokenizer(place: str, options: dict[str, Any]) -> PreTrainedTokenizerBase:
    settings = Path(place) / TOKENIZER_FILE
    if settings.is_file() and json.loads(settings.read_text("utf-8")).get("tokenizer_class") in PLAIN_TOKENIZERS:
        # AutoTokenizer would go by the model's type, and put that family's word splitting in place of the file's own
        return cast(PreTrainedTokenizerBase, PreTrainedTokenizerFast.from_pretrained(place))
    try:
        return cast(PreTrainedTokenizerBase, AutoTokenizer.from_pretrained(place, **options))
    except ImportError:
        raise
    except Exception as error:  # as above
        raise CheckpointError(f"{place}: expected a tokenizer beside the model, got {error}") from error


def _load_adapter(folder: Path, dtype: torch.dtype | None) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from peft import PeftModel

    settings = json.loads((folder / ADAPTER_FILE).read_text(encoding="utf-8"))
    base, tokenizer = _load(str(settings["base_model_name_or_path"]), dtype, {})
    if (folder / "tokenizer_config.json").is_file():
        tokenizer = _load_tokenizer(str(folder), {})
    try:
        return cast(PreTrainedModel, PeftModel.from_pretrained(base, str(folder), is_trainable=True)), tokenizer
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"{folder}: expected an adapter of {type(base).__name__}, got {error}") from error


def _add_lora(model: PreTrainedModel, settings: LoraSettings) -> PreTrainedModel:
    from peft import LoraConfig, TaskType, get_peft_model

    modules = settings.target_modules
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=modules if isinstance(modules, str) else list(modules),
    )
    return cast(PreTrainedModel, get_peft_model(model, config))


def _renderer(prompt: str, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, *, restricted: bool) -> Renderer:
    if prompt != "compact":
        return ChatRenderer(tokenizer, prompt, restricted=restricted)
    longest = getattr(unwrap(model).config, "max_position_embeddings", COMPACT_CONTEXT)
    return CompactRenderer(Vocabulary(tokenizer), restricted=restricted, max_context=min(COMPACT_CONTEXT, longest))


def _load_head(
    head: torch.nn.Module | HeadLoader | None, folder: Path, model: PreTrainedModel
) -> torch.nn.Module | None:
    if head is None or isinstance(head, torch.nn.Module):
        return head
    path = folder / HEAD_FILE
    if not path.is_file():
        raise CheckpointError(f"expected a head's weights at {path}, got none; pass a new head, or none")
    return head(path, unwrap(model).config.hidden_size)


def _torch_dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    if dtype is None or isinstance(dtype, torch.dtype):
        return dtype
    found = getattr(torch, dtype, None)
    if not isinstance(found, torch.dtype):
        raise ValueError(f"expected a dtype such as float32 or bfloat16, got {dtype!r}")
    return found
