"""Decision points in words, from the numbers alone: why this one and not that one; and what the test found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sage_gym.evaluation.introspection.naming import SIGNALS
from sage_gym.evaluation.introspection.records import (
    Alternative,
    Difference,
    Faithfulness,
    Introspection,
    SignalTest,
    TurnReading,
)

__all__ = ["SHARE_OF", "explain", "find_test", "say_why", "verdict"]

SHARE_OF = {
    "attention": "of what cutting turns from attention would change, traced back from the outcome to first order",
    "flow": "of the attention that flows back from the outcome (weighted by gradient, a token's mean)",
    "positive": "of the attention that flows back from the outcome (its part that speaks for failure, a token's mean)",
    "rollout": "of the attention that flows back from the outcome (not weighted, a token's mean)",
    "gradient": "of the gradient of the outcome times the input (a token's mean)",
    "entropy": "of the entropy of all decisions",
    "jump": "of all the forecast's jumps",
    "leave_one_out": "of all changes of the forecast when one turn is left out",
}
OTHERWISE = {"closed up": "cut out and closed up", "replaced": "replaced by another episode's"}
SMALL = 0.05
"""Nats; a change of the log-odds below it is called none."""


def say_why(turns: Sequence[TurnReading], turn: int, p_fail: float, signal: str) -> str:
    """Say in words why a turn is a decision point.

    Args:
        turns: of the trajectory.
        turn: which one, from 0.
        p_fail: the forecast at the end.
        signal: which one named it.
    """
    own = turns[turn]
    return " ".join(
        [
            _share(turns, own, signal),
            _counterfactual(own, p_fail),
            *_preference(own),
            *_doubt(own),
            _course(turns, turn),
        ]
    )


def explain(found: Introspection) -> str:
    """Say in words what an episode came to and which turns it hinged on, by weight."""
    outcome = "succeeded" if found.success else "did not succeed"
    opening = (
        f"The episode {outcome} (reward {found.reward:.2f}) after {len(found.turns)} turns; at the end the student "
        f"forecast failure with probability {found.p_fail:.2f}."
    )
    lines = [opening]
    lines += [f"Turn {p.turn + 1}, {found.turns[p.turn].action}: {p.why}" for p in found.points]
    largest = max((t for t in found.turns if t.effect is not None), key=lambda t: abs(t.effect or 0.0))
    if largest.turn not in {point.turn for point in found.points}:
        lines.append(
            f"Leaving out one turn after the other says otherwise: most hangs on turn {largest.turn + 1}, "
            f"{largest.action} (log-odds of failure {_signed(largest.effect)} without it)."
        )
    lines.append(
        "The last two turns stay whatever is taken away, since the outcome is read in the state that they led to."
    )
    return "\n".join(lines)


def _share(turns: Sequence[TurnReading], own: TurnReading, signal: str) -> str:
    if signal == "unusual":
        return (
            "More of the attention that flows back from the outcome (weighted by gradient, a token's mean) reaches it "
            f"than {_percent(own.weight)} of the turns that stand there in other tasks' episodes."
        )
    count = sum(one.weight is not None for one in turns)
    return f"{_percent(own.weight)} {SHARE_OF[signal]}; evenly spread, it would be {_percent(1 / count)}."


def _counterfactual(own: TurnReading, p_fail: float) -> str:
    effect = own.effect or 0.0
    change = f"from {p_fail:.2f} to {own.p_fail_without:.2f} (log-odds {_signed(effect)})"
    if abs(effect) < SMALL:
        return f"Yet without this turn the forecast of failure hardly moves, {change}."
    spoke = "success" if effect > 0 else "failure"
    return f"Without this turn the forecast of failure goes {change}: it speaks for {spoke}."


def _preference(own: TurnReading) -> Iterator[str]:
    if not own.alternatives:
        if own.probability is not None and own.probability > 0.999:
            yield "Nothing else was likely."
        return
    first = own.alternatives[0]
    listed = ", ".join(_weighed(one) for one in own.alternatives)
    if own.probability is None or first.probability is None:
        yield f"Also weighed: {listed}."
    elif own.probability >= first.probability:
        yield f"The policy took it with probability {_probability(own.probability)}, before {listed}."
    else:
        yield f"It was drawn against the odds, with probability {_probability(own.probability)}: likelier was {listed}."


def _weighed(one: Alternative) -> str:
    known = [_probability(one.probability)] if one.probability is not None else []
    known += [f"forecast to fail {one.p_fail:.2f}"] if one.p_fail is not None else []
    return f"{one.action} ({', '.join(known)})" if known else one.action


def _doubt(own: TurnReading) -> Iterator[str]:
    if own.entropy is not None:
        yield f"Entropy there: {own.entropy:.2f} nats."


def _course(turns: Sequence[TurnReading], turn: int) -> str:
    before, after = turns[turn].p_fail_before, turns[turn + 1].p_fail_before
    moved = "stayed at" if abs(after - before) < 0.005 else "rose from" if after > before else "fell from"
    values = f"{after:.2f}" if moved == "stayed at" else f"{before:.2f} to {after:.2f}"
    return f"Over the turn and its answer the forecast of failure {moved} {values}."


def verdict(found: Faithfulness) -> list[str]:
    """Say in plain sentences what the test found of the chosen signal, and where it falls short."""
    own = find_test(found, found.signal)
    assert own is not None  # it is among those that were tested
    name = SIGNALS[found.signal]  # type: ignore[index]
    lines = [
        f"Taking away a turn that is named by {name} moves the forecaster's log-odds by {own.named.value:.2f} nats, "
        f"another turn of the same episode by {own.others.value:.2f}.",
        _against(own.matched, "turns of the same place and like length in other episodes", own.pairs),
    ]
    lines += [_against(own.last, "as many turns at the end", None)] if own.name != "last" else []
    best = find_test(found, "leave_one_out")
    if own.name == "leave_one_out":
        lines.append(
            "Leave-one-out names turns by the very effect that is tested: these two are so by construction and no "
            "evidence. What follows is."
        )
    elif best is not None:
        short = best.named.value - own.named.value
        lines.append(
            f"Plain leave-one-out, which tries each turn, names turns of {best.named.value:.2f} nats: {name} does "
            f"{'worse' if short > 0 else 'no worse'}, by {abs(short):.2f}."
        )
    lines += [_other_way(way.way, way.matched, way.last) for way in found.ways if way.way in OTHERWISE]
    return lines


def find_test(found: Faithfulness, name: str) -> SignalTest | None:
    """Return one signal's test, None where it was not to be had."""
    return next((test for test in found.signals if test.name == name), None)


