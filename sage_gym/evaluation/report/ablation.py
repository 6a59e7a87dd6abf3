"""`report.html` of an ablation: one self-contained page made from `ablation.json` alone. No script, no network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from sage_gym.evaluation.report.charts import Whisker, forest_chart
from sage_gym.evaluation.report.writing import render, write_whole

if TYPE_CHECKING:
    from sage_gym.evaluation.ablation.figures import Ablation
    from sage_gym.evaluation.intervals import Interval

__all__ = ["render_ablation", "write_ablation_page"]


@dataclass(frozen=True, slots=True)
class AblationPage:
    """Everything on the page."""

    ablation: Ablation
    headline: str
    effects: Markup
    rivals: Markup


def write_ablation_page(folder: Path, ablation: Ablation) -> Path:
    """Write `report.html` into an ablation's folder, all or nothing, and return its path."""
    return write_whole(folder / "report.html", render_ablation(ablation))


def render_ablation(ablation: Ablation) -> str:
    """Return the page as HTML; every text from outside is escaped."""
    page = AblationPage(
        ablation=ablation,
        headline=_headline(ablation),
        effects=_chart([(effect.part, effect.pooled.mean) for effect in ablation.effects], "full minus without a part"),
        rivals=_chart([(rival.variant, rival.pooled.mean) for rival in ablation.rivals], "variant minus yardstick"),
    )
    return render("ablation.html.j2", page)


def _chart(rows: list[tuple[str, Interval]], label: str) -> Markup:
    whiskers = [Whisker(name, 100 * d.value, 100 * d.low, 100 * d.high) for name, d in rows]
    if not whiskers:
        return Markup("")
    return forest_chart(whiskers, lambda v: f"{v:+.1f}", lambda v: f"{v:+.0f}", f"{label}, points of success")


def _headline(ablation: Ablation) -> str:
    by_verdict: dict[str, list[str]] = {}
    for effect in ablation.effects:
        by_verdict.setdefault(effect.verdict, []).append(effect.part)
    found = [f"{verdict}: {', '.join(parts)}" for verdict, parts in sorted(by_verdict.items())]
    return f"{'; '.join(found)}." if found else "No part was taken out."
