"""Overlap of training text with held-out text: dropped across environments and benchmarks, reported within one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sage_gym.selection.settings import Decontamination
from sage_gym.selection.similarity import NearIndex, ngrams, shingles, words
from sage_gym.selection.verdicts import Overlap
from sage_gym.types import Trajectory

__all__ = ["Contamination", "HeldOut", "find_contamination"]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Texts that must not be trained on: a benchmark (`environment` None) or an environment's held-out splits.

    `texts` is gone through once a call; give a list where one HeldOut is used for several rounds.
    """

    name: str
    texts: Iterable[str]
    environment: str | None = None


@dataclass(frozen=True, slots=True)
class Contamination:
    """What overlaps: trajectory id -> why it is to be dropped, and a line a source for the report."""

    dropped: Mapping[str, str]
    overlaps: tuple[Overlap, ...]


@dataclass(slots=True)
class _TrainingText:
    """The n-grams of the round's training text, and which trajectories each occurs in."""

    tasks: frozenset[str]
    holders: dict[str, list[str]] = field(default_factory=dict)
    near: NearIndex = field(default_factory=lambda: NearIndex(1.0))
    trajectories_of: dict[str, list[Trajectory]] = field(default_factory=dict)


def find_contamination(
    trajectories: Sequence[Trajectory], held_out: Sequence[HeldOut], rule: Decontamination
) -> Contamination:
    """Compare each trajectory's text with each source.

    Overlap is a shared n-gram that is not common among training tasks, or an instruction that is a near-duplicate
    of a held-out text (which also catches texts shorter than n words).
    """
    training = _index(trajectories, rule)
    dropped: dict[str, str] = {}
    overlaps = []
    for source in held_out:
        hits, size = _hits(training, source, rule)
        by_id = {t.id: t for t in trajectories if t.id in hits}
        drops = [t for t in by_id.values() if t.task.environment != source.environment]
        for trajectory in drops:
            dropped.setdefault(trajectory.id, f"{source.name}: {hits[trajectory.id]}")
        overlaps.append(
            Overlap(
                source=source.name,
                held_out_texts=size,
                training_tasks=len(training.tasks),
                overlapping_tasks=len({t.task.key for t in by_id.values()}),
                dropped=bool(drops),
                example=next(iter(hits.values()), ""),
            )
        )
    return Contamination(dropped, tuple(overlaps))


def _index(trajectories: Sequence[Trajectory], rule: Decontamination) -> _TrainingText:
    training = _TrainingText(frozenset(t.task.key for t in trajectories), near=NearIndex(rule.near_duplicate))
    tasks_with: defaultdict[str, set[str]] = defaultdict(set)
    holders: defaultdict[str, list[str]] = defaultdict(list)
    for trajectory in trajectories:
        for gram in ngrams(words(_text(trajectory, rule)), rule.n):
            tasks_with[gram].add(trajectory.task.key)
            holders[gram].append(trajectory.id)
        if trajectory.task.key not in training.trajectories_of:
            training.near.add(trajectory.task.key, shingles(trajectory.task.instruction, 3))
        training.trajectories_of.setdefault(trajectory.task.key, []).append(trajectory)
    limit = max(1.0, rule.common_share * len(training.tasks))
    training.holders = {gram: ids for gram, ids in holders.items() if len(tasks_with[gram]) <= limit}
    return training


def _hits(training: _TrainingText, source: HeldOut, rule: Decontamination) -> tuple[dict[str, str], int]:
    """Return trajectory id -> the first overlap found with `source`, and how many texts the source has."""
    hits: dict[str, str] = {}
    sizes: Counter[str] = Counter()
    for text in source.texts:
        sizes["texts"] += 1
        tokens = words(text)
        shared = (gram for gram in sorted(ngrams(tokens, rule.n)) if gram in training.holders)
        for gram in shared:
            for identifier in training.holders[gram]:
                hits.setdefault(identifier, f"shares {gram!r}")
        for task, similarity in training.near.near(shingles(text, 3)):
            for trajectory in training.trajectories_of[task]:
                hits.setdefault(trajectory.id, f"instruction is {similarity:.2f} similar to {text[:80]!r}")
    return hits, sizes["texts"]


def _text(trajectory: Trajectory, rule: Decontamination) -> str:
    parts = [trajectory.task.instruction] if "instruction" in rule.parts else []
    if "decisions" in rule.parts:
        parts += [turn.decision.text for turn in trajectory.turns]
    if "observations" in rule.parts:
        parts += [turn.observation for turn in trajectory.turns]
    return "\n".join(parts)
