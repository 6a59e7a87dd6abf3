"""One episode: what was called, what came of it, and how it ended."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from envs.tools.calls import Call, Ending, Mistake, parse
from envs.tools.company import Company
from envs.tools.faults import Fault, Faults, call_key
from envs.tools.generator import Puzzle
from envs.tools.plan import show
from envs.tools.references import UnknownReferenceError, paths, resolve
from envs.tools.schema import Answer, Tool, ToolError
from envs.tools.toolbox import TOOLS
from sage_gym.sandbox.text import neutral
from sage_gym.types import View

__all__ = ["Entry", "Session"]

BETWEEN = re.compile(r"[\s()*+,/'=]+")
MOST_REFERENCES = 40
"""Of each answer that a view names."""
PREFIXES = (*(f"{name}[" for name in TOOLS), "answer[", "done[")


@dataclass(frozen=True, slots=True)
class Entry:
    """A call that was well formed, and its answer; `$<number>.` refers to it."""

    number: int
    tool: str
    arguments: Mapping[str, Any]
    answer: Answer
    fault: Fault | None = None
    is_error: bool = False
    key: str = field(init=False)
    """What identifies the call."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", call_key(self.tool, self.arguments))

    @property
    def is_sound(self) -> bool:
        """Whether the answer can be built on."""
        return not self.is_error and self.fault in (None, Fault.RENAMED)


@dataclass(slots=True)
class Session:
    """Mutable, one an episode. `observation` and `news` tell what an action led to, `message` why it was invalid."""

    puzzle: Puzzle
    company: Company
    faults: Faults
    log: list[Entry] = field(default_factory=list)
    ending: Ending | None = None
    observation: str = ""
    news: str = ""
    message: str = ""

    def act(self, action: str) -> None:
        """Carry out an action; whatever is wrong with it leaves the company as it was."""
        read = parse(action)
        self.message = ""
        if isinstance(read, Ending):
            read = self._end(read)
        if isinstance(read, Ending):
            self.ending = read
            self._tell("The episode is over.", "over")
        elif isinstance(read, Mistake):
            self._refuse(read)
        else:
            checked = self._check(read)
            if isinstance(checked, Mistake):
                self._refuse(checked)
            else:
                self._call(read.tool, checked)

    def view(self) -> View:
        """Give the state in brief."""
        if self.ending is not None:
            return View("done", self.news)
        return View("tools", self.news, (), PREFIXES, tuple(self._references()))

    def _references(self) -> Iterator[str]:
        """Name what earlier answers hold: by the field alone, and by the answer's number too."""
        for entry in self.log:
            if not entry.is_error:
                for name, _ in islice(paths(entry.answer), MOST_REFERENCES):
                    yield from (f"${name}", f"${entry.number}.{name}")

    def faults_met(self) -> list[Entry]:
        """List the calls that met a fault."""
        return [entry for entry in self.log if entry.fault is not None]

    def faults_recovered(self, *, is_success: bool) -> list[Entry]:
        """List the faults that were got over: the call made again to a sound answer, the renamed value used later.

        What a renamed field held may be used without being passed on (in a comparison): success counts for it then.
        """
        return [entry for entry in self.faults_met() if self._is_recovered(entry, is_success=is_success)]

    def _is_recovered(self, entry: Entry, *, is_success: bool) -> bool:
        later = self.log[entry.number :]
        if entry.fault is not Fault.RENAMED:
            return any(other.key == entry.key and other.is_sound for other in later)
        values = {show(value) for _, value in paths(entry.answer)}
        passed_on = [show(value) for other in later for value in other.arguments.values()]
        return is_success or any(not values.isdisjoint({text, *BETWEEN.split(text)}) for text in passed_on)

    def _end(self, ending: Ending) -> Ending | Mistake:
        """Put references into the answer; one to nothing does not end the episode."""
        if ending.answer is None:
            return ending
        try:
            return Ending(show(resolve(ending.answer, self._answers())))
        except UnknownReferenceError as error:
            return Mistake((f"the answer: {error}",))

    def _answers(self) -> list[Answer]:
        return [entry.answer for entry in self.log]

    def _check(self, call: Call) -> dict[str, Any] | Mistake:
        """Put references in, and bring short arguments into their types; then see what is wrong."""
        arguments, problems = {}, []
        for name, written in call.arguments.items():
            value = written
            if isinstance(written, str):
                try:
                    value = resolve(written, self._answers())
                except UnknownReferenceError as error:
                    problems.append(f"{name!r}: {error}")
                    continue
            is_written = call.is_json and value == written
            arguments[name] = value if is_written else call.tool.read(name, value)
        problems += call.tool.check(arguments) if not problems else []
        return Mistake(tuple(problems), call.tool) if problems else arguments

    def _call(self, tool: Tool[Any], arguments: Mapping[str, Any]) -> None:
        fault = self.faults.before(tool, arguments)
        is_error = fault in (Fault.TIMEOUT, Fault.ERROR)
        if fault in (Fault.TIMEOUT, Fault.ERROR):
            answer = self.faults.failure(fault, tool.name)
        else:
            try:
                answer = tool.run(self.company, arguments)
            except ToolError as error:
                answer, fault, is_error = {"error": "refused", "message": str(error)}, None, True
        if fault in (Fault.STALE, Fault.RENAMED):
            spoiled = self.faults.spoil(fault, call_key(tool.name, arguments), answer)
            answer, fault = (answer, None) if spoiled is None else (spoiled, fault)
        if tool.is_refreshable and not is_error and fault is not Fault.STALE:
            answer = {**answer, "as_of": self.faults.today}
        entry = Entry(len(self.log) + 1, tool.name, dict(arguments), answer, fault, is_error)
        self.log.append(entry)
        self._tell(
            f"[{entry.number}] {tool.name}: {json.dumps(answer, ensure_ascii=False)}",
            f"{entry.number} {_brief(answer, is_stale=fault is Fault.STALE)}",
        )

    def _refuse(self, mistake: Mistake) -> None:
        said, tool = neutral("; ".join(mistake.problems)), mistake.tool
        self.message = said
        if tool is None:
            self._tell(f"Invalid action: {said}.", f"invalid: {said.partition('; tools:')[0]}")
            return
        schema = json.dumps(tool.schema()["function"], ensure_ascii=False)
        self._tell(
            f"Invalid call of {tool.name}: {said}.\nShort form: {tool.signature}\nSchema: {schema}",
            f"invalid {tool.signature}: {said}",
        )

    def _tell(self, observation: str, news: str) -> None:
        """Set what is shown; control codes and halves of characters that a policy has written take no effect."""
        self.observation, self.news = neutral(observation), neutral(news)


def _brief(answer: Any, *, is_stale: bool = True) -> str:
    """Tell an answer in few words: `email ada@x.example, city Bergen`; lists with the place of each item."""
    if isinstance(answer, Mapping):
        shown = {name: value for name, value in answer.items() if is_stale or name != "as_of"}
        return ", ".join(f"{name} {_brief(value)}" for name, value in shown.items())
    if isinstance(answer, list):
        return "; ".join(f"{place} {_brief(value)}" for place, value in enumerate(answer)) or "none"
    return show(answer)
