"""The seams: what a policy, reward, critic, executor, tracker and trainable student must offer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from sage_gym.types import Context, Decision, Score, Task, Trajectory, View

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["Critic", "Executor", "Expert", "Policy", "Reward", "Student", "TaskEnvironment", "Tracker"]

T = TypeVar("T")
R = TypeVar("R")


@runtime_checkable
class TaskEnvironment(Protocol):
    """What the rollout engine uses of an environment beyond `gymnasium.Env[str, str]` (on `.unwrapped`)."""

    def tasks(self, split: str) -> Sequence[Task]:
        """List the tasks of a split, in a fixed order."""
        ...

    def splits(self) -> tuple[str, ...]:
        """Name the splits."""
        ...

    def view(self) -> View:
        """Give the present state in brief, with every admissible action."""
        ...


class Expert(Protocol):
    """A scripted solution that reads a task's hidden goal; never in a result row that does not say so."""

    def action(self) -> str:
        """Give the next action for the environment's present state."""
        ...


class Policy(Protocol):
    """Decides, for many episodes at once. Wrappers compose: `Amplified(Metacognitive(CausalLM(...)))`."""

    @property
    def name(self) -> str:
        """A short name for records."""
        ...

    def act(self, contexts: Sequence[Context]) -> list[Decision]:
        """Return one decision for each context, in order. A decision depends on its own context alone."""
        ...

    def release(self, episodes: Iterable[str]) -> None:
        """Forget what was kept for these episodes."""
        ...


@runtime_checkable
class Student(Policy, Protocol):
    """A policy that can be trained: it exposes its weights and saves itself."""

    @property
    def model(self) -> PreTrainedModel:
        """The causal model with its language-model head."""
        ...

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer that its ledger's ids belong to."""
        ...

    @property
    def head(self) -> torch.nn.Module | None:
        """The meta-cognition head, when it has one."""
        ...

    def foresee(self, contexts: Sequence[Context]) -> list[float]:
        """Return p_fail of each context before anything is sampled."""
        ...

    def with_decoding(self, *, temperature: float, restricted: bool) -> Policy:
        """Return a policy on the same weights that decodes otherwise."""
        ...

    def save(self, folder: Path) -> None:
        """Write weights, tokenizer and head into `folder`, all or nothing."""
        ...

    def restore(self, folder: Path) -> None:
        """Take over what `save` wrote, in place."""
        ...


class Reward(Protocol):
    """Batched and pure."""

    @property
    def name(self) -> str:
        """What its scores are called."""
        ...

    def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """Return one score for each trajectory, in order; `Score.value` is None where it could not be scored."""
        ...


class Critic(Reward, Protocol):
    """A reward that also gives per-turn credit in `Score.per_turn`."""


class Executor(Protocol):
    """Where work runs: local now, a cluster later."""

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Apply `function` to each item, giving results in order."""
        ...


class Tracker(Protocol):
    """Where metrics go."""

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        """Record numbers at a step; names are `group/metric`."""
        ...

    def close(self) -> None:
        """Flush."""
        ...
