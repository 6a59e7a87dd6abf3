"""What the viewer shows of a run's manifests and configuration.

`evaluation.manifest` reads all of a manifest and loads scipy and scikit-learn for it, seconds that opening a page
should not cost. Here the few fields that are shown are read, and whatever else stands there is passed over.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

__all__ = ["FinalSummary", "Manifests", "Measured", "RoundSummary", "read_manifests"]

LONGEST_CONFIG = 100_000


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Measured(_Part):
    """A value with its interval."""

    value: float
    low: float
    high: float


class _Metrics(_Part):
    episodes: int = 0
    success: Measured | None = None
    score: Measured | None = None


class _Promotion(_Part):
    promoted: bool
    reason: str = ""


class _Selection(_Part):
    trajectories: int
    kept: int


class _Auroc(_Part):
    auroc: Measured | None = None


class _Forecast(_Part):
    decision: _Auroc | None = None


class RoundSummary(_Part):
    """A round in a line."""

    round: int
    stage: str = ""
    policy: str = ""
    collected: _Metrics | None = None
    select: _Metrics | None = None
    selection: _Selection | None = None
    promotion: _Promotion | None = None
    forecast: _Forecast | None = None
    tokens_trained: int = 0
    elapsed_s: float = 0.0

    @property
    def promoted(self) -> bool:
        """Whether its student became the incumbent; round 0's is it from the start."""
        return self.promotion.promoted if self.promotion is not None else self.round == 0

    @property
    def auroc(self) -> float | None:
        """Of the forecast at the first decision, on the select split."""
        decision = self.forecast.decision if self.forecast else None
        return decision.auroc.value if decision and decision.auroc else None


class _Paired(_Part):
    tasks: int
    gained: int
    lost: int
    success_difference: Measured
    mcnemar_p: float


class TestSummary(_Part):
    """A test of the last promoted student against round 0."""

    split: str
    decoding: str = ""
    before: _Metrics
    after: _Metrics
    paired: _Paired


class FinalSummary(_Part):
    """How a run ended."""

    environment: str = ""
    policy: str = ""
    seed: int = 0
    last_promoted: int = 0
    tests: tuple[TestSummary, ...] = ()
    elapsed_s: float = 0.0


class Manifests(_Part):
    """What there is; `problems` names manifests that cannot be read."""

    rounds: tuple[RoundSummary, ...] = ()
    final: FinalSummary | None = None
    config: str = ""
    problems: tuple[str, ...] = ()

    @property
    def last_promoted(self) -> RoundSummary | None:
        """The round whose student is the incumbent."""
        return next((one for one in reversed(self.rounds) if one.promoted), None)


def read_manifests(folder: Path) -> Manifests:
    """Read a run folder's manifests, as far as they are there."""
    problems: list[str] = []
    rounds = [_read(path, RoundSummary, problems) for path in sorted(folder.glob("rounds/*/manifest.json"))]
    final = _read(folder / "final.json", FinalSummary, problems)
    kept = tuple(sorted((one for one in rounds if one is not None), key=lambda one: one.round))
    return Manifests(rounds=kept, final=final, config=_config(folder / "config.yaml"), problems=tuple(problems))


M = TypeVar("M", bound=_Part)


def _read(path: Path, model: type[M], problems: list[str]) -> M | None:
    try:
        status = path.stat()
        found: M = _parse(path, model, status.st_mtime_ns, status.st_size)
        return found
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        problems.append(f"{path.name} of {path.parent.name} cannot be read: {str(error).splitlines()[0]}")
        return None


@lru_cache(maxsize=4096)
def _parse(path: Path, model: type[M], mtime_ns: int, size: int) -> M:
    """Parse a file, once for each form of it."""
    return model.model_validate_json(path.read_bytes())


def _config(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(LONGEST_CONFIG)
    except OSError:
        return ""
