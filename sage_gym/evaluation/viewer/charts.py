"""Forecasts over turns, distributions and bars as inline SVG; colours come from the page's classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from sage_gym.evaluation.report.wording import neutralise
from sage_gym.evaluation.viewer.introspection import DecisionPoint
from sage_gym.types import Trajectory

__all__ = ["Line", "bar", "forecast_chart", "histogram", "line_of"]

WIDTH, HEIGHT = 360.0, 190.0
LEFT, RIGHT, TOP, BOTTOM = 30.0, 10.0, 18.0, 26.0
BINS, BAR_HEIGHT = 24, 30.0


@dataclass(frozen=True, slots=True)
class Line:
    """The forecasts of one trajectory: at the end of each prompt, and at the end of each decision."""

    name: str
    style: str
    """A class: `main`, `rival`, `good` or `bad`."""
    before: tuple[float | None, ...]
    after: tuple[float | None, ...]

    @property
    def has_any(self) -> bool:
        """Whether any forecast was recorded."""
        return any(value is not None for value in (*self.before, *self.after))


def line_of(trajectory: Trajectory, name: str, style: str = "main") -> Line:
    """Return a trajectory's forecasts."""
    decisions = [turn.decision for turn in trajectory.turns]
    return Line(name, style, tuple(d.p_fail_before for d in decisions), tuple(d.p_fail for d in decisions))


def forecast_chart(
    lines: Sequence[Line], points: Sequence[DecisionPoint] = (), odd: Mapping[int, str] | None = None, anchor: str = ""
) -> Markup:
    """Draw p_fail over turns: solid at the decision, dashed before it was sampled.

    Args:
        lines: one or several trajectories; the dashed line is drawn where there is one.
        points: decision points, marked above.
        odd: turns to be marked below, with the reason (invalid, denied).
        anchor: what a turn's heading is called before its number; dots lead there.

    Returns:
        Nothing where no forecast was recorded.
    """
    lines = [line for line in lines if line.has_any]
    if not lines:
        return Markup("")
    turns = max(len(line.after) for line in lines)
    body = [_axes(turns)]
    body += [_mark(point, turns) for point in points]
    body += [_tick(turn, turns, why) for turn, why in (odd or {}).items()]
    drawn = [(line, "at the decision", line.after, "") for line in lines]
    if len(lines) == 1:
        drawn.insert(0, (lines[0], "before the decision", lines[0].before, " before"))
    body += [_path(values, turns, f"line{kind} {line.style}") for line, _, values, kind in drawn]
    for line, where, values, kind in drawn:
        style = f"dot{' hollow' if kind else ''} {line.style}"
        body += _dots(f"{line.name}, {where}", values, turns, style, anchor)
    return _picture("forecast", WIDTH, HEIGHT, "forecast of failure over turns", body)


def histogram(values: NDArray[np.float64], label: str) -> Markup:
    """Draw how values in [0, 1] are distributed; nothing where there are none."""
    values = values[np.isfinite(values)]
    if not len(values):
        return Markup("")
    counts, _ = np.histogram(np.clip(values, 0.0, 1.0), BINS, (0.0, 1.0))
    heights = np.sqrt(counts / counts.max()) * BAR_HEIGHT  # by the root, so that few are seen beside many
    bars = [
        _tag(
            "rect",
            _tag("title", f"{index / BINS:.2f} to {(index + 1) / BINS:.2f}: {count}"),
            x=index * 10 + 0.5,
            y=BAR_HEIGHT - height,
            width=9.0,
            height=height,
        )
        for index, (height, count) in enumerate(zip(heights.tolist(), counts.tolist(), strict=True))
    ]
    return _picture("histogram", BINS * 10.0, BAR_HEIGHT, label, bars, preserveAspectRatio="none")


def bar(share: float | None) -> Markup:
    """Draw a share of 1 as a bar."""
    if share is None:
        return Markup("")
    width = min(1.0, max(0.0, share)) * 100
    whole = _tag("rect", class_="whole", width=100.0, height=8.0)
    part = _tag("rect", width=width, height=8.0)
    return _picture("share", 100.0, 8.0, f"{share:.0%}", [whole, part], preserveAspectRatio="none")


def _tag(name: str, content: str | Markup = "", **attributes: str | float) -> Markup:
    """Return an element; texts are made harmless, numbers are written with a digit after the point."""
    inner = content if isinstance(content, Markup) else escape(neutralise(content))
    written = Markup("").join(
        Markup(' {}="{}"').format(
            key.rstrip("_").replace("_", "-"), f"{value:.1f}" if isinstance(value, float) else value
        )
        for key, value in attributes.items()
    )
    return Markup("<{}{}>{}</{}>").format(name, written, inner, name)


def _picture(style: str, width: float, height: float, label: str, body: Sequence[Markup], **attributes: str) -> Markup:
    inner = Markup("").join(body)
    box = f"0 0 {width:.0f} {height:.0f}"
    return _tag("svg", inner, class_=style, viewBox=box, role="img", aria_label=label, **attributes)


def _x(turn: int, turns: int) -> float:
    return LEFT + 8 + (WIDTH - LEFT - RIGHT - 16) * (turn / (turns - 1) if turns > 1 else 0.5)


def _y(p_fail: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(1.0, max(0.0, p_fail))


def _axes(turns: int) -> Markup:
    drawn = []
    for tick in (0.0, 0.5, 1.0):
        drawn.append(_tag("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=_y(tick), y2=_y(tick)))
        drawn.append(_tag("text", f"{tick:g}", x=LEFT - 6, y=_y(tick) + 3.5, text_anchor="end"))
    for turn in range(0, turns, -(-turns // 12)):
        drawn.append(_tag("text", str(turn + 1), x=_x(turn, turns), y=HEIGHT - 8, text_anchor="middle"))
    return Markup("").join(drawn)


def _mark(point: DecisionPoint, turns: int) -> Markup:
    x = _x(point.turn, turns)
    title = f"decision point, turn {point.turn + 1}, weight {point.weight:.2f}: {point.why}"
    rule = _tag("line", x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM)
    return _tag(
        "g", rule + _tag("path", d=f"M{x:.1f} {TOP - 11:.1f}l6 6l-6 6l-6 -6z") + _tag("title", title), class_="point"
    )


def _tick(turn: int, turns: int, why: str) -> Markup:
    title = _tag("title", f"turn {turn + 1}: {why}")
    return _tag("path", title, class_="odd", d=f"M{_x(turn, turns):.1f} {HEIGHT - BOTTOM:.1f}v-7")


def _path(values: Sequence[float | None], turns: int, style: str) -> Markup:
    """Join what was recorded; a gap stays a gap."""
    steps, is_joined = [], False
    for turn, value in enumerate(values):
        if value is not None:
            steps.append(f"{'L' if is_joined else 'M'}{_x(turn, turns):.1f} {_y(value):.1f}")
        is_joined = value is not None
    return _tag("path", class_=style, d="".join(steps)) if steps else Markup("")


def _dots(name: str, values: Sequence[float | None], turns: int, style: str, anchor: str) -> list[Markup]:
    dots = []
    for turn, value in enumerate(values):
        if value is not None:
            title = _tag("title", f"{name}, turn {turn + 1}: {value:.3f}")
            dot = _tag("circle", title, class_=style, cx=_x(turn, turns), cy=_y(value), r=3.2)
            dots.append(_tag("a", dot, href=f"#{anchor}{turn + 1}") if anchor else dot)
    return dots
