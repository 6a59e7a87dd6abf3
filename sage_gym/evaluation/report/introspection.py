"""What the report says of introspection: the test of faithfulness, made by `python -m sage_gym.explain`."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from sage_gym.evaluation.introspection.records import Faithfulness, SignalTest
from sage_gym.evaluation.introspection.wording import find_test, verdict
from sage_gym.evaluation.report.charts import Point, Series, share_chart
from sage_gym.evaluation.report.wording import fixed

__all__ = ["IntrospectionPart", "build_part"]


@dataclass(frozen=True, slots=True)
class IntrospectionPart:
    """The section's figures, sentences and charts."""

    found: Faithfulness
    sentences: tuple[str, ...]
    lines: tuple[Series, ...]
    """Of the charts, for the key."""
    deletion: Markup
    insertion: Markup


def build_part(found: Faithfulness | None) -> IntrospectionPart | None:
    """Compute what the section shows, None where nothing was tested."""
    if found is None:
        return None
    lines = _series(found, "deletion")
    return IntrospectionPart(
        found,
        tuple(verdict(found)),
        tuple(lines),
        share_chart(lines, fixed, "deletion curves"),
        share_chart(_series(found, "insertion"), fixed, "insertion curves"),
    )


def _series(found: Faithfulness, curve: str) -> list[Series]:
    """Return the chosen signal, leave-one-out, and the two baselines, those left out that were not tested."""
    styles = {found.signal: "main", "leave_one_out": "rival", "last": "muted", "random": "faint"}
    tests = {name: find_test(found, name) for name in styles}
    return [Series(test.title, _points(test, curve), styles[name]) for name, test in tests.items() if test is not None]


def _points(test: SignalTest, curve: str) -> tuple[Point, ...]:
    values: tuple[float, ...] = getattr(test, curve)
    return tuple(Point(index / (len(values) - 1), value) for index, value in enumerate(values))
