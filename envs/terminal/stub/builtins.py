"""What a shell does itself: folders, variables, loops, and running other texts."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from io import BytesIO
from shlex import split

from envs.terminal.stub.arithmetic import NAME, computed
from envs.terminal.stub.awk.values import Text, formatted
from envs.terminal.stub.calls import (
    Call,
    Complaint,
    Done,
    Options,
    Program,
    decoded,
    encoded,
    joined,
    told,
    whole,
)
from envs.terminal.stub.redirections import Streams
from envs.terminal.stub.shell import Builtin, Shell
from envs.terminal.stub.state import Exit, Leave, State
from sage_gym.sandbox.guard.words import unescape

__all__ = ["BUILTINS", "PROGRAMS"]


def _cd(shell: Shell, call: Call, state: State) -> Done:
    if len(call.words) > 1:
        raise Complaint("too many arguments")
    asked = call.words[0] if call.words else state.value("HOME") or "/"
    name = state.variables.get("OLDPWD", state.cwd) if asked == "-" else asked
    with told(name):
        path = posixpath.normpath(posixpath.join(state.cwd, name))
        call.files.names(path)
    state.variables["OLDPWD"], state.cwd = state.cwd, path
    state.variables["PWD"] = path
    return Done(joined([path]) if asked == "-" else b"")


def _exit(shell: Shell, call: Call, state: State) -> Done:
    raise Exit(whole(call.words[0]) & 255 if call.words else state.code)


def _leave(shell: Shell, call: Call, state: State) -> Done:
    if call.name != "return" and call.words not in ((), ("1",)):
        raise Complaint("the stub leaves one loop at a time", 2)
    raise Leave(call.name, whole(call.words[0]) & 255 if call.words and call.name == "return" else state.code)


def _read(shell: Shell, call: Call, state: State) -> Done:
    names = Options(call.words, "r").names or ["REPLY"]
    line, sign = call.stdin.readline(), state.variables.get("IFS")
    text = decoded(line).removesuffix("\n")
    if sign is not None and len(sign) > 1:
        raise Complaint("the stub reads with one separator only", 2)
    words = [text] if sign == "" else (text if sign else text.strip(" \t")).split(sign, len(names) - 1)
    state.variables |= dict(zip(names, [*words, *[""] * len(names)], strict=False))
    return Done(code=int(not line.endswith(b"\n")))


def _shift(shell: Shell, call: Call, state: State) -> Done:
    count = whole(call.words[0]) if call.words else 1
    if not 0 <= count <= len(state.arguments):
        return Done(code=1)
    state.arguments = state.arguments[count:]
    return Done()


def _shell(shell: Shell, call: Call, state: State) -> Done:
    """Run `sh FILE …`, `sh -c TEXT …`, or what is fed to it."""
    words = list(call.words)
    if words and words[0].startswith("-") and words[0] not in ("-c", "-s", "-"):
        raise Complaint(f"the stub does not know the option {words[0]}", 2)
    if words[:1] == ["-c"]:
        if len(words) < 2:
            raise Complaint("-c: option requires an argument", 2)
        return shell.run_apart(words[1], words[2:] or [call.name], call.env, call)
    if words and words[0] not in ("-s", "-"):
        try:
            text = decoded(call.read(words[0]))
        except Complaint as error:
            raise Complaint(str(error), 127 if call.name == "bash" else 2) from error
        return shell.run_apart(text, words, call.env, call)
    return shell.run_apart(decoded(call.stdin.read()), [call.name, *words[1:]], call.env, call)


def _here(shell: Shell, call: Call, state: State) -> Done:
    """Run a file, or the words themselves, in this very shell."""
    if call.name == "eval":
        text = " ".join(call.words)
    elif call.words:
        text = decoded(call.read(call.words[0]))
    else:
        raise Complaint("filename argument required", 2)
    streams = Streams(call.stdin, BytesIO(), BytesIO())
    code = shell.run(text, state, streams)
    return Done(streams.out.getvalue(), streams.errors.getvalue(), code)


def _sleep(shell: Shell, call: Call, state: State) -> Done:
    found = [re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", word) for word in call.words]
    if not found or None in found:
        raise Complaint(f"invalid time interval {' '.join(call.words)!r}")
    units = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
    shell.slept_s += sum(float(each[1]) * units[each[2]] for each in found if each)
    return Done()


def _which(shell: Shell, call: Call, state: State) -> Done:
    words = list(call.words)
    if call.name == "command":
        if words[:1] != ["-v"]:
            return call.run(words, call.stdin.read()) if words else Done()
        words = words[1:]
    known = [word for word in words if word in shell.programs or word in shell.builtins or word in state.functions]
    lines = [word if word in shell.builtins or call.name == "type" else f"/usr/bin/{word}" for word in known]
    return Done(joined(lines), code=int(len(known) < len(words)))


def _echo(call: Call) -> Done:
    words, flags = list(call.words), ""
    while words and re.fullmatch(r"-[neE]+", words[0]):
        flags += words.pop(0)[1:]
    text = " ".join(words)
    if flags.rstrip("n")[-1:] == "e":
        text = unescape(text)
    return Done(encoded(text + "\n" * ("n" not in flags)))


def _printf(call: Call) -> Done:
    if not call.words:
        raise Complaint("usage: printf FORMAT [ARGUMENTS]", 2)
    pattern, values = unescape(call.words[0]), [Text(word) for word in call.words[1:]]
    count = len(re.findall(r"%[^%]", pattern.replace("%%", "")))
    parts = [formatted(pattern, values[:count])]
    while count and len(values) > count:
        values = values[count:]
        parts.append(formatted(pattern, values[:count]))
    return Done(encoded("".join(parts)))


def _xargs(call: Call) -> Done:
    words, options = list(call.words), dict[str, str]()
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word[:2] in ("-n", "-I", "-d"):
            options[word[:2]] = word[2:] or (words.pop(0) if words else "")
        elif word in ("-0", "-r"):
            options[word] = ""
        else:
            raise Complaint(f"the stub does not know the option {word}")
    text = decoded(call.stdin.read())
    sign = "\0" if "-0" in options else options.get("-d", "\n" if "-I" in options else "")
    try:
        items = [part for part in text.split(sign) if part] if sign else split(text)
    except ValueError as error:
        raise Complaint("unmatched quote") from error
    command = words or ["echo"]
    if "-I" in options:
        runs = [[word.replace(options["-I"], item.lstrip()) for word in command] for item in items]
    else:
        size = whole(options["-n"]) if "-n" in options else max(len(items), 1)
        runs = [[*command, *items[at : at + size]] for at in range(0, len(items), max(size, 1))]
        runs = runs or ([] if "-r" in options else [command])
    done = [call.run(run, b"") for run in runs]
    code = 123 if any(each.code for each in done) else 0
    return Done(b"".join(each.stdout for each in done), b"".join(each.stderr for each in done), code)


def _arithmetic(shell: Shell, call: Call, state: State) -> Done:
    return Done(joined([str(computed(call.words[0], state.variables))]))


BUILTINS: Mapping[str, Builtin] = {
    NAME: _arithmetic,
    ".": _here,
    "bash": _shell,
    "break": _leave,
    "cd": _cd,
    "command": _which,
    "continue": _leave,
    "eval": _here,
    "exit": _exit,
    "read": _read,
    "return": _leave,
    "sh": _shell,
    "shift": _shift,
    "sleep": _sleep,
    "source": _here,
    "type": _which,
    "which": _which,
}
PROGRAMS: Mapping[str, Program] = {
    ":": lambda call: Done(),
    "echo": _echo,
    "env": lambda call: Done(joined([f"{name}={value}" for name, value in call.env.items()])),
    "false": lambda call: Done(code=1),
    "printf": _printf,
    "pwd": lambda call: Done(joined([call.folder])),
    "true": lambda call: Done(),
    "xargs": _xargs,
}
