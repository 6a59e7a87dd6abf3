"""The guard: what is decided about a command before it is run, and why."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from sage_gym.sandbox.guard.commands import Command
from sage_gym.sandbox.guard.places import Places
from sage_gym.sandbox.guard.rules import Action, Rule, read_rules
from sage_gym.sandbox.guard.shell import read

__all__ = ["Guard", "Verdict"]

MOST_TOLD = 200


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided, by which rule (empty where none spoke), for which call, and why."""

    action: Action = "allow"
    rule: str = ""
    reason: str = ""
    call: str = ""

    @property
    def is_allowed(self) -> bool:
        """Whether the command may run without being asked for."""
        return self.action == "allow"

    def __str__(self) -> str:
        return f"{self.action} ({self.rule}): {self.reason}: {self.call}" if self.rule else self.action


UNREADABLE = Verdict("ask", "unreadable", "this cannot be read as bash, so that nobody can say what it would do")


@dataclass(frozen=True, slots=True)
class Guard:
    """Decides about commands by rules over what they would run; runs nothing.

    Args:
        places: the agent's own folders.
        rules: the first that holds for one of the calls decides about it; the strictest decision counts. What cannot be
            read is asked about.
    """

    places: Places = field(default_factory=Places)
    rules: tuple[Rule, ...] = field(default_factory=read_rules)

    def judge(self, command: str | Sequence[str], cwd: str = "") -> Verdict:
        """Decide about a bash text, or about a call as a list of words.

        Args:
            command: text for a shell, or the words of one call.
            cwd: the folder it would run in, by default the workspace.
        """
        text = command if isinstance(command, str) else shlex.join(command)
        reading = read(text, self.places, cwd)
        verdicts = [self._of(call) for call in reading.commands]
        for action in ("deny", "ask"):
            for verdict in verdicts:
                if verdict.action == action:
                    return verdict
        return Verdict() if reading.is_whole else UNREADABLE

    def _of(self, command: Command) -> Verdict:
        for rule in self.rules:
            if rule.holds(command, self.places):
                return Verdict(rule.action, rule.name, rule.reason, command.told()[:MOST_TOLD])
        return Verdict()
