"""What a command wrote, made fit to be shown to an agent and on a terminal."""

from __future__ import annotations

import re

__all__ = ["clip", "neutral"]

ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])|\x9b[0-?]*[ -/]*[@-~]"
)
"""ECMA-48: control sequences, strings (titles, hyperlinks, clipboard) and two-character escapes."""
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and line feed, what turns the direction of writing, and lone surrogates."""


def neutral(text: str) -> str:
    """Drop terminal sequences and write other control characters as numbers, so that none takes effect."""
    text = ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return UNSAFE.sub(lambda found: _written(found.group()), text)


def clip(text: str, limit: int | None) -> str:
    """Keep the beginning and the end of a text that has more than `limit` characters, with a notice between."""
    if limit is None or len(text) <= limit:
        return text
    head = limit - limit // 2
    tail = limit // 2
    return f"{text[:head]}\n[... {len(text) - limit} characters left out ...]\n{text[len(text) - tail :]}"


def _written(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
