"""A reference solution that reads the hidden plan and what was answered so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from envs.tools.calls import spell
from envs.tools.environment import Tools
from envs.tools.faults import Fault, call_key
from envs.tools.generator import arguments_of, holds
from envs.tools.plan import Act, Plan, field_of, fill, show
from envs.tools.pools import table
from envs.tools.session import Entry, Session

__all__ = ["Expert", "Form", "demonstrator", "expert"]

Form = Literal["short", "json", "reference"]
Read = Callable[[int, Sequence[str]], Any]


class Expert:
    """Gives the next action from any state: the first call of the plan that has no sound answer yet, then the end.

    It keeps nothing between actions, so it goes on from what another began, repeats what timed out or failed, asks
    for fresh data where they were stale, and reads a field under its other name. A side effect it cannot undo.

    Args:
        env: whose plan is read.
        form: how calls are written: `short`, `json`, or `reference` (short, with `$field` for values of answers).
    """

    def __init__(self, env: Tools, form: Form = "short") -> None:
        self._env, self._form = env, form

    def action(self) -> str:
        """Return the next action for the environment's present state."""
        session = self._env.session
        plan = session.puzzle.plan
        found: dict[int, Entry] = {}

        def read(place: int, path: Sequence[str]) -> Any:
            return field_of(found[place].answer, path)

        for place, act in enumerate(plan.acts):
            if not holds(act.when, read):
                continue
            arguments = arguments_of(act, read)
            made = [entry for entry in session.log if entry.key == call_key(act.tool, arguments)]
            sound = next((entry for entry in reversed(made) if entry.is_sound), None)
            if sound is None:
                is_stale = any(entry.fault is Fault.STALE for entry in made)
                return self._spell(act, arguments, found, session, is_stale=is_stale)
            found[place] = sound
        return self._end(plan, read, found, session)

    def _spell(
        self, act: Act, arguments: dict[str, Any], found: dict[int, Entry], session: Session, *, is_stale: bool
    ) -> str:
        if self._form == "reference":
            arguments = {name: fill(value, _named(found, session)) for name, value in act.arguments}
        shown = {name: value if self._form == "json" else show(value) for name, value in arguments.items()}
        return spell(act.tool, shown | ({"refresh": True} if is_stale else {}), is_json=self._form == "json")

    def _end(self, plan: Plan, read: Read, found: dict[int, Entry], session: Session) -> str:
        if plan.answer is None:
            return "done[]"
        return f"answer[{show(fill(plan.answer, _named(found, session) if self._form == 'reference' else read))}]"


def _named(found: dict[int, Entry], session: Session) -> Read:
    """Name a value by reference: by its field alone where that is the latest of the name."""

    def name(place: int, path: Sequence[str]) -> str:
        entry = found[place]
        first = path[0] if path[0] in entry.answer else str(table("renamed")[path[0]])
        latest = next(other for other in reversed(session.log) if first in other.answer)
        number = "" if latest is entry else f"{entry.number}."
        return f"${number}{'.'.join([first, *path[1:]])}"

    return name


def expert(env: Tools) -> Expert:
    """Return the expert of an environment (`make(...).unwrapped`)."""
    return Expert(env)


def demonstrator(env: Tools) -> Expert:
    """Return the expert as a small policy is to imitate it: what an answer held is passed on by reference."""
    return Expert(env, form="reference")
