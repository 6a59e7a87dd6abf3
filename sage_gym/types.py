"""The nouns that every part shares: task, turn, decision, trajectory, group, score.

All are frozen dataclasses without heavy imports; what goes to disk is written by `sage_gym.rollout.records`.
Left out on purpose: tensors, tokenizers and anything that only one package needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = [
    "Budget",
    "Candidate",
    "Choice",
    "Context",
    "Decision",
    "Failure",
    "Group",
    "Ledger",
    "Origin",
    "Score",
    "StopReason",
    "Task",
    "Trajectory",
    "Turn",
    "View",
]


class StopReason(StrEnum):
    """Every way an episode can end. The four budgets are four reasons."""

    TERMINATED = "terminated"
    """The environment reached an end state; success or not is a separate matter."""
    MAX_TURNS = "max_turns"
    TURN_TOKENS = "turn_tokens"
    EPISODE_TOKENS = "episode_tokens"
    WALL_CLOCK = "wall_clock"
    INFRASTRUCTURE = "infrastructure"
    """What the policy could not have caused; left out of scores and of training."""

    @property
    def is_truncation(self) -> bool:
        """Whether a budget ended the episode. Counts as not succeeded; value targets may bootstrap."""
        return self not in (StopReason.TERMINATED, StopReason.INFRASTRUCTURE)


class Origin(StrEnum):
    """Who produced a turn's action, so that the data card can account for each trained token."""

    POLICY = "policy"
    INJECTED = "injected"
    """A wrong action put in on purpose (recovery traces); carries no loss."""
    EXPERT = "expert"
    TEACHER = "teacher"


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do. `hash` is over the content, so that frozen tasks can be checked between processes."""

    key: str
    instruction: str
    split: str
    seed: int
    hash: str
    environment: str
    family: str = ""
    """What tasks are clustered by in intervals (a product, a tool combination); empty means the task itself."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One admissible action and what it refers to, in the environment's words."""

    action: str
    text: str


@dataclass(frozen=True, slots=True)
class View:
    """An environment's state in brief, for policies whose context is short.

    `page` names the state whose choices are listed: while it stays the same, a renderer may show `news` alone,
    since the choices shown before still hold. `free` are prefixes of admissible actions that take free text
    (`search[`), each closed by `]`. `references` are what stands in such text for something said before (`$email`).
    """

    page: str
    news: str
    choices: tuple[Choice, ...] = ()
    free: tuple[str, ...] = ()
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ledger:
    """Token ids of one decision, as they were fed and sampled. Training uses these ids; text is never re-tokenised.

    `prompt_ids` is what was fed before sampling. When `is_continuation`, it extends the sequence made of the
    previous decision's prompt and sampled ids (append-only); otherwise it starts a new sequence.
    `mask[i]` is True where `sampled_ids[i]` was sampled, False where decoding left no choice (or it was injected).
    `allowed[i]` holds the ids that restricted decoding left open at that position, None where all were.
    `logprobs[i]` is in nats, under the distribution that was sampled from, restriction and temperature included;
    0.0 where not sampled.
    """

    prompt_ids: tuple[int, ...]
    sampled_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    mask: tuple[bool, ...]
    allowed: tuple[tuple[int, ...] | None, ...] = ()
    is_continuation: bool = False
    temperature: float = 1.0

    def __post_init__(self) -> None:
        n = len(self.sampled_ids)
        sizes = {"logprobs": len(self.logprobs), "mask": len(self.mask), "allowed": len(self.allowed) or n}
        wrong = {name: size for name, size in sizes.items() if size != n}
        if wrong:
            raise ValueError(f"ledger holds {n} sampled ids; expected as many of each, got {wrong}")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An alternative that was weighed before a decision."""

    action: str
    logprob: float | None = None
    p_fail: float | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy returns for a turn. `action` is what the environment is given; `text` is what was written.

    `p_fail_before` is the forecast at the last token of the prompt, before anything was sampled (V = 1 − p);
    `p_fail` the one at the last token of the decision, before it is executed (Q = 1 − p).
    `entropy` is the mean over sampled tokens, in nats.
    """

    text: str
    action: str
    plan: str = ""
    ledger: Ledger | None = None
    p_fail_before: float | None = None
    p_fail: float | None = None
    entropy: float | None = None
    candidates: tuple[Candidate, ...] = ()
    origin: Origin = Origin.POLICY
    replans: int = 0
    stop: StopReason | None = None
    """Set by the policy when a token budget ended this decision (`turn_tokens`, `episode_tokens`)."""
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Turn:
    """One observation, the decision taken on it, and the environment's answer to it (reward, flags)."""

    observation: str
    decision: Decision
    reward: float
    is_invalid: bool = False
    elapsed_s: float = 0.0
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception that ended an attempt at an episode, whose fault it was, and how often it was tried."""

    where: str
    """`environment`, `policy`, `sandbox`, `deadline`."""
    error: str
    message: str
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Trajectory:
    """The turns of one episode, its stop reason and its outcome; immutable."""

    id: str
    task: Task
    turns: tuple[Turn, ...]
    stop_reason: StopReason
    reward: float
    """R in [0, 1], the environment's own."""
    success: bool
    seed: int
    policy: str
    round: int = 0
    attempt: int = 0
    """Index within the group."""
    final_observation: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)
    """The environment's last info, JSON-able: the reward's components among it."""
    is_intervened: bool = False
    """Whether amplification, injection or a hint changed anything: the forecast head is judged on those untouched."""
    failure: Failure | None = None
    elapsed_s: float = 0.0
    hints: tuple[str, ...] = ()
    """Critiques of earlier attempts that the policy was shown; training must not see them."""

    @property
    def is_infrastructure(self) -> bool:
        """Whether the policy could not have caused how it ended."""
        return self.stop_reason is StopReason.INFRASTRUCTURE

    @property
    def token_count(self) -> int:
        """Tokens sampled over the episode."""
        return sum(len(t.decision.ledger.sampled_ids) for t in self.turns if t.decision.ledger is not None)


@dataclass(frozen=True, slots=True)
class Group:
    """The trajectories of one task in one round."""

    task: Task
    trajectories: tuple[Trajectory, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """A named number with its components. `value` None means unscored (a critic that failed), never zero."""

    name: str
    value: float | None
    components: Mapping[str, float] = field(default_factory=dict)
    per_turn: tuple[float, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Budget:
    """The four separate limits of an episode."""

    max_turns: int = 15
    turn_tokens: int = 64
    episode_tokens: int = 2048
    wall_clock_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Context:
    """What a policy is given to decide on: the task, the turns so far and the present observation.

    `episode` identifies the episode within the process, so that a policy may keep a key-value cache for it until
    `release`. `seed` is a function of the episode's seed and the turn alone, so that a decision does not depend on
    which other episodes share the batch.
    """

    episode: str
    task: Task
    observation: str
    turns: tuple[Turn, ...]
    seed: int
    admissible_actions: tuple[str, ...] | None = None
    view: View | None = None
    turn_tokens: int = 64
    episode_tokens_left: int = 2048
    hints: tuple[str, ...] = ()
    """Critiques of earlier attempts; seen by the amplified student, never distilled."""