def _against(one: Difference | None, others: str, pairs: int | None) -> str:
    if one is None:
        return f"Against {others} nothing can be said: there is none to compare with."
    count = f"; {pairs} pairs" if pairs is not None else ""
    numbers = f"{_signed(one.mean.value)} [{_signed(one.mean.low)}, {_signed(one.mean.high)}] nats, {_p(one)}{count}"
    return f"Against {others}: {_judgement(one)} ({numbers}).{_needed(one)}"


def _other_way(way: str, matched: Difference | None, last: Difference | None) -> str:
    parts = [
        f"{name} {_judgement(one)} ({_signed(one.mean.value)}, {_p(one)})"
        for name, one in (("than matched turns", matched), ("than the last turns", last))
        if one is not None
    ]
    return f"With turns {OTHERWISE[way]} instead: {'; '.join(parts) or 'nothing to compare'}."


def _judgement(one: Difference) -> str:
    p = one.p_holm if one.p_holm is not None else one.p
    if p is None or p >= 0.05:
        return "cannot be told apart"
    return "more" if one.mean.value > 0 else "less"


def _needed(one: Difference) -> str:
    return f" About {one.needed} families of tasks would show this difference at p < 0.01." if one.needed else ""


def _p(one: Difference) -> str:
    if one.p is None:
        return "too few for a test"
    p = one.p_holm if one.p_holm is not None else one.p
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.4f}" if p < 0.01 else f"p = {p:.2f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def _probability(value: float) -> str:
    return "above 0.999" if value > 0.999 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}".replace("-", "−")
