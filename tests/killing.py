"""Runs trainings that end themselves with SIGKILL at a chosen point: `python -m tests.killing`, a line of JSON each.

The heavy modules are imported once; each training is a fork of that process, so that it starts as a fresh one does
in all that matters here (no model, no run, no open file). A request is `{"words": [...], "kill": {...} or null,
"log": path}`, its answer the exit status, negative for a signal.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEAVY = (
    "torch",
    "datasets",
    "trl",
    "sage_gym.train",
    "sage_gym.distill.rounds",
    "sage_gym.evaluation.report",
    "statsmodels.stats.multitest",
    "sklearn.linear_model",
    "envs.webshop.environment",
    "policies.causal_lm",
    "policies.metacognition",
)


@dataclass(frozen=True)
class Kill:
    """Where a training ends itself.

    Args:
        phase: of the training, for the test's own account.
        target: `module:function` or `module:Class.method`, patched where it is looked up.
        call: which call of it, counted from 1 in the process.
        moment: `before` it, `after` it, or (for a journal's `_write`) when `half` of the bytes are written.
        match: only calls count whose arguments' paths hold this.
    """

    phase: str
    target: str
    call: int = 1
    moment: str = "before"
    match: str = ""


def end() -> None:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(kill: Kill) -> None:
    """Patch the target."""
    module_name, _, path = kill.target.partition(":")
    owner: Any = importlib.import_module(module_name)
    *inside, name = path.split(".")
    for attribute in inside:
        owner = getattr(owner, attribute)
    setattr(owner, name, _armed(getattr(owner, name), kill))


def _armed(function: Callable[..., Any], kill: Kill) -> Callable[..., Any]:
    count = 0

    def call(*args: Any, **options: Any) -> Any:
        nonlocal count
        count += kill.match in " ".join(str(getattr(a, "path", a)) for a in args if not isinstance(a, bytes))
        if count != kill.call:
            return function(*args, **options)
        if kill.moment == "half":
            journal, data = args
            journal._file.write(data[: len(data) // 2])
        elif kill.moment == "after":
            function(*args, **options)
        end()
        raise AssertionError("the process outlived its end")

    return call


def train(words: list[str], kill: Kill | None, log: Path) -> None:
    """Run a training in this process and leave it with the command's exit status."""
    stream = log.open("a")
    os.dup2(stream.fileno(), 1)
    os.dup2(stream.fileno(), 2)
    import torch

    from sage_gym.train import main

    torch.set_num_threads(1)
    if kill is not None:
        arm(kill)
    try:
        status = main(words)
    except BaseException:
        import traceback

        traceback.print_exc()
        status = 70
    stream.flush()
    os._exit(status)


def serve() -> None:
    """Answer requests until there are no more."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    for name in HEAVY:
        importlib.import_module(name)
    gc.freeze()  # each trainer collects garbage several times, which takes longest over what is imported
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            kill = Kill(**request["kill"]) if request["kill"] else None
            train(request["words"], kill, Path(request["log"]))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
