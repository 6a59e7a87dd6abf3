"""`data_card.json`: where a run's trained tokens came from, and what of its training text is held out elsewhere.

Made from the manifests of the rounds, after each of them; `python -m sage_gym.card` makes it anew from the episodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from sage_gym.errors import RecordError
from sage_gym.evaluation.manifest import RoundManifest, read_rounds, write_manifest
from sage_gym.evaluation.sources import Composition, SourceCount
from sage_gym.selection.verdicts import Overlap, Specimen

__all__ = ["CARD_FILE", "DataCard", "HeldOutRow", "RoundRow", "Share", "build_card", "read_card", "write_card"]

CARD_FILE = "data_card.json"
MOST_SPECIMENS = 5
Basis = Literal["trained", "collected"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Share(_Record):
    """Trained tokens of one kind."""

    name: str
    tokens: int
    share: float


class RoundRow(_Record):
    """A round's training text in numbers."""

    round: int
    stage: str
    episodes: int
    tasks: int
    tokens: int
    dropped: int
    """Episodes left out by decontamination."""


class HeldOutRow(_Record):
    """One benchmark or held-out split against the training text of all rounds; a task counts once a round."""

    source: str
    texts: int
    short_texts: int
    """Of these, looked for as a whole instruction alone."""
    digest: str
    """SHA-256 over the texts."""
    tasks: int
    overlapping_tasks: int
    same_tasks: int
    sharing_tasks: dict[int, int]
    """Words of an n-gram -> tasks that share one, common ones counted as well."""
    episodes: int
    dropped_episodes: int
    reported_episodes: int
    """Trained on although they overlap: of the run's own environment, or because decontamination was off."""
    context_episodes: int
    """Read what overlaps, and learnt to write nothing of it."""
    unread: tuple[str, ...]
    """Files of a benchmark that are of no kind that is read."""
    worst: tuple[Specimen, ...]


class DataCard(_Record):
    """What a run was trained on."""

    format: Literal[1] = 1
    run: str
    policy: str
    environments: tuple[str, ...]
    basis: Basis
    """`trained`: tokens with a weight in a loss. `collected`: every sampled token, where weights are not on record."""
    tokens: int
    episodes: int
    dropped_episodes: int
    rounds: tuple[RoundRow, ...]
    shares: dict[str, tuple[Share, ...]]
    """By environment, split, policy, round, attempt, author and stage."""
    sources: tuple[SourceCount, ...]
    held_out: tuple[HeldOutRow, ...]
    notes: tuple[str, ...] = ()


def build_card(rounds: Sequence[RoundManifest], *, basis: Basis = "trained", notes: Sequence[str] = ()) -> DataCard:
    """Add up the rounds of a run.

    Args:
        rounds: manifests, round 0 among them.
        basis: what the sources of the rounds count.
        notes: for the reader, before those that follow from the rounds.

    Raises:
        ValueError: there is no round.
    """
    if not rounds:
        raise ValueError("expected the manifest of at least one round, got none")
    known = [(m, m.composition) for m in rounds if m.composition is not None]
    sources = tuple(source for _, composition in known for source in composition.sources)
    return DataCard(
        run=rounds[0].run,
        policy=rounds[0].policy,
        environments=tuple(sorted({source.environment for source in sources})),
        basis=basis,
        tokens=sum(source.tokens for source in sources),
        episodes=sum(composition.episodes for _, composition in known),
        dropped_episodes=sum(composition.dropped for _, composition in known),
        rounds=tuple(_round_row(manifest, composition) for manifest, composition in known),
        shares=_shares(sources),
        sources=sources,
        held_out=_held_out([composition for _, composition in known]),
        notes=(*notes, *_notes(rounds)),
    )


def write_card(run_folder: Path) -> Path | None:
    """Write a run's card from its manifests, all or nothing; None where no round is finished.

    A card that was made from the episodes stays, where the manifests say nothing: they are of an earlier version.
    """
    rounds = read_rounds(run_folder)
    path = run_folder / CARD_FILE
    has_account = any(manifest.composition is not None for manifest in rounds)
    if not rounds or (path.exists() and not has_account):
        return path if path.exists() else None
    write_manifest(path, build_card(rounds))
    return path


