"""Programs that read lines and write lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from envs.terminal.stub.calls import (
    Call,
    Complaint,
    Done,
    Options,
    Program,
    decoded,
    encoded,
    joined,
    split_lines,
    told,
    whole,
)

__all__ = ["PROGRAMS"]

MOST_LINES = 100_000


def _cat(call: Call) -> Done:
    options = Options(call.words, "nue")
    found, end = call.each(options.names)
    data = b"".join(content for _, content in found)
    if "n" in options:
        data = b"".join(b"%6d\t%b" % (at, line) for at, line in enumerate(_lines(data), 1))
    return replace(end, stdout=data)


def _cut_short(words: Sequence[str]) -> list[str]:
    """Write `-5` as `-n 5` where it comes first."""
    return [f"-n{words[0][1:]}", *words[1:]] if words and re.fullmatch(r"-\d+", words[0]) else list(words)


def _head(call: Call) -> Done:
    options = Options(_cut_short(call.words), "q", "nc", {"lines": "n", "bytes": "c"})
    written = options.value("c" if "c" in options else "n", "10")
    count = whole(written)
    return _parts(call, options, slice(count) if count or not written.startswith("-") else slice(None))


def _tail(call: Call) -> Done:
    options = Options(_cut_short(call.words), "q", "nc", {"lines": "n", "bytes": "c"})
    letter = "c" if "c" in options else "n"
    written = options.value(letter, "10")
    count, is_from = abs(whole(written)), written.startswith("+")
    return _parts(
        call, options, slice(max(count - 1, 0), None) if is_from else slice(-count, None) if count else slice(0)
    )


def _parts(call: Call, options: Options, kept: slice) -> Done:
    """Write some bytes or lines of each file."""
    found, end = call.each(options.names)
    parts = [content[kept] if "c" in options else b"".join(_lines(content)[kept]) for _, content in found]
    return replace(end, stdout=_with_heads(options.names, [name for name, _ in found], parts))


def _lines(part: bytes) -> list[bytes]:
    """Return the lines of a text with their line feeds."""
    return re.findall(rb"[^\n]*\n|[^\n]+", part)


def _with_heads(asked: Sequence[str], names: Sequence[str], parts: Sequence[bytes]) -> bytes:
    if len(asked) < 2:
        return b"".join(parts)
    return b"\n".join(encoded(f"==> {name} <==\n") + part for name, part in zip(names, parts, strict=True))


def _uniq(call: Call) -> Done:
    options = Options(call.words, "cdui", long={"count": "c", "repeated": "d", "unique": "u", "ignore-case": "i"})
    key: Callable[[str], str] = str.casefold if "i" in options else str
    found = []
    for _, same in groupby(call.lines(options.names[:1]), key):
        group = list(same)
        if ("d" not in options or len(group) > 1) and ("u" not in options or len(group) == 1):
            found.append(f"{len(group):7d} {group[0]}" if "c" in options else group[0])
    return Done(joined(found))


def _wc(call: Call) -> Done:
    options = Options(call.words, "lwcm", long={"lines": "l", "words": "w", "bytes": "c", "chars": "m"})
    shown = [letter for letter in "lwmc" if letter in options] or ["l", "w", "c"]
    rows, size = list[tuple[list[int], str]](), 0
    found, end = call.each(options.names)
    for name, data in found:
        counts = {"l": data.count(b"\n"), "w": len(data.split()), "c": len(data), "m": len(decoded(data))}
        rows.append(([counts[letter] for letter in shown], name))
        size += len(data)
    if len(options.names) > 1:
        rows.append(([sum(column) for column in zip(*(row for row, _ in rows), strict=True)], "total"))
    is_plain = len(shown) == 1 and len(rows) == 1
    width = 1 if is_plain else len(str(size)) if options.names and "-" not in options.names else 7
    cells = [[*(f"{n:{width}d}" for n in row), *([name] if name != "-" else [])] for row, name in rows]
    return replace(end, stdout=joined([" ".join(row) for row in cells]))


def _ranges(written: str) -> Callable[[int], bool]:
    """Read a list such as `1,3-5,7-`."""
    spans = list[tuple[int, float]]()
    for part in written.split(","):
        found = re.fullmatch(r"(\d*)(-?)(\d*)", part)
        if not found or not (found[1] or found[3]):
            raise Complaint(f"invalid field list: {written!r}")
        first = whole(found[1] or "1")
        spans.append((first, first if not found[2] else whole(found[3]) if found[3] else float("inf")))
    return lambda at: any(low <= at <= high for low, high in spans)


def _cut(call: Call) -> Done:
    options = Options(call.words, "s", "dfcb", {"delimiter": "d", "fields": "f", "characters": "c", "bytes": "b"})
    letter = next((letter for letter in "fcb" if letter in options), "")
    if not letter:
        raise Complaint("you must specify a list of bytes, characters, or fields")
    is_in, sign = _ranges(options.value(letter)), options.value("d", "\t")
    if len(sign) != 1:
        raise Complaint("the delimiter must be a single character")
    found = list[str]()
    for line in call.lines(options.names):
        if letter != "f":
            found.append("".join(each for at, each in enumerate(line, 1) if is_in(at)))
        elif sign in line:
            found.append(sign.join(each for at, each in enumerate(line.split(sign), 1) if is_in(at)))
        elif "s" not in options:
            found.append(line)
    return Done(joined(found))


CLASSES = {
    "lower": "abcdefghijklmnopqrstuvwxyz", "upper": "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "digit": "0123456789",
    "space": " \t\n\v\f\r", "blank": " \t", "punct": "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
}  # fmt: skip
CLASSES["alpha"] = CLASSES["upper"] + CLASSES["lower"]
CLASSES["alnum"] = CLASSES["digit"] + CLASSES["alpha"]
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "0": "\0"}


def _signs(written: str) -> str:
    """Write out a set of `tr`."""
    out, at = "", 0
    while at < len(written):
        named = re.match(r"\[:(\w+):\]", written[at:])
        if named:
            if named[1] not in CLASSES:
                raise Complaint(f"invalid character class {named[1]!r}")
            out, at = out + CLASSES[named[1]], at + named.end()
        elif written[at] == "\\" and at + 1 < len(written):
            out, at = out + ESCAPES.get(written[at + 1], written[at + 1]), at + 2
        elif (span := re.match(r"([ -~])-([ -~])", written[at:])) is not None:
            out, at = out + "".join(map(chr, range(ord(span[1]), ord(span[2]) + 1))), at + 3
        else:
            out, at = out + written[at], at + 1
    return out


def _tr(call: Call) -> Done:
    options = Options(call.words, "dscC", long={"delete": "d", "squeeze-repeats": "s", "complement": "c"})
    sets = [_signs(name) for name in options.names]
    wanted = 1 if "d" in options or ("s" in options and len(sets) == 1) else 2
    if len(sets) != wanted or (wanted == 2 and not sets[1]):
        raise Complaint(f"expected {wanted} set{'s' * (wanted > 1)} of characters, got {len(sets)}")
    text = call.stdin.read().decode("utf-8", "surrogateescape")
    first = set(text) - set(sets[0]) if options.given.keys() & {"c", "C"} else sets[0]
    if "d" in options:
        return Done(encoded("".join(sign for sign in text if sign not in first)))
    if wanted == 2:
        last = sets[1]
        pairs = {sign: last[min(at, len(last) - 1)] for at, sign in enumerate(first)}
        text = "".join(pairs.get(sign, sign) for sign in text)
    if "s" in options:
        squeezed = sets[-1] if wanted == 2 else first
        text = "".join(sign for at, sign in enumerate(text) if not at or sign not in squeezed or sign != text[at - 1])
    return Done(encoded(text))


def _tee(call: Call) -> Done:
    options = Options(call.words, "a")
    data = call.stdin.read()
    for name in options.names:
        with told(name):
            before = call.read(name) if "a" in options and call.files.find(call.path(name)) else b""
            call.files.put(call.path(name), before + data)
    return Done(data)


def _paste(call: Call) -> Done:
    options = Options(call.words, "s", "d", {"serial": "s", "delimiters": "d"})
    sign = options.value("d", "\t")[:1]
    columns = [split_lines(text) for _, text in call.texts(options.names)]
    count = options.names.count("-")
    if count > 1 and "s" not in options:  # they take lines in turn
        read = columns[options.names.index("-")]
        shares = iter([read[at::count] for at in range(count)])
        columns = [next(shares) if name == "-" else column for name, column in zip(options.names, columns, strict=True)]
    if "s" in options:
        return Done(joined([sign.join(column) for column in columns]))
    rows = max(map(len, columns))
    return Done(joined([sign.join(c[at] if at < len(c) else "" for c in columns) for at in range(rows)]))


def _join(call: Call) -> Done:
    options = Options(call.words, "", "t12")
    if len(options.names) != 2:
        raise Complaint("expected two files")
    sign = options.value("t")
    keys = [options.number(letter, 1) - 1 for letter in "12"]
    left, right = ([line.split(sign or None) for line in call.lines([name])] for name in options.names)
    mine = [row[keys[0]] if keys[0] < len(row) else "" for row in left]
    others = [row[keys[1]] if keys[1] < len(row) else "" for row in right]
    found, at, start = list[str](), 0, 0
    while at < len(mine) and start < len(others):
        if mine[at] > others[start]:
            start += 1
            continue
        end = start
        while end < len(others) and others[end] == mine[at]:
            row, other = left[at], right[end]
            rest = [*row[: keys[0]], *row[keys[0] + 1 :], *other[: keys[1]], *other[keys[1] + 1 :]]
            found.append((sign or " ").join([mine[at], *rest]))
            end += 1
            if len(found) > MOST_LINES:
                raise Complaint("more lines than the stub joins")
        at += 1
    return _in_order(call, joined(found), dict(zip(options.names, (mine, others), strict=True)))


def _in_order(call: Call, stdout: bytes, read: Mapping[str, Sequence[str]]) -> Done:
    """End a program that needs its files sorted, and says where they are not."""
    errors = [f"{call.name}: {name}: is not sorted" for name, lines in read.items() if list(lines) != sorted(lines)]
    return Done(stdout, joined(errors), int(bool(errors)))


def _comm(call: Call) -> Done:
    options = Options(call.words, "123")
    if len(options.names) != 2:
        raise Complaint("expected two files")
    read = {name: call.lines([name]) for name in options.names}
    one, other = (read[name][::-1] for name in options.names)
    hidden, found = options.given, list[str]()
    tabs = {"2": "\t" * ("1" not in hidden), "3": "\t" * (("1" not in hidden) + ("2" not in hidden))}
    while one or other:
        if one and other and one[-1] == other[-1]:
            column, line = "3", one.pop()
            other.pop()
        else:
            column = "1" if one and (not other or one[-1] < other[-1]) else "2"
            line = (one if column == "1" else other).pop()
        if column not in hidden:
            found.append(tabs.get(column, "") + line)
    return _in_order(call, joined(found), read)


def _seq(call: Call) -> Done:
    numbers = [whole(word) for word in call.words]
    if not 1 <= len(numbers) <= 3:
        raise Complaint("expected a last number, and before it a first one and a step")
    first, step, last = numbers if len(numbers) == 3 else (numbers[0] if len(numbers) == 2 else 1, 1, numbers[-1])
    if step == 0 or abs(last - first) // abs(step) > MOST_LINES:
        raise Complaint("more numbers than the stub counts")
    return Done(joined([str(n) for n in range(first, last + (1 if step > 0 else -1), step)]))


PROGRAMS: Mapping[str, Program] = {
    "cat": _cat,
    "comm": _comm,
    "cut": _cut,
    "head": _head,
    "join": _join,
    "paste": _paste,
    "rev": lambda call: Done(joined([line[::-1] for line in call.lines(Options(call.words).names)])),
    "seq": _seq,
    "tac": lambda call: Done(joined(call.lines(Options(call.words).names)[::-1])),
    "tail": _tail,
    "tee": _tee,
    "tr": _tr,
    "uniq": _uniq,
    "wc": _wc,
}
