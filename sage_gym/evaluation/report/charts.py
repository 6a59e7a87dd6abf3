"""Small charts as inline SVG. Colours come from the page's CSS classes, so that light and dark both work.

All are drawn 360 units wide, so that their 11-unit type is about 11 pixels on a phone and on a desk alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from sage_gym.evaluation.calibration import ReliabilityRow
    from sage_gym.evaluation.risk import RiskCoverage

__all__ = [
    "Point",
    "Series",
    "Whisker",
    "coverage_chart",
    "forest_chart",
    "line_chart",
    "nice_ticks",
    "reliability_chart",
    "share_chart",
]

WIDTH, HEIGHT = 360.0, 216.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 12.0, 10.0, 30.0


@dataclass(frozen=True, slots=True)
class Point:
    """A value at a round, with its interval where it has one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    is_hollow: bool = False
    """Drawn empty: a student that was not promoted."""


@dataclass(frozen=True, slots=True)
class Series:
    """A line. `style` is a CSS class: `main`, `rival`, `muted` or `faint`."""

    name: str
    points: tuple[Point, ...]
    style: str = "main"


@dataclass(frozen=True, slots=True)
class Whisker:
    """A labelled value with its interval."""

    label: str
    value: float
    low: float
    high: float
    style: str = "main"


@dataclass(frozen=True, slots=True)
class _Scale:
    """Maps [low, high] to [start, end] in drawing units."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def nice_ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Return round numbers from at or below `low` to at or above `high`, about `about` steps apart."""
    if high - low < 1e-12:
        low, high = low - max(0.5, abs(low) * 0.1), high + max(0.5, abs(high) * 0.1)
    raw = (high - low) / about
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(k * step, 10) for k in range(first, last + 1)]


def line_chart(series: Sequence[Series], show: Callable[[float], str], label: str) -> Markup:
    """Draw lines over rounds, with a band where points carry intervals; values that are not finite are left out."""
    kept = [Series(s.name, tuple(p for p in s.points if math.isfinite(p.y)), s.style) for s in series]
    points = [p for s in kept for p in s.points]
    if not points:
        return Markup("")
    reach = [v for p in points for v in (p.y, p.low, p.high) if v is not None]
    ticks = nice_ticks(min(reach), max(reach))
    x_low, x_high = min(p.x for p in points), max(p.x for p in points)
    # one round alone stands in the middle
    x = _Scale(x_low - (x_low == x_high), x_high + (x_low == x_high), LEFT + 8, WIDTH - RIGHT - 8)
    y = _Scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    body = [_grid(ticks, y, show), _rounds(sorted({int(p.x) for p in points}), x)]
    body += [_band(s, x, y) + _line(s, x, y, show) for s in reversed(kept)]
    return _svg(HEIGHT, label, body)


