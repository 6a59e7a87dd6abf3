"""What a program in another language does, told as the calls that would do the same."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Deeds"]


@dataclass(slots=True)
class Deeds:
    """What a program does, as far as it can be told: calls, texts for a shell, and files it writes."""

    calls: list[list[str]] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
