"""`report.html`: one self-contained page a run, made from its manifests alone. No script, no network."""

from __future__ import annotations

import os
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from sage_gym.evaluation.card import DataCard, read_card
from sage_gym.evaluation.manifest import read_final, read_rounds
from sage_gym.evaluation.report import wording
from sage_gym.evaluation.report.page import Page, build_page

__all__ = ["render_report", "write_report"]


def write_report(run_folder: Path, yardstick: Path | None = None) -> Path:
    """Write `report.html` into a run folder, all or nothing, and return its path.

    Args:
        run_folder: holds `rounds/*/manifest.json` and, once the run is over, `final.json`.
        yardstick: run folder of the yardstick; by default the neighbour named `<run>-yardstick`, where there is one.

    Raises:
        ValueError: no round has been finished, or a manifest is damaged.
    """
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
    )
    path = run_folder / "report.html"
    partial = path.with_name("report.html.partial")
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(render_report(page, read_card(run_folder)))
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
    return path


def render_report(page: Page, card: DataCard | None = None) -> str:
    """Return the page as HTML, with the run's data card; every text from outside is escaped."""
    environment = Environment(
        loader=PackageLoader("sage_gym.evaluation.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= wording.FILTERS
    return environment.get_template("report.html.j2").render(page=page, card=card)
