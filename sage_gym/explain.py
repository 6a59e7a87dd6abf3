"""`python -m sage_gym.explain run=…`: which turns an outcome came from, and whether that can be believed."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.progress import track

from sage_gym.config import EXPLAIN, ExplainConfig, make_policy, read_or_exit
from sage_gym.config.finished import find_run_folder
from sage_gym.errors import ConfigError, SageGymError
from sage_gym.protocols import Student

if TYPE_CHECKING:
    from sage_gym.evaluation.introspection.sources import Source
    from sage_gym.evaluation.introspection.study import Study

__all__ = ["explain", "main"]

T = TypeVar("T")
LINE_EVERY_S = 15.0


def explain(config: ExplainConfig, console: Console, output: Console) -> None:
    """Explain what was played of a task, or look into many trajectories and test faithfulness; write it all down.

    Args:
        config: see there.
        console: for progress, and where files lie.
        output: for what was found.

    Raises:
        SageGymError: what stops it, with what to do about it.
    """
    folder = find_run_folder(config.run)
    # torch takes seconds to load
    from sage_gym.evaluation.introspection.sources import find_source
    from sage_gym.evaluation.introspection.study import Study

    source = find_source(folder, config.round, config.files)
    for file, damage in source.damage():
        line = f"{file}, line {damage.line}: {damage.reason}; {damage.episodes} episodes skipped"
        console.print(line, markup=False, soft_wrap=True)
    student = _load(source, config.device)
    study = Study(source, student, config.signal, config.longest, config.step_tokens, config.seed)
    study.check()
    names = ", ".join(map(source.name_of, source.files))
    console.print(f"run {source.folder}, round {source.round}: {names}", markup=False, soft_wrap=True)
    if config.task is not None:
        _explain_task(config, config.task, study, console, output)
    else:
        _test(config, study, console, output)


def _explain_task(config: ExplainConfig, task: str, study: Study, console: Console, output: Console) -> None:
    from sage_gym.evaluation.introspection.table import print_introspection
    from sage_gym.evaluation.introspection.telling import Teller, tell

    records, left_out = study.explain(task, partial(_watch, console))
    for reason in left_out:
        console.print(reason, markup=False)
    words = config.words
    if words.address is not None and words.model is not None:
        teller = Teller(words.address, words.model, words.key_variable, words.timeout_s, words.max_tokens)
        records = [tell(record, teller) for record in records]
    study.write(records)
    for record in records:
        print_introspection(record, output)
    console.print(f"written to {study.source.folder / 'introspection'}", markup=False, soft_wrap=True)


def _test(config: ExplainConfig, study: Study, console: Console, output: Console) -> None:
    from sage_gym.evaluation.introspection.table import print_faithfulness
    from sage_gym.evaluation.report import write_report

    records, found = study.test(config.trajectories, partial(_watch, console))
    study.write(records, found)
    print_faithfulness(found, output)
    folder = study.source.folder
    report = write_report(folder)
    console.print(f"written to {folder / 'introspection'}; report: {report}", markup=False, soft_wrap=True)


def _load(source: Source, device: str | None) -> Student:
    """Load the run's student with the weights of the round, frozen."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    student = make_policy(source.training.policy)
    if not isinstance(student, Student):
        raise ConfigError([f"run: expected a student with weights, such as nano or causal_lm, got {student.name}"])
    student.restore(source.student)
    student.model.requires_grad_(False).eval()
    if device is not None:
        student.model.to(device)  # type: ignore[arg-type]
        if student.head is not None:
            student.head.to(device)
    return student


def _watch(console: Console, items: Iterable[T], total: int, doing: str) -> Iterator[T]:
    """Pass items on, with a bar on a terminal and a line every few seconds elsewhere."""
    if console.is_terminal:
        yield from track(items, doing, total, console=console)
        return
    last_s = monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if monotonic() - last_s >= LINE_EVERY_S:
            last_s = monotonic()
            console.print(f"{doing}: {done}/{total} trajectories")


def main(words: Sequence[str] | None = None) -> int:
    """Read the configuration, explain, and return the process's exit status."""
    config = read_or_exit(EXPLAIN, None if words is None else list(words))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    try:
        explain(config, Console(stderr=True, highlight=False), Console(highlight=False))
    except SageGymError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
