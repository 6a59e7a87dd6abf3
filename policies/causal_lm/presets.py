"""Prompt presets, read from files beside this module: what a chat model is told first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from policies.causal_lm.prompt import Reading
from sage_gym.errors import UnknownNameError

__all__ = ["Preset", "load_preset"]

FOLDER = Path(__file__).with_name("presets")
OPEN, CLOSE = "<reasoning>", "</reasoning>"


@dataclass(frozen=True, slots=True)
class Preset:
    """A system message, and how an answer to it is read.

    `marker` ends the reasoning that comes before the action; empty where the answer is the action alone.
    """

    name: str
    system: str
    marker: str = ""

    def read(self, text: str, *, is_line: bool) -> Reading:
        """Split an answer into plan and action: what is behind the marker, or all of it, or its first line alone."""
        plan, marker, rest = text.partition(self.marker) if self.marker else ("", "", text)
        if self.marker and not marker:
            return Reading(text, "", plan=_between(text))
        return Reading(text, _first_line(rest) if is_line else rest.strip(), plan=_between(plan))


def load_preset(name: str) -> Preset:
    """Read a preset by name.

    Raises:
        UnknownNameError: no file has that name.
    """
    files = {path.stem: path for path in FOLDER.glob("*.txt")}
    if name not in files:
        raise UnknownNameError("prompt preset", name, files)
    system = files[name].read_text(encoding="utf-8").strip()
    return Preset(name, system, marker=CLOSE if CLOSE in system else "")


def _between(text: str) -> str:
    return text.partition(OPEN)[2].strip() if OPEN in text else text.strip()


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0].strip() if lines else ""