def read_card(run_folder: Path) -> DataCard | None:
    """Read a run's card, None where it has none.

    Raises:
        RecordError: it is damaged, or of another version.
    """
    path = run_folder / CARD_FILE
    if not path.exists():
        return None
    try:
        return DataCard.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise RecordError(
            f"{path}: expected a data card, got a problem at {where}: {first['msg']}; "
            f"delete the file, and make it anew with python -m sage_gym.card run={run_folder}"
        ) from error


def _round_row(manifest: RoundManifest, composition: Composition) -> RoundRow:
    return RoundRow(
        round=manifest.round,
        stage=manifest.stage,
        episodes=composition.episodes,
        tasks=composition.tasks,
        tokens=sum(source.tokens for source in composition.sources),
        dropped=composition.dropped,
    )


DIMENSIONS: dict[str, Callable[[SourceCount], str]] = {
    "environment": lambda source: source.environment,
    "split": lambda source: source.split,
    "policy": lambda source: source.policy,
    "round": lambda source: str(source.round),
    "attempt": lambda source: source.attempt,
    "author": lambda source: source.author,
    "stage": lambda source: source.stage,
}


def _shares(sources: Sequence[SourceCount]) -> dict[str, tuple[Share, ...]]:
    total = sum(source.tokens for source in sources)
    return {name: tuple(_divide(sources, of, total)) for name, of in DIMENSIONS.items()}


def _divide(sources: Sequence[SourceCount], of: Callable[[SourceCount], str], total: int) -> Iterable[Share]:
    sums: dict[str, int] = {}
    for source in sources:
        sums[of(source)] = sums.get(of(source), 0) + source.tokens
    for name, tokens in sums.items():
        yield Share(name=name, tokens=tokens, share=tokens / total if total else 0.0)


def _held_out(compositions: Sequence[Composition]) -> tuple[HeldOutRow, ...]:
    by_source: dict[str, list[tuple[Composition, Overlap]]] = {}
    for composition in compositions:
        for overlap in composition.overlaps:
            by_source.setdefault(overlap.source, []).append((composition, overlap))
    return tuple(_held_out_row(found) for found in by_source.values())


def _held_out_row(found: Sequence[tuple[Composition, Overlap]]) -> HeldOutRow:
    overlaps = [overlap for _, overlap in found]
    dropped = sum(o.dropped_episodes for composition, o in found if composition.decontamination == "dropped")
    episodes = sum(o.episodes for o in overlaps)
    sizes = sorted({n for o in overlaps for n in o.sharing_tasks})
    last = overlaps[-1]
    return HeldOutRow(
        source=last.source,
        texts=last.held_out_texts,
        short_texts=last.short_texts,
        digest=last.digest,
        tasks=sum(o.training_tasks for o in overlaps),
        overlapping_tasks=sum(o.overlapping_tasks for o in overlaps),
        same_tasks=sum(o.same_tasks for o in overlaps),
        sharing_tasks={n: sum(o.sharing_tasks.get(n, 0) for o in overlaps) for n in sizes},
        episodes=episodes,
        dropped_episodes=dropped,
        reported_episodes=episodes - dropped,
        context_episodes=sum(o.context_episodes for o in overlaps),
        unread=last.unread,
        worst=_worst([specimen for o in overlaps for specimen in o.worst]),
    )


def _worst(specimens: Sequence[Specimen]) -> tuple[Specimen, ...]:
    """Choose the cases with most in common, each held-out text once."""
    ranked = sorted(specimens, key=lambda one: (-one.share, -one.words))
    return tuple({one.held_out: one for one in reversed(ranked)}.values())[::-1][:MOST_SPECIMENS]


def _notes(rounds: Sequence[RoundManifest]) -> list[str]:
    trained = [manifest for manifest in rounds if manifest.round > 0]
    missing = [str(manifest.round) for manifest in trained if manifest.composition is None]
    notes = []
    if missing:
        notes.append(
            f"rounds {', '.join(missing)} were trained by a version that kept no account of its data; "
            "python -m sage_gym.card makes one from the episodes"
        )
    overlaps = [overlap for manifest in trained if manifest.composition for overlap in manifest.composition.overlaps]
    for source in dict.fromkeys(overlap.source for overlap in overlaps if overlap.same_tasks):
        same = sum(overlap.same_tasks for overlap in overlaps if overlap.source == source)
        notes.append(f"{same} tasks of {source} were trained on: results on it are worth nothing")
    return notes
