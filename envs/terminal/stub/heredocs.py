"""Here-documents taken out of a bash text before it is parsed: what stands around them is read more surely then."""

from __future__ import annotations

import re
from dataclasses import dataclass

from envs.terminal.stub.arithmetic import in_quotes
from envs.terminal.stub.calls import Complaint
from sage_gym.sandbox.guard.syntax import Node, descendants, parse

__all__ = ["FOLDER", "Heredoc", "body_of", "take_out"]

FOLDER = "/dev/heredoc/"
"""Where the text reads them from instead: `cat <<END` becomes `cat < /dev/heredoc/0`."""
START = re.compile(r"<<(-?)[ \t]*(?:'([^'\n]+)'|\"([^\"\n]+)\"|(\\?)([\w.+-]+))(?=[\s;|&)<>]|$)")
BACKQUOTED = re.compile(r"(?<!\\)`([^`]*)`")


@dataclass(frozen=True, slots=True)
class Heredoc:
    """Its text, and whether what stands in it is plain, variables and all."""

    text: str
    is_plain: bool


def take_out(text: str, first: int = 0) -> tuple[str, list[Heredoc]]:
    """Return the text with a file in the place of each here-document, numbered from `first`, and the documents."""
    out, found, waiting = list[str](), list[Heredoc](), list[tuple[str, bool, bool]]()
    lines, quote = text.split("\n"), ""
    while lines:
        line = lines.pop(0)
        written, starts, quote = _line(line, quote, first + len(found) + len(waiting))
        out.append(written)
        waiting += starts
        while waiting and not quote:
            end, is_plain, has_tabs = waiting.pop(0)
            body = list[str]()
            while lines and (lines[0].lstrip("\t") if has_tabs else lines[0]) != end:
                body.append(lines.pop(0).lstrip("\t") if has_tabs else lines.pop(0))
            lines = lines[1:]
            found.append(Heredoc("".join(f"{each}\n" for each in body), is_plain))
    return "\n".join(out), found


def body_of(text: str) -> Node:
    """Return what the parser makes of a here-document in which variables are put in.

    Raises:
        Complaint: it does not know what to make of it.
    """
    end = "END_OF_HERE_DOCUMENT"
    kept = text.replace('\\"', '\\\\"')  # which the words' reader would take for an escaped quote
    kept = in_quotes(BACKQUOTED.sub(r"$(\1)", kept))  # the former of which the parser does not see here
    root = parse(f"cat <<{end}\n{kept}{end}\n")
    body = next(descendants(root, "heredoc_body"), None)
    if body is None or root.has_error:
        raise Complaint("the stub's shell does not know what stands in this here-document", 2)
    return body


def _line(line: str, quote: str, count: int) -> tuple[str, list[tuple[str, bool, bool]], str]:
    """Rewrite a line; return what it begins, and the quote that is open at its end."""
    out, starts, at = "", list[tuple[str, bool, bool]](), 0
    while at < len(line):
        sign = line[at]
        begun = None if quote or line.startswith("<<<", at) else START.match(line, at)
        if begun:
            end = begun[2] or begun[3] or begun[5]
            starts.append((end, bool(begun[2] or begun[3] or begun[4]), begun[1] == "-"))
            out += f"< {FOLDER}{count + len(starts) - 1}"
            at = begun.end()
            continue
        if sign == "\\" and quote != "'":
            out += line[at : at + 2]
            at += 2
            continue
        if not quote and sign == "#" and (at == 0 or line[at - 1] in " \t;"):
            return out + line[at:], starts, quote
        if not quote and line.startswith("<<<", at):
            out, at = out + "<<<", at + 3
            continue
        quote = "" if sign == quote else sign if not quote and sign in "'\"" else quote
        out += sign
        at += 1
    return out, starts, quote
