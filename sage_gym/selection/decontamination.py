"""Overlap of training text with held-out text: dropped across environments and benchmarks, reported within one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from sage_gym.selection.library import SIZES, HeldOut, Library
from sage_gym.selection.likeness import Kind
from sage_gym.selection.matching import Match, Survey, find_matches
from sage_gym.selection.passages import PARTS, Part, passages_of
from sage_gym.selection.settings import Decontamination
from sage_gym.selection.specimens import describe, specimen_of
from sage_gym.selection.verdicts import Overlap
from sage_gym.types import Trajectory

__all__ = ["Contamination", "find_contamination"]

SEVERITY: tuple[Kind, ...] = ("same", "whole", "words", "inside", "run")
MOST_SPECIMENS = 3
"""Cases of a source that are shown, of different tasks."""


@dataclass(frozen=True, slots=True)
class Contamination:
    """What overlaps: trajectory id -> why it is to be dropped, and a line a source for the report."""

    dropped: Mapping[str, str] = field(default_factory=dict)
    overlaps: tuple[Overlap, ...] = ()


def find_contamination(
    trajectories: Sequence[Trajectory], held_out: Sequence[HeldOut] | Library, rule: Decontamination
) -> Contamination:
    """Compare each trajectory's text with each source; see `sage_gym.selection.likeness` for what counts as overlap.

    The parts that the rule names decide. What overlaps in the other parts alone is counted apart. An environment's own
    held-out tasks are compared with instructions alone: pages, and decisions that quote an instruction, say no more.

    Args:
        trajectories: what is trained on.
        held_out: what it must not repeat; give a `Library` where there is more to compare.
        rule: from when on text counts as repeated, and which parts are compared.
    """
    library = Library.of(held_out)
    if not len(library):
        return Contamination()
    keys = list(dict.fromkeys(t.task.key for t in trajectories))
    numbers = {key: number for number, key in enumerate(keys)}
    tasks = [numbers[t.task.key] for t in trajectories]
    survey = Survey.of(passages_of(trajectories, rule.parts), tasks, library, rule)
    environments = {t.task.environment for t in trajectories}
    shelves = range(len(library))
    others = [shelf for shelf in shelves if library.shelves[shelf].source.environment not in environments]
    own = [shelf for shelf in shelves if shelf not in others]

    def matches(parts: Sequence[Part], shelves: Sequence[int]) -> Iterator[Match]:
        return find_matches(passages_of(trajectories, parts), library, rule, survey.common, shelves)

    in_own = matches([part for part in rule.parts if part == "instruction"], own)
    hits = _Hits(trajectories, library, chain(matches(rule.parts, others), in_own))
    context = _Hits(trajectories, library, matches([part for part in PARTS if part not in rule.parts], others))
    sharing = {key: len(found) for key, found in survey.sharing.items()}
    return Contamination(
        hits.dropped(),
        tuple(hits.overlap(shelf, context, {n: sharing[shelf, n] for n in SIZES}) for shelf in range(len(library))),
    )


class _Hits:
    """Matches by source and trajectory, the worst of each."""

    def __init__(self, trajectories: Sequence[Trajectory], library: Library, matches: Iterable[Match]) -> None:
        self._trajectories, self._library = trajectories, library
        self._worst: list[dict[int, Match]] = [{} for _ in range(len(library))]
        for match in matches:
            worst = self._worst[match.shelf]
            for holder in match.passage.holders:
                if holder not in worst or _severity(match) < _severity(worst[holder]):
                    worst[holder] = match

    def dropped(self) -> dict[str, str]:
        """Return trajectory id -> why, for overlap with what is not the trajectory's own environment."""
        found: dict[str, str] = {}
        for number, worst in enumerate(self._worst):
            name = self._library.shelves[number].source.name
            for holder, match in sorted(worst.items()):
                if self._is_foreign(number, holder):
                    found.setdefault(self._trajectories[holder].id, f"{name}: {describe(match, self._library)}")
        return found

    def overlap(self, number: int, context: _Hits, sharing: Mapping[int, int]) -> Overlap:
        """Put a source's matches in numbers, with the worst of them."""
        shelf, worst = self._library.shelves[number], self._worst[number]
        foreign = [holder for holder in worst if self._is_foreign(number, holder)]
        only_read = [holder for holder in context._worst[number] if holder not in worst]
        by_task, read_by_task = self._by_task(number, worst), context._by_task(number, only_read)
        cases = [*by_task.items(), *read_by_task.items()][:MOST_SPECIMENS]
        return Overlap(
            source=shelf.source.name,
            held_out_texts=len(shelf.texts),
            short_texts=shelf.short,
            digest=shelf.digest,
            training_tasks=len({t.task.key for t in self._trajectories}),
            overlapping_tasks=len(by_task),
            same_tasks=len({t.task.hash for t in self._trajectories} & shelf.tasks),
            sharing_tasks=dict(sharing),
            episodes=len(worst),
            dropped_episodes=len(foreign),
            context_episodes=len(only_read),
            dropped=bool(foreign),
            unread=shelf.source.unread,
            example=describe(next(iter(by_task.values())), self._library) if by_task else "",
            worst=tuple(specimen_of(match, self._library, task) for task, match in cases),
        )

    def _by_task(self, number: int, holders: Iterable[int]) -> dict[str, Match]:
        """Return each task's worst match, the worst task first."""
        worst = self._worst[number]
        found: dict[str, Match] = {}
        for holder in sorted(holders, key=lambda holder: (_severity(worst[holder]), holder)):
            found.setdefault(self._trajectories[holder].task.key, worst[holder])
        return found

    def _is_foreign(self, number: int, holder: int) -> bool:
        return self._trajectories[holder].task.environment != self._library.shelves[number].source.environment


def _severity(match: Match) -> tuple[int, float]:
    found = match.likeness
    return SEVERITY.index(match.kind), -(found.evidence + found.in_order) if found is not None else 0.0
