"""What an agent may write: `bash[…]`, `answer[…]`, `done[]`, or AgentBench's `Think: … Act: …`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["HINT", "OUTPUT", "Action", "parse_action"]

HINT = "expected bash[command], answer[text] or done[]"
OUTPUT = "$output"
"""As an answer: what the last command printed. In quotes, `'$output'`, it is that text."""
OWN = re.compile(r"\s*(bash|answer|done)\[(.*)\]", re.DOTALL | re.IGNORECASE)
ACT = re.compile(r"Act:\s*(.+)")
BLOCK = re.compile(r"```bash\n(.*?)\n```", re.DOTALL)
FENCED = re.compile(r"```(?:bash|sh)?\s*\n(.*?)\n?```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Action:
    """A command to run, the final answer, the end without one (`done`), or (`invalid`) why it is none of them.

    With `output`, what the last command printed is the answer.
    """

    kind: Literal["bash", "answer", "output", "done", "invalid"]
    content: str = ""


def parse_action(written: str) -> Action:
    """Read an action; text after the last `]` is ignored.

    In AgentBench's form the last `Act:` that can be read counts, and all blocks of code are run as one text.
    """
    own = OWN.match(written)
    if own:
        return _own(own[1].lower(), own[2])
    for act in reversed(ACT.findall(written)):
        found = _act(act, written)
        if found is not None:
            return found
    return Action("invalid", f"{HINT}, got {written.strip()[:60]!r}")


def _own(kind: str, content: str) -> Action:
    if kind == "done":
        return Action("done")
    if kind == "answer" and content.strip().lower() == OUTPUT:
        return Action("output")
    if kind == "answer":
        return Action("answer", content)
    fenced = FENCED.fullmatch(content.strip())
    return _command(fenced[1] if fenced else content, "between bash[ and ]")


def _act(act: str, written: str) -> Action | None:
    word = act.lower()
    if word.startswith("bash"):
        return _command("\n\n".join(BLOCK.findall(written)), "in a block that opens with ```bash and ends with ```")
    if word.startswith("finish"):
        return Action("done")
    start, end = act.find("("), act.rfind(")")
    if word.startswith("answer") and start != -1 and end != -1:
        return Action("answer", act[start + 1 : end])
    return None


def _command(text: str, place: str) -> Action:
    if not text.strip():
        return Action("invalid", f"expected a command {place}")
    if "\0" in text or not _is_unicode(text):
        return Action("invalid", "expected a command without NUL characters and lone surrogates")
    return Action("bash", text.strip())


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
