"""Processes that sleep under a name, as `/proc` of the stub has them, and the programs that find and end them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from envs.terminal.stub.calls import Call, Complaint, Done, Options, Program, encoded, joined, whole
from envs.terminal.stub.patterns import compiled
from sage_gym.sandbox.tree import Tree

__all__ = ["PROGRAMS", "start_process"]

FIRST = 100
LONG = {"full": "f", "list-name": "l", "list-full": "a", "exact": "x", "count": "c"}
HARMLESS = ("0", "STOP", "CONT", "18", "19", "SIGSTOP", "SIGCONT", "WINCH", "28", "CHLD", "17")
"""Signals that end no process."""


def start_process(files: Tree, name: str) -> int:
    """Start a process that sleeps under a name, arguments in it included; return its number."""
    pid = max([FIRST, *_running(files)]) + 1
    files.plant(f"/proc/{pid}/cmdline", encoded(f"{name}\0") + b"36000\0")
    files.plant(f"/proc/{pid}/comm", b"sleep\n")
    files.plant(f"/proc/{pid}/stat", encoded(f"{pid} (sleep) S {' '.join(['1'] * 18)} {1000 + pid} 0 0\n"))
    return pid


def _running(files: Tree) -> dict[int, str]:
    """Return the processes: number → name with arguments."""
    if files.find("/proc") is None:
        return {}
    found = {}
    for name in files.names("/proc"):
        if name.isdecimal():
            found[int(name)] = files[f"/proc/{name}/cmdline"].decode().rstrip("\0").replace("\0", " ")
    return dict(sorted(found.items()))


def _signal(words: Sequence[str]) -> tuple[str, list[str]]:
    """Part a signal from the other words."""
    for at, word in enumerate(words):
        if word in ("-s", "--signal") and at + 1 < len(words):
            return words[at + 1], [*words[:at], *words[at + 2 :]]
        if re.fullmatch(r"-(\d+|[A-Z][A-Z0-9]+)", word):
            return word[1:], [*words[:at], *words[at + 1 :]]
    return "TERM", list(words)


def _found(call: Call, words: Sequence[str]) -> tuple[dict[int, str], Options]:
    options = Options(words, "flaxc", "", LONG)
    if len(options.names) != 1:
        raise Complaint("expected one pattern", 2)
    around = "^{}$" if "x" in options else "{}"
    pattern = compiled(options.names[0], is_extended=True, around=around)
    is_full = "f" in options
    running = _running(call.files).items()
    return {pid: name for pid, name in running if pattern.search(name if is_full else "sleep")}, options


def _pgrep(call: Call) -> Done:
    found, options = _found(call, call.words)
    if "c" in options:
        return Done(joined([str(len(found))]), code=int(not found))
    has_name = "a" in options or "l" in options
    lines = [f"{pid} {name if 'a' in options else 'sleep'}" if has_name else str(pid) for pid, name in found.items()]
    return Done(joined(lines), code=int(not found))


def _pidof(call: Call) -> Done:
    words = Options(call.words).names
    found = [pid for pid, name in _running(call.files).items() if name.split()[0] in words or "sleep" in words]
    return Done(joined([" ".join(map(str, reversed(found)))] if found else []), code=int(not found))


def _pkill(call: Call) -> Done:
    signal, words = _signal(call.words)
    found, _ = _found(call, words)
    for pid in found:
        _end(call.files, pid, signal)
    return Done(code=int(not found))


def _kill(call: Call) -> Done:
    signal, words = _signal(call.words)
    errors, running = list[str](), _running(call.files)
    for word in Options(words).names:
        pid = whole(word)
        if pid in running:
            _end(call.files, pid, signal)
        else:
            errors.append(f"bash: kill: ({word}) - No such process")
    return Done(stderr=joined(errors), code=int(bool(errors) or not words))


def _killall(call: Call) -> Done:
    signal, words = _signal(call.words)
    names = Options(words, "q").names
    found = [pid for pid in _running(call.files) if "sleep" in names]
    for pid in found:
        _end(call.files, pid, signal)
    return Done(stderr=b"" if found else b"no process found\n", code=int(not found))


def _end(files: Tree, pid: int, signal: str) -> None:
    if signal not in HARMLESS:
        files.uproot(f"/proc/{pid}")


def _ps(call: Call) -> Done:
    known = ("", "aux", "ax", "-e", "-ef", "-A", "auxww", "-aux")
    if " ".join(call.words) not in known:
        raise Complaint("the stub knows ps alone, and with aux, -e and -ef")
    rows = [f"{pid:5d} ?        00:00:00 {name}" for pid, name in _running(call.files).items()]
    return Done(joined(["  PID TTY          TIME CMD", *rows]))


PROGRAMS: Mapping[str, Program] = {
    "kill": _kill,
    "killall": _killall,
    "pgrep": _pgrep,
    "pidof": _pidof,
    "pkill": _pkill,
    "ps": _ps,
}
