"""How the parts of an instruction become sentences, in several ways."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

__all__ = ["instruct"]

OPENINGS = ("", "", "Please ", "I need you to ", "One more thing to do: ", "When you have a minute, ")
NEUTRAL = ("", "", "One more thing to do: ", "When you have a minute: ")
"""For what is no plain imperative."""
JOINTS = ("; then ", ", and then ", ". After that ", ", and ")
AFTER = ("Then ", "After that ", "Once this is done, ")


def instruct(leads: Sequence[str], words: Sequence[str], rng: Random) -> str:
    """Return an instruction: what is done first, then what is done with the value."""
    body = rng.choice(JOINTS).join(words)
    if leads:
        return f"{'. '.join(leads)}. {rng.choice(AFTER)}{body}."
    openings = NEUTRAL if body.startswith(("if ", "do ", "compare ")) else OPENINGS
    text = f"{rng.choice(openings)}{body}."
    return text[0].upper() + text[1:]
