"""The configuration of `python -m sage_gym.explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from sage_gym.config.sections import Section

__all__ = ["ExplainConfig", "NamingSignal", "Words"]

NamingSignal = Literal[
    "attention", "flow", "unusual", "positive", "rollout", "gradient", "entropy", "jump", "leave_one_out"
]
"""What decision points can be named by."""


def _split_commas(value: object) -> object:
    """Take `a,b` for `[a,b]`."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _as_text(value: object) -> object:
    """Take a run that is named by a number for its name."""
    return str(value) if isinstance(value, int) else value


class Words(Section):
    """A language model that retells a task's explanation, by default none: the template does."""

    address: str | None = Field(default=None, pattern=r"^https?://")
    """Of an OpenAI-compatible server, such as http://localhost:8000/v1."""
    model: str | None = Field(default=None, min_length=1)
    """Its model's name."""
    key_variable: str = Field(default="OPENAI_API_KEY", min_length=1)
    """The variable of the shell that holds the key, where one is needed."""
    timeout_s: float = Field(default=60.0, gt=0.0)
    """How long an answer may take."""
    max_tokens: int = Field(default=400, ge=1)
    """Of an answer."""


class ExplainConfig(Section):
    """Settings of `python -m sage_gym.explain`."""

    run: Annotated[Path | None, BeforeValidator(_as_text)] = None
    """A training run's folder, or its name under `runs`."""
    task: str | None = None
    """A task's key: what was played of it is explained turn by turn. Null looks into many and tests faithfulness."""
    trajectories: int = Field(default=200, ge=1)
    """How many are looked into without `task`, drawn by lot; each gets its decision points on record."""
    round: int | None = Field(default=None, ge=0)
    """Whose student forecasts; null is the last promoted."""
    files: Annotated[tuple[str, ...], BeforeValidator(_split_commas)] = ()
    """Files of trajectories in the run's folder that this student played, such as rounds/006/select.jsonl; by default
    its test, or the select split's where the run has not come to the test."""
    signal: NamingSignal = "attention"
    """What names decision points: `attention` traced back from the outcome, what cutting it would do to first order;
    the `flow` of attention weighted by gradient; `unusual`, that beyond what turns of its place usually get;
    `positive`, the flow's part that speaks for failure; `rollout`, a flow that is not weighted; `gradient` times input;
    the policy's `entropy`; the forecast's `jump`; `leave_one_out`. The test shows all."""
    longest: int = Field(default=16_384, ge=1)
    """Tokens; longer trajectories are left out and counted. Bounds the memory, together with `step_tokens`."""
    step_tokens: int = Field(default=8192, ge=1)
    """Tokens of one forward pass."""
    device: str | None = None
    """Where the student is moved to, such as cuda; null leaves it where it is loaded."""
    words: Words = Words()
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of draws and bootstraps."""

    def conflicts(self) -> list[str]:
        """Name settings that are valid each by itself and do not go together."""
        found = [] if self.run is not None else ["run: expected a training run's folder or name, got none; give run=…"]
        if (self.words.address is None) != (self.words.model is None):
            missing = "words.model" if self.words.model is None else "words.address"
            found.append(f"{missing}: expected a value together with the other of words.address and words.model")
        if self.words.address is not None and self.task is None:
            found.append("words.address: a language model retells one task's explanation; give task=… with it")
        return found
