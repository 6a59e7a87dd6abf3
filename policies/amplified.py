"""The amplified student: the policy with search, forecasts and a critic around it; itself a policy.

For each turn it samples several decisions, drops those that the forecast gives up on, plans again while none is left,
and lets a chooser take the best. Source: critic amplification, SAGE-32B, arXiv 2601.04237; that intervening can cost
more than it saves, arXiv 2602.03338, hence the share of episodes that is left alone, and the pilot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from sage_gym.protocols import Policy
from sage_gym.types import Candidate, Context, Decision

__all__ = ["Amplified", "Chooser", "lowest_forecast"]

Chooser = Callable[[Context, Sequence[Decision]], Sequence[float | None]]
"""Gives each of a turn's distinct decisions a score, higher being better; None where it cannot be scored."""

SEED_BITS = 63


def lowest_forecast(context: Context, decisions: Sequence[Decision]) -> list[float | None]:
    """Score by Q = 1 - p_fail, read at the decision's last token, before it is executed."""
    return [None if decision.p_fail is None else 1.0 - decision.p_fail for decision in decisions]


@dataclass(slots=True)
class _Turn:
    """What has been sampled for one context; the first is the plain policy's own decision."""

    context: Context
    is_untouched: bool
    sampled: list[Decision] = field(default_factory=list)
    replans: int = 0

    @property
    def plain(self) -> Decision:
        return self.sampled[0]

    def distinct(self) -> list[Decision]:
        """Merge by action; of several ways to write an action the first sampled stays."""
        first: dict[str, Decision] = {}
        for decision in self.sampled:
            first.setdefault(decision.action, decision)
        return list(first.values())


