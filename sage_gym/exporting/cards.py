"""Model card and data set card: front matter that a hub reads, and what a reader has to know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCardData, EvalResult, ModelCardData
from jinja2 import Environment, PackageLoader, StrictUndefined

import sage_gym
from sage_gym.evaluation.manifest import TestResult
from sage_gym.exporting.dataset import SCHEMAS, DatasetCounts
from sage_gym.exporting.finished import FinishedRun
from sage_gym.exporting.markdown import FILTERS
from sage_gym.exporting.rows import decisions

__all__ = ["Example", "dataset_card", "model_card"]

LONGEST_EXAMPLE = 2000
NANO = "nano"


@dataclass(frozen=True, slots=True)
class Example:
    """What the student was fed at one decision, and what it sampled, spelled out."""

    task: str
    prompt: str
    completion: str


def model_card(run: FinishedRun, tokenizer: Any, *, is_rewritten: bool) -> str:
    """Return the model's README: figures, use, prompt, data card, provenance.

    Args:
        run: which.
        tokenizer: of the student, to spell out an example.
        is_rewritten: whether its architecture is another one's form now.
    """
    values = {"is_nano": _is_nano(run), "is_rewritten": is_rewritten, "example": _example(run, tokenizer)}
    return _render("model.md.j2", front=_model_front(run), run=run, **values)


def dataset_card(run: FinishedRun, counts: DatasetCounts, *, only_successes: bool) -> str:
    """Return the data set's README: configurations, counts, what was left out."""
    return _render("dataset.md.j2", front=_dataset_front(counts), run=run, counts=counts, only_successes=only_successes)


def _render(template: str, **values: Any) -> str:
    environment = Environment(
        loader=PackageLoader("sage_gym.exporting"),
        autoescape=False,  # Markdown; foreign text goes through `cell` and `fenced`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= FILTERS
    return environment.get_template(template).render(version=sage_gym.__version__, **values)


def _model_front(run: FinishedRun) -> str:
    tests = run.final.tests if run.final is not None and run.is_tested else ()
    results = [_result(run, test) for test in tests if test.after.success]
    data = ModelCardData(
        language="en",
        license="apache-2.0" if _is_nano(run) else None,
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["sage-gym", "agent", "reinforcement-learning", run.config.env.name],
        base_model=_base_model(run),
        model_name=f"{run.name}, round {run.number}" if results else None,
        eval_results=results or None,
    )
    return str(data.to_yaml())


def _result(run: FinishedRun, test: TestResult) -> EvalResult:
    assert test.after.success is not None
    return EvalResult(
        task_type="reinforcement-learning",
        task_name="agent",
        dataset_type=f"sage_gym/{run.config.env.name}",
        dataset_name=run.config.env.name,
        dataset_split=test.split,
        metric_type="success",
        metric_name=f"success, {test.decoding}",
        metric_value=round(test.after.success.value, 4),
    )


def _dataset_front(counts: DatasetCounts) -> str:
    files: list[dict[str, Any]] = [
        {"config_name": name, "data_files": [{"split": "train", "path": f"{name}/train-*.parquet"}]} for name in SCHEMAS
    ]
    files[0]["default"] = True
    data = DatasetCardData(
        language="en",
        task_categories=["text-generation", "reinforcement-learning"],
        tags=["sage-gym", "agent", "trajectories", "trl"],
        size_categories=_size(counts.rows["prompt_completion"]),
        configs=files,
    )
    return str(data.to_yaml())


def _size(rows: int) -> str:
    """Return the hub's name for a number of rows."""
    for limit, name in ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M")):
        if rows < limit:
            return name
    return "n>1M"


def _base_model(run: FinishedRun) -> str | None:
    name = run.config.policy.name
    is_hub_name = name.count("/") == 1 and not name.startswith((".", "/", "~")) and not Path(name).exists()
    return name if is_hub_name else None


def _is_nano(run: FinishedRun) -> bool:
    return run.config.policy.name == NANO


def _example(run: FinishedRun, tokenizer: Any) -> Example | None:
    """Spell out the first decision of the round's first episode on the select split."""
    for trajectory in run.files.played_select(run.number)[:1]:
        for decision in decisions(trajectory):
            prompt, completion = (
                str(tokenizer.decode(list(ids), skip_special_tokens=False))
                for ids in (decision.prompt_ids, decision.completion_ids)
            )
            cut = prompt if len(prompt) <= LONGEST_EXAMPLE else prompt[: LONGEST_EXAMPLE - 1] + "…"
            return Example(trajectory.task.key, cut, completion)
    return None
