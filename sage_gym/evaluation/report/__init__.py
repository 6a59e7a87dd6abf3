"""`report.html`: one self-contained page a run, made from its manifests alone. No script, no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sage_gym.evaluation.report.writing import render, write_whole

if TYPE_CHECKING:
    from sage_gym.evaluation.card import DataCard
    from sage_gym.evaluation.report.page import Page

__all__ = ["render_report", "write_report"]


def write_report(run_folder: Path, yardstick: Path | None = None) -> Path:
    """Write `report.html` into a run folder, all or nothing, and return its path.

    Args:
        run_folder: holds `rounds/*/manifest.json` and, once the run is over, `final.json`.
        yardstick: run folder of the yardstick; by default the neighbour named `<run>-yardstick`, where there is one.

    Raises:
        ValueError: no round has been finished, or a manifest is damaged.
    """
    # scipy and scikit-learn take seconds to load, and the viewer shares this package's words and charts
    from sage_gym.evaluation.card import read_card
    from sage_gym.evaluation.introspection.records import read_faithfulness
    from sage_gym.evaluation.manifest import read_final, read_rounds
    from sage_gym.evaluation.report.introspection import build_part
    from sage_gym.evaluation.report.page import build_page

    rounds = read_rounds(run_folder)
    if not rounds:
        raise ValueError(
            f"{run_folder}: expected rounds/*/manifest.json, got none; run `python -m sage_gym.train` first"
        )
    neighbour = run_folder.with_name(f"{run_folder.name}-yardstick")
    chosen = yardstick or (neighbour if neighbour.is_dir() else None)
    page = build_page(
        rounds,
        read_final(run_folder),
        yardstick_rounds=read_rounds(chosen) if chosen else [],
        yardstick_final=read_final(chosen) if chosen else None,
        introspection=build_part(read_faithfulness(run_folder)),
    )
    return write_whole(run_folder / "report.html", render_report(page, read_card(run_folder)))


def render_report(page: Page, card: DataCard | None = None) -> str:
    """Return the page as HTML, with the run's data card; every text from outside is escaped."""
    return render("report.html.j2", page, card=card)
