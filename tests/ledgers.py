"""Trajectories with arbitrary ledgers, for the property tests of rows and batches."""

from __future__ import annotations

from hypothesis import strategies as st

from sage_gym.types import Decision, Ledger, Origin, StopReason, Task, Trajectory, Turn

TASK = Task("made/0", "do it", "train", 0, "hash", "made")
IDS = st.integers(1, 30)


@st.composite
def ledgers(draw: st.DrawFn, *, may_continue: bool, temperature: float = 1.0) -> Ledger:
    """A ledger with forced and sampled ids; about half of the sampled ones were restricted."""
    sampled = draw(st.lists(IDS, max_size=4))
    mask = [draw(st.booleans()) for _ in sampled]
    allowed = [
        tuple(sorted({token, *draw(st.sets(IDS, max_size=3))})) if draw(st.booleans()) else None for token in sampled
    ]
    return Ledger(
        prompt_ids=tuple(draw(st.lists(IDS, min_size=1, max_size=5))),
        sampled_ids=tuple(sampled),
        logprobs=tuple(-draw(st.floats(0.0, 5.0, width=32)) if is_sampled else 0.0 for is_sampled in mask),
        mask=tuple(mask),
        allowed=draw(st.sampled_from([tuple(allowed), ()])),
        is_continuation=may_continue and draw(st.booleans()),
        temperature=temperature,
    )


@st.composite
def trajectories(draw: st.DrawFn, *, min_turns: int = 0, has_gaps: bool = True, identifier: str = "t") -> Trajectory:
    """Turns of the policy, injected ones, and (with `has_gaps`) forced ones without a ledger."""
    turns: list[Turn] = []
    has_sequence = False
    for _ in range(draw(st.integers(min_turns, 6))):
        origin = draw(st.sampled_from([Origin.POLICY, Origin.POLICY, Origin.INJECTED]))
        if has_gaps and draw(st.integers(0, 4)) == 0:
            turns.append(Turn("", Decision("x", "x", origin=origin), 0.0))
            has_sequence = False
            continue
        ledger = draw(ledgers(may_continue=has_sequence))
        has_sequence = True
        turns.append(Turn("", Decision("x", "x", ledger=ledger, origin=origin), 0.0))
    success = draw(st.booleans())
    return Trajectory(
        identifier, TASK, tuple(turns), StopReason.TERMINATED, float(success), success, seed=0, policy="made"
    )