@dataclass(frozen=True, slots=True)
class Amplified:
    """Samples candidates, drops the hopeless, plans again, chooses.

    The first candidate is sampled with `Context.seed` and so is what the plain policy decides; the others' seeds are
    derived from it. A candidate whose p_fail exceeds `tau`, or that ran into a token budget, is dropped; when none is
    left, `candidates` more are sampled, at most `replans` times; when even then none is left, the chooser takes the
    best of all. Equal scores go to the earliest, so the plain decision stands unless another is better.

    The decision keeps its own ledger and names in `candidates` everything that was weighed. In `notes`:
    `is_untouched` (whether the lot leaves the episode alone), `samples` (how many were drawn for this turn),
    `sampled_tokens` (over all of these, which the chosen one's ledger does not show), and
    `is_intervened` where the action is another than the plain policy's.

    What the ledger's log-probabilities mean: they are the *plain* policy's, of the tokens as it sampled them, not
    those of this wrapper, which chooses a candidate with a probability nobody knows. So p_new / p_ledger is the ratio
    to the plain policy, 1 at the first step, and not an importance weight for the distribution that the episodes
    come from: E[ratio x advantage] over amplified episodes is no estimate of the student's own gradient. Amplified
    episodes belong in cross-entropy (imitating what the amplified student found); policy gradient takes the episodes
    that the lot left alone.

    Args:
        policy: samples; several contexts of one episode in one `act` must be candidates for the same turn.
        candidates: sampled for each decision.
        tau: p_fail above which a candidate is dropped; 1 drops none.
        replans: how often a turn is planned again at most.
        chooser: scores the distinct candidates; unscored ones are chosen only where none is scored.
        untouched_share: of the episodes, by lot, in which the plain policy decides alone.
        seed: of the lot and of the further candidates.

    Raises:
        ValueError: a number outside its range.
    """

    policy: Policy
    candidates: int = 4
    tau: float = 0.8
    replans: int = 2
    chooser: Chooser = lowest_forecast
    untouched_share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.candidates < 1 or self.replans < 0:
            raise ValueError(f"expected candidates >= 1 and replans >= 0, got {self.candidates} and {self.replans}")
        for name in ("tau", "untouched_share"):
            if not 0.0 <= (value := getattr(self, name)) <= 1.0:
                raise ValueError(f"expected {name} in [0, 1], got {value}")

    @property
    def name(self) -> str:
        """The policy's name, marked."""
        return f"{self.policy.name}+amplified"

    def act(self, contexts: Sequence[Context]) -> list[Decision]:
        """Return one decision for each context.

        Raises:
            ValueError: forecasts are asked for and the policy gives none.
        """
        turns = [_Turn(context, self._is_untouched(context)) for context in contexts]
        self._sample(turns, 0)
        for replan in range(1, self.replans + 1):
            stuck = [turn for turn in turns if self._is_stuck(turn)]
            if not stuck:
                break
            self._sample(stuck, replan)
        return [self._choose(turn) for turn in turns]

    def release(self, episodes: Iterable[str]) -> None:
        """Forget what was kept for these episodes."""
        self.policy.release(episodes)

    def _is_untouched(self, context: Context) -> bool:
        """Draw an episode's lot from its first decision's seed; later turns read it there."""
        for turn in context.turns:
            if "is_untouched" in turn.decision.notes:
                return bool(turn.decision.notes["is_untouched"])
        return _derive(self.seed, context.seed, "lot") < self.untouched_share * (1 << SEED_BITS)

    def _sample(self, turns: Sequence[_Turn], replan: int) -> None:
        """Draw each turn's candidates, all in one batch, those of one turn side by side."""
        asked: list[Context] = []
        owners: list[_Turn] = []
        for turn in turns:
            for index in range(1 if turn.is_untouched else self.candidates):
                is_plain = replan == 0 and index == 0
                seed = turn.context.seed if is_plain else _derive(self.seed, turn.context.seed, f"{replan}/{index}")
                asked.append(turn.context if is_plain else replace(turn.context, seed=seed))
                owners.append(turn)
        for turn, decision in zip(owners, self.policy.act(asked), strict=True):
            turn.sampled.append(decision)
        for turn in turns:
            turn.replans = replan

    def _is_hopeless(self, decision: Decision) -> bool:
        if decision.stop is not None:
            return True
        if decision.p_fail is None:
            self._check_needs_no_forecast()
            return False
        return decision.p_fail > self.tau

    def _is_stuck(self, turn: _Turn) -> bool:
        """Whether the turn should be planned again; where no token may be sampled any more, nothing would change."""
        is_exhausted = turn.plain.stop is not None and turn.plain.ledger is None
        return not turn.is_untouched and not is_exhausted and all(map(self._is_hopeless, turn.sampled))

    def _choose(self, turn: _Turn) -> Decision:
        tokens = sum(len(decision.ledger.sampled_ids) for decision in turn.sampled if decision.ledger is not None)
        notes = {"is_untouched": turn.is_untouched, "samples": len(turn.sampled), "sampled_tokens": tokens}
        if turn.is_untouched:
            return replace(turn.plain, notes={**turn.plain.notes, **notes})
        weighed = turn.distinct()
        scores = list(self.chooser(turn.context, weighed))
        if len(scores) != len(weighed):
            raise ValueError(f"expected a score or None for each of {len(weighed)} candidates, got {len(scores)}")
        kept = [index for index, decision in enumerate(weighed) if not self._is_hopeless(decision)]
        best = max(kept or range(len(weighed)), key=lambda index: (_rank(scores[index]), -index))
        chosen = weighed[best]
        if chosen.action != turn.plain.action:
            notes["is_intervened"] = True
        return replace(
            chosen,
            candidates=tuple(_candidate(*pair) for pair in zip(weighed, scores, strict=True)),
            replans=turn.replans,
            notes={**chosen.notes, **notes},
        )

    def _check_needs_no_forecast(self) -> None:
        if self.tau < 1.0 or self.chooser is lowest_forecast:
            raise ValueError(
                f"expected forecasts (Decision.p_fail) of {self.policy.name}, got none; load it with a meta-cognition "
                "head, or amplify with a chooser that needs none and tau=1"
            )


def _rank(score: float | None) -> tuple[bool, float]:
    return score is not None, score if score is not None else 0.0


def _candidate(decision: Decision, score: float | None) -> Candidate:
    ledger = decision.ledger
    return Candidate(decision.action, None if ledger is None else sum(ledger.logprobs), decision.p_fail, score)


def _derive(seed: int, turn_seed: int, purpose: str) -> int:
    """Return a number in [0, 2**63) that is a function of the arguments alone."""
    digest = blake2b(f"{seed}:{turn_seed}:{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> (64 - SEED_BITS)
