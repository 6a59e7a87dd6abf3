"""grep: the lines that a pattern matches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from envs.terminal.stub.calls import Call, Complaint, Done, Options, joined
from envs.terminal.stub.patterns import Pattern, compiled

__all__ = ["grep"]

LONG = {
    "count": "c", "invert-match": "v", "ignore-case": "i", "line-regexp": "x", "fixed-strings": "F",
    "extended-regexp": "E", "word-regexp": "w", "line-number": "n", "files-with-matches": "l", "quiet": "q",
    "only-matching": "o", "recursive": "r", "regexp": "e", "file": "f", "max-count": "m", "no-filename": "h",
}  # fmt: skip


def grep(call: Call) -> Done:
    """Run grep; as `egrep` and `fgrep` it takes other patterns."""
    words = ({"egrep": ("-E",), "fgrep": ("-F",)}.get(call.name, ())) + call.words
    options = Options(words, "cvixFEGwnlLohHqrRs", "efm", LONG)
    is_deep = bool(options.given.keys() & {"r", "R"})
    patterns, names = _patterns(call, options)
    files = _below(call, names or call.files.names(call.folder)) if is_deep else names or ["-"]
    has_names = "H" in options or ((len(files) > 1 or is_deep) and "h" not in options)
    out, errors, is_any = list[str](), list[str](), False
    for name in files:
        try:
            lines = call.lines([name])
        except Complaint as error:
            errors.append(f"grep: {error}")
            continue
        found = _matching(lines, patterns, options)
        is_any |= bool(found)
        label = ("(standard input)" if name == "-" else name) if has_names else ""
        if options.given.keys() & {"l", "L"}:
            out += [name] * (bool(found) is ("l" in options))
        else:
            out += _shown(found, label, options, patterns)
    is_quiet = "q" in options
    code = 2 if errors and not (is_quiet and is_any) else int(not is_any)
    return Done(b"" if is_quiet else joined(out), b"" if "s" in options else joined(errors), code)


def _patterns(call: Call, options: Options) -> tuple[list[Pattern], list[str]]:
    """Return the patterns, and the names of the files."""
    names = options.names
    written = [line for text in options.given.get("e", ()) for line in text.split("\n")]
    written += [line for name in options.given.get("f", ()) for line in call.lines([name])]
    if not options.given.keys() & {"e", "f"}:
        if not names:
            raise Complaint("no pattern", 2)
        written, names = names[0].split("\n"), names[1:]
    around = "^{}$" if "x" in options else r"(?<!\w){}(?!\w)" if "w" in options else "{}"
    kind = {"is_extended": "E" in options, "is_fixed": "F" in options, "is_case_ignored": "i" in options}
    return [compiled(each, around=around, **kind) for each in written], names


def _matching(lines: Sequence[str], patterns: Sequence[Pattern], options: Options) -> list[tuple[int, str]]:
    """Return the lines that are wanted, with their numbers."""
    is_inverted = "v" in options
    found = [
        (at, line)
        for at, line in enumerate(lines, 1)
        if any(pattern.search(line) for pattern in patterns) is not is_inverted
    ]
    return found[: options.number("m", len(lines))]


def _shown(found: Sequence[tuple[int, str]], name: str, options: Options, patterns: Sequence[Pattern]) -> list[str]:
    start = f"{name}:" if name else ""
    if "c" in options:
        return [f"{start}{len(found)}"]
    lines = []
    for at, line in found:
        head = start + (f"{at}:" if "n" in options else "")
        lines += [head + part for part in _parts(line, patterns)] if "o" in options else [head + line]
    return lines


def _parts(line: str, patterns: Sequence[Pattern]) -> Iterator[str]:
    """Yield what matches in a line, from left to right, the longest first."""
    at = 0
    while at <= len(line):
        found = [match for pattern in patterns if (match := pattern.search(line, at))]
        if not found:
            return
        best = min(found, key=lambda match: (match.start(), -match.end()))
        if best.group():
            yield best.group()
        at = max(best.end(), best.start() + 1)


def _below(call: Call, names: Sequence[str]) -> list[str]:
    """Return the files at and below some names, in order."""
    found = list[str]()
    for name in names:
        node = call.files.find(call.path(name))
        if node is not None and node.kind == "folder":
            start = f"{name.rstrip('/')}/"
            found += _below(call, [start + inner for inner in call.files.names(call.path(name))])
        else:
            found.append(name)
    return found
