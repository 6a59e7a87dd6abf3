"""A trajectory turn by turn, and the token ledger of a turn."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from sage_gym.evaluation.viewer.charts import bar, forecast_chart, line_of
from sage_gym.evaluation.viewer.index import Index
from sage_gym.evaluation.viewer.introspection import DecisionPoint
from sage_gym.evaluation.viewer.pages.asked import Asked, Crumb, Desk, Page, PageError, Row, describe_row, file_word
from sage_gym.evaluation.viewer.query import Query, read_query, to_link
from sage_gym.evaluation.viewer.tokens import find_tokenizer, prompt_tokens, sampled_tokens
from sage_gym.registry import known, resolve
from sage_gym.types import Candidate, Score, Trajectory, Turn

__all__ = ["Critique", "TurnView", "critiques", "forecast_marks", "show_ledger", "show_trajectory", "view_turns"]

CRITICS = ("critic", "rule")
"""Those that need no model: they are applied to what is shown."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """An alternative: its probability where one was recorded."""

    action: str
    is_chosen: bool
    probability: float | None
    share: Markup
    p_fail: float | None
    score: float | None


@dataclass(frozen=True, slots=True)
class TurnView:
    """A turn as shown; `number` counts from 1."""

    number: int
    turn: Turn
    weighed: tuple[Weighed, ...]
    credits: Mapping[str, float]
    """By critic."""
    denial: str
    point: DecisionPoint | None
    ledger_link: str

    @property
    def is_odd(self) -> bool:
        """Whether the environment could not, or the guard would not, take the action."""
        return self.turn.is_invalid or bool(self.denial)


@dataclass(frozen=True, slots=True)
class Critique:
    """What a critic said of a trajectory."""

    name: str
    score: Score


def show_trajectory(desk: Desk, asked: Asked) -> Page:
    """Show a trajectory."""
    index = desk.index
    at = asked.one("at")
    row = desk.find(index, at)
    trajectory, described = desk.load(index, row), describe_row(index, row)
    query, _ = read_query([pair for pair in asked.pairs if pair[0] != "at"])
    file = index.file_of(row)
    points, problems = desk.introspection(file.run).points(trajectory.id, file.name, len(trajectory.turns))
    scores = critiques(trajectory)
    turns = view_turns(trajectory, scores, points, at)
    components = trajectory.info.get("reward_components")
    content = {
        "row": described,
        "trajectory": trajectory,
        "turns": turns,
        "chart": forecast_chart([line_of(trajectory, "forecast")], points, forecast_marks(turns), "turn-"),
        "points": points,
        "problems": problems,
        "critiques": scores,
        "components": components if isinstance(components, dict) else {},
        "info": _json(trajectory.info),
        "seed": trajectory.seed,
        **_neighbours(desk, index, row, query),
        **_ways_on(index, row, described),
    }
    crumbs = [
        Crumb("runs", "/"),
        Crumb(described.run, to_link("/run", [("run", described.run)])),
        Crumb(f"round {described.round}, {described.part}", content["file_link"]),
        Crumb("group", described.group_link),
        Crumb(f"attempt {described.attempt}"),
    ]
    return Page("trajectory.html.j2", described.task, content, crumbs)


def show_ledger(desk: Desk, asked: Asked) -> Page:
    """Show the tokens of a turn, with what else was recorded of it."""
    index = desk.index
    row = desk.find(index, asked.one("at"))
    trajectory, number = desk.load(index, row), asked.number("turn")
    if not 1 <= number <= len(trajectory.turns):
        raise PageError(404, f"no turn {asked.one('turn')!r}; there are {len(trajectory.turns)}, counted from 1")
    turn = trajectory.turns[number - 1]
    ledger = turn.decision.ledger
    tokenizer = find_tokenizer(desk.library.runs[index.file_of(row).run].folder) if ledger else None
    back = to_link("/trajectory", [("at", asked.one("at"))]) + f"#turn-{number}"
    content = {
        "number": number,
        "ledger": ledger,
        "prompt": prompt_tokens(ledger, tokenizer) if ledger else (),
        "sampled": sampled_tokens(ledger, tokenizer) if ledger else (),
        "has_text": tokenizer is not None,
        "info": _json(turn.info),
        "notes": _json(turn.decision.notes),
        "back": back,
    }
    return Page("ledger.html.j2", f"Turn {number}", content, [Crumb("trajectory", back), Crumb("tokens")])


def critiques(trajectory: Trajectory) -> list[Critique]:
    """Apply the critics that need no model."""
    names = [name for name in CRITICS if name in known("reward")]
    return [Critique(name, resolve("reward", name)().score([trajectory])[0]) for name in names]


def view_turns(
    trajectory: Trajectory, scores: Sequence[Critique], points: Sequence[DecisionPoint] = (), at: str = ""
) -> list[TurnView]:
    """Return a trajectory's turns as they are shown."""
    by_turn = {point.turn: point for point in points}
    return [
        TurnView(
            number=number + 1,
            turn=turn,
            weighed=_weigh(turn),
            credits={one.name: one.score.per_turn[number] for one in scores if number < len(one.score.per_turn)},
            denial=str(turn.info.get("denial") or ""),
            point=by_turn.get(number),
            ledger_link=to_link("/ledger", [("at", at), ("turn", str(number + 1))]),
        )
        for number, turn in enumerate(trajectory.turns)
    ]


