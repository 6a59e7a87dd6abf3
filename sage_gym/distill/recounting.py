"""A run's data card made anew from its episodes, for other benchmarks or for a run of an earlier version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from sage_gym.config import TrainConfig
from sage_gym.distill.standing import RunFolder
from sage_gym.evaluation.card import CARD_FILE, Basis, DataCard, build_card
from sage_gym.evaluation.manifest import RoundManifest, write_manifest
from sage_gym.evaluation.sources import Composition, SourceCount, compose, count_sources
from sage_gym.selection import Library, find_contamination
from sage_gym.selection.settings import Decontamination
from sage_gym.types import Trajectory

__all__ = ["recount"]

COLLECTED = "collected"
"""In the place of a stage, where no stage's weights are known."""


def recount(folder: Path, config: TrainConfig, rounds: Iterable[RoundManifest], library: Library) -> DataCard:
    """Compare every round's episodes with the library, and write the run's card.

    Where a manifest names no sources, every sampled token of the round is counted, and the card says so.

    Args:
        folder: of the run.
        config: the run's own.
        rounds: its manifests; taken one after the other, so that an iterator can show how far it is.
        library: what the text is held against.
    """
    files, counted, unweighed = RunFolder(folder), [], []
    for manifest in rounds:
        episodes = [t for t in files.everything(manifest.round) if not t.is_infrastructure] if manifest.round else []
        counted.append(_recounted(manifest, episodes, config, library) if episodes else manifest)
        if episodes and manifest.composition is None:
            unweighed.append(str(manifest.round))
    basis: Basis = "collected" if unweighed else "trained"
    notes = ["made anew from the episodes"]
    if unweighed:
        notes.append(f"rounds {', '.join(unweighed)}: which tokens had a weight is not on record, so all are counted")
    card = build_card(counted, basis=basis, notes=notes)
    write_manifest(folder / CARD_FILE, card)
    return card


def _recounted(
    manifest: RoundManifest, episodes: Sequence[Trajectory], config: TrainConfig, library: Library
) -> RoundManifest:
    """Return the manifest with the round's composition as it is found now, and what was left out as it was then."""
    given, before = config.selection.decontamination, manifest.composition
    rule = given or Decontamination()
    found = find_contamination(episodes, library, rule)
    sources = before.sources if before is not None else _every_token(episodes)
    was_dropping = before is not None and before.decontamination == "dropped"
    composition = compose(episodes, found, rule, is_dropping=was_dropping, sources=sources)
    return manifest.model_copy(update={"composition": _as_it_was(composition, before)})


def _as_it_was(now: Composition, before: Composition | None) -> Composition:
    """Count as left out only what was left out when the run trained."""
    if before is None:
        return now
    then = {overlap.source: overlap.dropped_episodes for overlap in before.overlaps}
    overlaps = tuple(
        o.model_copy(update={"dropped_episodes": min(o.dropped_episodes, then.get(o.source, 0))}) for o in now.overlaps
    )
    return now.model_copy(update={"dropped": before.dropped, "overlaps": overlaps})


def _every_token(episodes: Sequence[Trajectory]) -> tuple[SourceCount, ...]:
    """Count what was sampled; what was injected, and what no ledger holds, is left out."""
    tokens = []
    for trajectory in episodes:
        by_turn: Counter[int] = Counter()
        for index, turn in enumerate(trajectory.turns):
            if turn.decision.ledger is not None and turn.decision.origin.value != "injected":
                by_turn[index] += sum(turn.decision.ledger.mask)
        tokens.append((trajectory.id, by_turn))
    return count_sources(COLLECTED, {t.id: t for t in episodes}, tokens)