def share_chart(series: Sequence[Series], show: Callable[[float], str], label: str) -> Markup:
    """Draw lines over a share from 0 to 100 %, from 0 up."""
    ticks = nice_ticks(0.0, max(1e-9, *(p.y for s in series for p in s.points)))
    x, y = _Scale(0, 1, LEFT, WIDTH - RIGHT), _Scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    body = [_grid(ticks, y, show)]
    body += [
        f'<text class="tick" x="{x(t):.1f}" y="{HEIGHT - 10:.1f}" text-anchor="middle">{100 * t:.0f} %</text>'
        for t in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    for line in reversed(series):
        path = " ".join(f"{x(p.x):.1f},{y(p.y):.1f}" for p in line.points)
        body.append(
            f'<polyline class="line {line.style}" points="{path}"><title>{escape(line.name)}</title></polyline>'
        )
    return _svg(HEIGHT, label, body)


def forest_chart(
    rows: Sequence[Whisker], show: Callable[[float], str], show_tick: Callable[[float], str], label: str
) -> Markup:
    """Draw values with intervals under each other, each with its label above."""
    ticks = nice_ticks(min(r.low for r in rows), max(r.high for r in rows))
    x = _Scale(ticks[0], ticks[-1], 18, WIDTH - 18)
    height = 40.0 * len(rows) + 26
    body = []
    for tick in ticks:
        body.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="6" y2="{height - 20:.1f}"/>')
        body.append(
            f'<text class="tick" x="{x(tick):.1f}" y="{height - 6:.1f}" text-anchor="middle">{show_tick(tick)}</text>'
        )
    for index, row in enumerate(rows):
        y = 40.0 * index + 28
        text = f"{escape(row.label)} <tspan class='value'>{show(row.value)}</tspan>"
        body.append(f'<text class="name" x="18" y="{y - 12:.1f}">{text}</text>')
        body.append(
            _whisker(row.style, (x(row.low), y), (x(row.high), y))
            + f'<circle class="dot {row.style}" cx="{x(row.value):.1f}" cy="{y:.1f}" r="4.5">'
            f"<title>{escape(row.label)}: {show(row.value)} [{show(row.low)}, {show(row.high)}]</title></circle>"
        )
    return _svg(height, label, body)


def reliability_chart(rows: Sequence[ReliabilityRow], base_rate: float, label: str) -> Markup:
    """Draw observed failures over forecast ones with Wilson intervals; bars below show how many each bin holds."""
    size, bars = 260.0, 44.0
    x, y = _Scale(0, 1, LEFT, WIDTH - RIGHT), _Scale(0, 1, size - 24, TOP)
    show: Callable[[float], str] = lambda value: f"{value:.1f}"  # noqa: E731
    ticks = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    body = [_grid(ticks, y, show)]
    body += [
        f'<text class="tick" x="{x(t):.1f}" y="{size - 10:.1f}" text-anchor="middle">{show(t)}</text>' for t in ticks
    ]
    body.append(f'<line class="diagonal" x1="{x(0)}" y1="{y(0)}" x2="{x(1)}" y2="{y(1)}"/>')
    body.append(f'<line class="base" x1="{x(0)}" x2="{x(1)}" y1="{y(base_rate):.1f}" y2="{y(base_rate):.1f}"/>')
    most = max(row.observed.n for row in rows)
    for row in rows:
        seen, cx = row.observed, x(row.forecast)
        height = bars * seen.n / most
        body.append(
            f'<rect class="bar" x="{x(row.low) + 1:.1f}" y="{size + bars - height:.1f}" '
            f'width="{x(row.high) - x(row.low) - 2:.1f}" height="{height:.1f}"/>'
            f"{_whisker('main', (cx, y(seen.low)), (cx, y(seen.high)))}"
            f'<circle class="dot main" cx="{cx:.1f}" cy="{y(seen.value):.1f}" r="4">'
            f"<title>forecast {row.forecast:.2f}, failed {seen.value:.2f} "
            f"[{seen.low:.2f}, {seen.high:.2f}] of {seen.n}</title></circle>"
        )
    body.append(f'<text class="tick" x="{LEFT - 6}" y="{size + bars:.1f}" text-anchor="end">n ≤ {most}</text>')
    return _svg(size + bars + 4, label, body)


def coverage_chart(curve: RiskCoverage, label: str) -> Markup:
    """Draw the share of failures among the tasks forecast safest, over how many of them are answered, with its band."""
    points = tuple(Point(p.coverage, p.risk.value, p.risk.low, p.risk.high) for p in curve.points)
    ticks = nice_ticks(0.0, max(1e-9, *(p.high for p in points if p.high is not None)))
    x, y = _Scale(0, 1, LEFT, WIDTH - RIGHT), _Scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    series = Series("risk", points)
    path = " ".join(f"{x(p.x):.1f},{y(p.y):.1f}" for p in points)
    body = [_grid(ticks, y, lambda v: f"{100 * v:.0f} %")]
    body += [
        f'<text class="tick" x="{x(t):.1f}" y="{HEIGHT - 10:.1f}" text-anchor="middle">{100 * t:.0f} %</text>'
        for t in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    body.append(f'<line class="base" x1="{x(0)}" x2="{x(1)}" y1="{y(curve.base):.1f}" y2="{y(curve.base):.1f}"/>')
    body.append(f'{_band(series, x, y)}<polyline class="line main" points="{path}"/>')
    return _svg(HEIGHT, label, body)


def _svg(height: float, label: str, body: Sequence[str]) -> Markup:
    # every text inside has been escaped or is a number of ours
    return Markup(
        f'<svg viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" aria-label="{escape(label)}">{"".join(body)}</svg>'
    )


def _whisker(style: str, start: tuple[float, float], end: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = start, end
    return f'<line class="whisker {style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _grid(ticks: Sequence[float], y: _Scale, show: Callable[[float], str]) -> str:
    return "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(t):.1f}" y2="{y(t):.1f}"/>'
        f'<text class="tick" x="{LEFT - 6}" y="{y(t) + 3.5:.1f}" text-anchor="end">{show(t)}</text>'
        for t in ticks
    )


def _rounds(numbers: Sequence[int], x: _Scale) -> str:
    step = math.ceil(len(numbers) / 10)
    return "".join(
        f'<text class="tick" x="{x(n):.1f}" y="{HEIGHT - 10:.1f}" text-anchor="middle">{n}</text>'
        for n in numbers[::step]
    )


def _band(series: Series, x: _Scale, y: _Scale) -> str:
    bounded = [(p.x, p.low, p.high) for p in series.points if p.low is not None and p.high is not None]
    if not bounded:
        return ""
    if len(bounded) == 1:
        at, low, high = bounded[0]
        return _whisker(series.style, (x(at), y(low)), (x(at), y(high)))
    upper = [f"{x(at):.1f},{y(high):.1f}" for at, _, high in bounded]
    lower = [f"{x(at):.1f},{y(low):.1f}" for at, low, _ in reversed(bounded)]
    return f'<polygon class="band {series.style}" points="{" ".join(upper + lower)}"/>'


def _line(series: Series, x: _Scale, y: _Scale, show: Callable[[float], str]) -> str:
    path = " ".join(f"{x(p.x):.1f},{y(p.y):.1f}" for p in series.points)
    dots = "".join(
        f'<circle class="dot {series.style}{" hollow" if p.is_hollow else ""}" '
        f'cx="{x(p.x):.1f}" cy="{y(p.y):.1f}" r="3.5">'
        f"<title>{escape(series.name)}, round {p.x:.0f}: {show(p.y)}{_reach(p, show)}</title></circle>"
        for p in series.points
    )
    return f'<polyline class="line {series.style}" points="{path}"/>{dots}'


def _reach(point: Point, show: Callable[[float], str]) -> str:
    return "" if point.low is None or point.high is None else f" [{show(point.low)}, {show(point.high)}]"
