"""What an agent is shown of a command: its output, cut as AgentBench cuts it, and how it ended."""

from __future__ import annotations

from sage_gym.sandbox.protocol import Result

__all__ = ["CUT", "shown"]

CUT = "\n[truncated because the output is too long]"
ROOM = 20
"""So many characters less than the limit are kept of what is cut."""


def shown(result: Result, limit: int) -> str:
    """Return the text for an observation. How the command ended is never cut."""
    if result.denial:
        return result.text()
    ending = result.model_copy(update={"stdout": b"", "stderr": b""}).text()
    written = result.text().removesuffix(ending).removesuffix("\n") if ending else result.text()
    if len(written) > limit:
        written = written[: max(1, limit - ROOM)] + CUT
    return "\n".join(part for part in (written, ending) if part) or "[no output]"
