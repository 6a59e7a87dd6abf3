"""What harmless filters print, worked out without running them: the disguises that a payload comes in."""

from __future__ import annotations

import base64
import binascii
import codecs
import gzip
import re
from collections.abc import Callable, Sequence

from sage_gym.sandbox.guard.places import UNKNOWN
from sage_gym.sandbox.guard.words import unescape

__all__ = ["output_of"]

MOST_TEXT = 100_000


def output_of(argv: Sequence[str], text: str | None, cwd: str) -> str | None:
    """Return what a command prints, given its standard input; None where that cannot be told."""
    name, arguments = argv[0].rpartition("/")[2], list(argv[1:])
    if name in PRINTERS:
        found = PRINTERS[name](arguments, cwd)
    elif name in FILTERS and text is not None:
        try:
            found = FILTERS[name](arguments, text)
        except (ValueError, binascii.Error, OSError, EOFError, re.error):
            return None
    else:
        return None
    return None if found is None else found[:MOST_TEXT]


def _echo(arguments: list[str], cwd: str) -> str:
    del cwd
    flags = ""
    while arguments and re.fullmatch(r"-[neE]+", arguments[0]):
        flags += arguments.pop(0)
    text = " ".join(arguments)
    return (unescape(text) if "e" in flags else text) + ("" if "n" in flags else "\n")


def _printf(arguments: list[str], cwd: str) -> str | None:
    del cwd
    if arguments[:1] == ["--"]:
        arguments = arguments[1:]
    if not arguments or arguments[0] == "-v":
        return None
    shape, values, found = unescape(arguments[0]), arguments[1:], ""
    places = len(re.findall(r"%[-+ #0]*\d*(?:\.\d+)?[sbdqxcoi]", shape))
    while True:
        now, values = (values[:places], values[places:]) if places else ([], [])
        given = iter(now)

        def one(match: re.Match[str], given: object = given) -> str:
            if match.group() == "%%":
                return "%"
            value = next(given, "")  # type: ignore[call-overload]
            return unescape(value) if match.group().endswith("b") else str(value)

        found += re.sub(r"%%|%[-+ #0]*\d*(?:\.\d+)?[sbdqxcoi]", one, shape)
        if not values:
            return found


def _seq(arguments: list[str], cwd: str) -> str | None:
    del cwd
    if not arguments or len(arguments) > 2 or not all(a.lstrip("-").isdecimal() for a in arguments):
        return None
    first, last = (1, int(arguments[0])) if len(arguments) == 1 else (int(arguments[0]), int(arguments[1]))
    return "\n".join(map(str, range(first, min(last, first + 50) + 1))) + "\n"


PRINTERS: dict[str, Callable[[list[str], str], str | None]] = {
    "echo": _echo,
    "printf": _printf,
    "seq": _seq,
    "pwd": lambda _, cwd: f"{cwd}\n",
    "mktemp": lambda arguments, _: f"/tmp/tmp.{UNKNOWN}\n" if "-p" not in arguments else None,
    "whoami": lambda *_: "agent\n",
    "which": lambda arguments, _: f"/usr/bin/{arguments[-1]}\n" if arguments else None,
    "basename": lambda arguments, _: f"{arguments[0].rstrip('/').rpartition('/')[2]}\n" if arguments else None,
    "dirname": lambda arguments, _: f"{arguments[0].rpartition('/')[0] or '.'}\n" if arguments else None,
    "ls": lambda arguments, _: "\n".join(w for w in arguments if w[:1] != "-") + "\n" if "-d" in arguments else None,
    "getent": lambda arguments, _: PEOPLE if arguments == ["passwd"] else None,
    "true": lambda *_: "",
    ":": lambda *_: "",
}


def _base64(arguments: list[str], text: str) -> str:
    if not {"-d", "--decode", "-D", "-di", "-id"} & set(arguments):
        return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode() + "\n"
    return base64.b64decode("".join(text.split())).decode("utf-8", "replace")


def _xxd(arguments: list[str], text: str) -> str | None:
    if not any(a.startswith("-") and "r" in a for a in arguments):
        return None
    return bytes.fromhex("".join(re.findall(r"[0-9a-fA-F]{2}", text))).decode("utf-8", "replace")


def _tr(arguments: list[str], text: str) -> str | None:
    flags = [a for a in arguments if a.startswith("-") and len(a) > 1]
    sets = [_set(unescape(a)) for a in arguments if a not in flags]
    if "-d" in flags and len(sets) == 1:
        return "".join(c for c in text if c not in sets[0])
    if flags or len(sets) != 2 or not sets[1]:
        return None
    second = sets[1] + sets[1][-1] * max(0, len(sets[0]) - len(sets[1]))
    return text.translate(dict(zip(map(ord, sets[0]), second, strict=False)))


def _set(text: str) -> str:
    text = text.replace("[:lower:]", "a-z").replace("[:upper:]", "A-Z").replace("[:space:]", " \t\n")
    return re.sub(r"(.)-(.)", lambda m: "".join(map(chr, range(ord(m.group(1)), ord(m.group(2)) + 1))), text)


def _sed(arguments: list[str], text: str) -> str | None:
    scripts = [a for a in arguments if not a.startswith("-")]
    match = re.fullmatch(r"s(.)(.*?)\1(.*?)\1(g?)", scripts[0]) if len(scripts) == 1 else None
    if match is None:
        return None
    _, old, new, flag = match.groups()
    return "\n".join(re.sub(old, new.replace("\\/", "/"), line, count=0 if flag else 1) for line in text.split("\n"))


PEOPLE = "root:x:0:0:root:/root:/bin/bash\nbob:x:1000:1000::/home/bob:/bin/bash\n"
"""What a list of the users looks like."""


def _grep(arguments: list[str], text: str) -> str | None:
    if len(arguments) != 1:
        return None
    return "".join(f"{line}\n" for line in text.splitlines() if re.search(arguments[0], line))


def _cut(arguments: list[str], text: str) -> str | None:
    fields = re.fullmatch(r"-d ?(.) -f ?(\d+)", " ".join(arguments))
    if fields:
        at = int(fields.group(2)) - 1
        return "\n".join((line.split(fields.group(1)) + [""] * 99)[at] for line in text.splitlines()) + "\n"
    match = re.fullmatch(r"-c\s*(\d+)-(\d*)", " ".join(arguments))
    if match is None:
        return None
    first, last = int(match.group(1)) - 1, int(match.group(2)) if match.group(2) else None
    return "\n".join(line[first:last] for line in text.split("\n"))


def _gzip(arguments: list[str], text: str) -> str | None:
    del arguments
    return gzip.decompress(text.encode("latin-1")).decode("utf-8", "replace")


def _cat(arguments: list[str], text: str) -> str | None:
    return text if not [a for a in arguments if not a.startswith("-") or a == "/dev/stdin"] else None


FILTERS: dict[str, Callable[[list[str], str], str | None]] = {
    "cat": _cat,
    "tee": lambda _, text: text,
    "base64": _base64,
    "base32": lambda _, text: base64.b32decode("".join(text.split())).decode("utf-8", "replace"),
    "rev": lambda _, text: "\n".join(line[::-1] for line in text.split("\n")),
    "tac": lambda _, text: "\n".join(reversed(text.rstrip("\n").split("\n"))) + "\n",
    "xxd": _xxd,
    "tr": _tr,
    "sed": _sed,
    "cut": _cut,
    "grep": _grep,
    "rot13": lambda _, text: codecs.decode(text, "rot13"),
    "gunzip": _gzip,
    "zcat": _gzip,
}
