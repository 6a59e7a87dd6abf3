"""All runs, and one: its rounds, its test, its files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from sage_gym.evaluation.report.charts import Point, Series, line_chart
from sage_gym.evaluation.viewer.index import Index
from sage_gym.evaluation.viewer.manifests import Manifests, RoundSummary, read_manifests
from sage_gym.evaluation.viewer.pages.asked import Asked, Crumb, Desk, Page, file_word
from sage_gym.evaluation.viewer.pages.lists import Standing, stand
from sage_gym.evaluation.viewer.query import to_link

__all__ = ["show_run", "show_runs"]


@dataclass(frozen=True, slots=True)
class RunCard:
    """A run among others."""

    name: str
    link: str
    list_link: str
    manifests: Manifests
    standing: Standing
    environments: str
    chart: Markup
    skipped: int


@dataclass(frozen=True, slots=True)
class FileCard:
    """A file of trajectories, in numbers from its rows."""

    part: str
    link: str
    pair_link: str
    standing: Standing
    tasks: int


@dataclass(frozen=True, slots=True)
class RoundCard:
    """A round: its manifest, where it has one yet, and what was played in it."""

    number: int
    manifest: RoundSummary | None
    files: tuple[FileCard, ...]


@dataclass(frozen=True, slots=True)
class DamageCard:
    """A damaged line, named."""

    file: str
    line: int
    reason: str


def show_runs(desk: Desk, asked: Asked) -> Page:
    """Show all runs."""
    index = desk.index
    cards = [_run_card(desk, index, name) for name in desk.library.runs]
    return Page("runs.html.j2", "Runs", {"cards": cards, "standing": stand(index, index.rows)}, [Crumb("runs")])


def show_run(desk: Desk, asked: Asked) -> Page:
    """Show one run."""
    index = desk.index
    name = desk.run_name(asked.one("run", next(iter(desk.library.runs))))
    manifests = read_manifests(desk.library.runs[name].folder)
    content = {
        "card": _run_card(desk, index, name),
        "manifests": manifests,
        "folder": str(desk.library.runs[name].folder),
        "rounds": _rounds(index, name, manifests),
        "others": [_file_card(index, number) for number in _files(index, name) if index.files[number].round is None],
        "damage": [
            DamageCard(file.name, one.line, one.reason)
            for file, found in desk.library.damage(name)
            for one in found.damage
        ],
        "unfinished": [(file.name, found.unfinished) for file, found in desk.library.damage(name) if found.unfinished],
        "rivals": [(other, _pair_runs(name, other)) for other in desk.library.runs if other != name],
        "rounds_paired": _pair_runs(name, name),
    }
    return Page("run.html.j2", name, content, [Crumb("runs", "/"), Crumb(name)])


def _run_card(desk: Desk, index: Index, name: str) -> RunCard:
    manifests = read_manifests(desk.library.runs[name].folder)
    rows = index.rows[index.words["run"].is_one_of([name])]
    environment = index.words["environment"]
    present = sorted({environment.values[code] for code in np.unique(environment.codes[rows])})
    return RunCard(
        name=name,
        link=to_link("/run", [("run", name)]),
        list_link=to_link("/trajectories", [("run", name)]),
        manifests=manifests,
        standing=stand(index, rows),
        environments=", ".join(present),
        chart=_chart(manifests),
        skipped=sum(found.skipped for _, found in desk.library.damage(name)),
    )


def _chart(manifests: Manifests) -> Markup:
    points = [
        Point(one.round, found.value, found.low, found.high, is_hollow=not one.promoted)
        for one in manifests.rounds
        if one.select and (found := one.select.success)
    ]
    line = Series("select", tuple(points))
    return line_chart([line], lambda value: f"{100 * value:.0f} %", "success on the select split, by round")


def _rounds(index: Index, name: str, manifests: Manifests) -> list[RoundCard]:
    by_round: dict[int, list[FileCard]] = {one.round: [] for one in manifests.rounds}
    for number in _files(index, name):
        if (round_ := index.files[number].round) is not None:
            by_round.setdefault(round_, []).append(_file_card(index, number))
    stated = {one.round: one for one in manifests.rounds}
    return [RoundCard(number, stated.get(number), tuple(cards)) for number, cards in sorted(by_round.items())]


def _file_card(index: Index, number: int) -> FileCard:
    file, rows = index.files[number], index.rows_of_file(number)
    words = [("run", file.run), ("part", file.part)]
    if file.round is not None:
        words += [("round_min", str(file.round)), ("round_max", str(file.round))]
    return FileCard(
        part=file.part,
        link=to_link("/trajectories", words),
        pair_link=to_link("/paired", [("of", file_word(index, number))]),
        standing=stand(index, rows),
        tasks=len(np.unique(index.words["task"].codes[rows])),
    )


def _files(index: Index, run: str) -> list[int]:
    return [number for number, file in enumerate(index.files) if file.run == run]


def _pair_runs(a: str, b: str) -> str:
    return to_link("/paired", [("run", a), ("run", b)])