def forecast_marks(turns: Sequence[TurnView]) -> dict[int, str]:
    """Return the turns to be marked in a chart, and why."""
    return {one.number - 1: one.denial or "invalid action" for one in turns if one.is_odd}


def _weigh(turn: Turn) -> tuple[Weighed, ...]:
    action, is_open = turn.decision.action, True
    weighed = []
    for candidate in turn.decision.candidates:
        is_chosen = is_open and _is_taken(candidate.action, action)
        is_open = is_open and not is_chosen
        probability = _probability(candidate)
        weighed.append(
            Weighed(candidate.action, is_chosen, probability, bar(probability), candidate.p_fail, candidate.score)
        )
    return tuple(weighed)


def _is_taken(candidate: str, action: str) -> bool:
    """Whether an action is a candidate, or one whose free text (`search[]`) was filled in."""
    return candidate == action or (candidate.endswith("[]") and action.startswith(candidate[:-1]))


def _probability(candidate: Candidate) -> float | None:
    return None if candidate.logprob is None else math.exp(min(0.0, candidate.logprob))


def _neighbours(desk: Desk, index: Index, row: int, query: Query) -> dict[str, Any]:
    """Return the way back to the list, and to the trajectories before and after this one in it."""
    found = desk.searches.run(index, query).rows
    places = (found == row).nonzero()[0]
    context = query.pairs()
    content: dict[str, Any] = {"list_link": to_link("/trajectories", context), "previous": "", "next": "", "place": 0}
    if len(places):
        place = int(places[0])
        content |= {"place": place + 1, "of": len(found)}
        if place > 0:
            content["previous"] = describe_row(index, int(found[place - 1]), context).link
        if place + 1 < len(found):
            content["next"] = describe_row(index, int(found[place + 1]), context).link
    return content


def _ways_on(index: Index, row: int, described: Row) -> dict[str, Any]:
    words = [("run", described.run), ("part", described.part)]
    words += [("round_min", str(described.round)), ("round_max", str(described.round))]
    return {
        "file_link": to_link("/trajectories", words),
        "task_link": to_link("/task", [("task", described.task)]),
        "compare_link": to_link("/compare", [("at", described.at)]) if len(index.of_task(described.task)) > 1 else "",
        "file": index.file_of(row).name,
        "of_word": file_word(index, int(index.file[row])),
    }


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) if value else ""
