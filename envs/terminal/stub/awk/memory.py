"""What a program of awk knows while it runs: variables, arrays, the present record."""

from __future__ import annotations

from dataclasses import dataclass, field

from envs.terminal.stub.awk.values import Text, Value, written
from envs.terminal.stub.calls import Complaint
from envs.terminal.stub.patterns import compiled

__all__ = ["Memory", "parted"]

MOST_STEPS = 200_000
MOST_WRITTEN = 1 << 20
MOST_FIELDS = 10_000
AT_FIRST: dict[str, Value] = {"FS": " ", "OFS": " ", "ORS": "\n", "SUBSEP": "\x1c", "NR": 0.0, "NF": 0.0}


@dataclass(slots=True)
class Memory:
    """Read and changed by the functions that a program was made into."""

    variables: dict[str, Value] = field(default_factory=lambda: dict(AT_FIRST))
    arrays: dict[str, dict[str, Value]] = field(default_factory=dict)
    fields: list[str] = field(default_factory=lambda: [""])
    """The record itself, then its fields."""
    out: list[str] = field(default_factory=list)
    _steps: int = 0
    _written: int = 0

    def step(self) -> None:
        """Count a step.

        Raises:
            Complaint: there were too many.
        """
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise Complaint("the stub stops a program that takes so long", 2)

    def say(self, text: str) -> None:
        """Write a text.

        Raises:
            Complaint: there was too much.
        """
        self._written += len(text)
        if self._written > MOST_WRITTEN:
            raise Complaint("the stub stops a program that writes so much", 2)
        self.out.append(text)

    def take(self, record: str) -> None:
        """Make a record the present one."""
        self.fields = [record, *parted(record, written(self.variables["FS"]))]
        self.variables["NF"] = float(len(self.fields) - 1)

    def field(self, at: float) -> Value:
        """Return a field; empty where there is none."""
        index = self._index(at)
        return Text(self.fields[index] if index < len(self.fields) else "")

    def set_field(self, at: float, value: Value) -> None:
        """Change a field, and so the record."""
        index = self._index(at)
        if index == 0:
            self.take(written(value))
            return
        self.fields += [""] * (index + 1 - len(self.fields))
        self.fields[index] = written(value)
        self.fields[0] = written(self.variables["OFS"]).join(self.fields[1:])
        self.variables["NF"] = float(len(self.fields) - 1)

    def get(self, name: str) -> Value:
        """Return a variable; empty where it was never set."""
        return self.variables.get(name, Text(""))

    def set(self, name: str, value: Value) -> None:
        """Give a variable a value."""
        if name == "NF":
            raise Complaint("the stub does not change NF", 2)
        self.variables[name] = value

    @staticmethod
    def _index(at: float) -> int:
        if not 0 <= at < MOST_FIELDS:
            raise Complaint(f"expected a field from 0 to {MOST_FIELDS - 1}, got {written(at)}", 2)
        return int(at)


def parted(text: str, sign: str) -> list[str]:
    """Part a text at a separator: blanks for a single blank, else a sign or a regular expression."""
    if sign == " ":
        return text.split()
    if not text or len(sign) == 1:
        return text.split(sign) if text else []
    pattern, found, at = compiled(sign, is_extended=True), list[str](), 0
    while (match := pattern.search(text, at)) is not None and match.group():
        found.append(text[at : match.start()])
        at = match.end()
    return [*found, text[at:]]
