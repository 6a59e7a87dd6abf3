"""Programs that run other programs: what they would run."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["SHELLS", "embedded_scripts", "unwrap"]

SHELLS = frozenset({"bash", "sh", "dash", "zsh", "ksh", "ash", "fish", "rbash", "mksh", "tcsh", "csh"})

WRAPPERS: dict[str, tuple[str, int]] = {
    # program: options that take a value, and operands before the command
    "sudo": ("-u -g -h -p -C -T -U -D -R --user --group", 0),
    "doas": ("-u -C", 0),
    "env": ("-u -C --unset --chdir", 0),
    "nohup": ("", 0),
    "nice": ("-n --adjustment", 0),
    "ionice": ("-c -n -p", 0),
    "chrt": ("", 1),
    "taskset": ("", 1),
    "timeout": ("-s -k --signal --kill-after", 1),
    "time": ("-f -o", 0),
    "stdbuf": ("-i -o -e", 0),
    "setsid": ("", 0),
    "unbuffer": ("", 0),
    "command": ("", 0),
    "builtin": ("", 0),
    "exec": ("-a", 0),
    "busybox": ("", 0),
    "toybox": ("", 0),
    "chroot": ("", 1),
    "unshare": ("", 0),
    "nsenter": ("-t", 0),
    "strace": ("-e -o -p -s", 0),
    "ltrace": ("-e -o", 0),
    "fakeroot": ("", 0),
    "firejail": ("", 0),
    "proot": ("-r -b -w", 0),
    "xvfb-run": ("", 0),
    "caffeinate": ("", 0),
    "pkexec": ("--user", 0),
    "coproc": ("", 0),
    "systemd-run": ("-p -u --unit", 0),
}
XARGS_VALUES = frozenset(["-I", "-n", "-P", "-L", "-d", "-s", "-E", "-a", "--max-args", "--max-procs", "--delimiter"])
PARALLEL_VALUES = frozenset({"-j", "--jobs", "-a", "-I", "--colsep", "-N"})


def unwrap(argv: Sequence[str]) -> list[str] | None:
    """Return the call inside a wrapper's (`sudo -u x rm y` gives `rm y`); None where it is no wrapper."""
    name = argv[0].rpartition("/")[2]
    if name not in WRAPPERS:
        return None
    values, skipped = WRAPPERS[name]
    rest = list(argv[1:])
    if name == "env" and rest[:1] in (["-S"], ["--split-string"]):
        return ["sh", "-c", " ".join(rest[1:])]
    if name == "command" and rest[:1] in (["-v"], ["-V"]):
        return None
    rest = _without_options(rest, frozenset(values.split()))
    while name in ("env", "sudo", "doas") and rest and re.match(r"[A-Za-z_]\w*=", rest[0]):
        rest.pop(0)
    return rest[skipped:] or None


def _without_options(rest: list[str], with_value: frozenset[str]) -> list[str]:
    while rest and rest[0].startswith("-") and rest[0] != "-":
        option = rest.pop(0)
        if option == "--":
            break
        if option in with_value and rest:
            rest.pop(0)
    return rest


def from_xargs(argv: Sequence[str], operand: Sequence[str]) -> list[str]:
    """Return what xargs would call with these words from its input."""
    rest = list(argv[1:])
    mark = None
    for at, word in enumerate(rest):
        if word in ("-I", "--replace", "-i"):
            mark = rest[at + 1] if word == "-I" and at + 1 < len(rest) else "{}"
        elif word.startswith("-I") and len(word) > 2:
            mark = word[2:]
    rest = _without_options(rest, XARGS_VALUES) or ["echo"]
    if mark is not None:
        return [word.replace(mark, operand[0] if operand else "") for word in rest]
    return [*rest, *operand]


def from_parallel(argv: Sequence[str], operand: Sequence[str]) -> list[str]:
    """Return what GNU parallel would have a shell run."""
    rest = _without_options(list(argv[1:]), PARALLEL_VALUES)
    if ":::" in rest:
        at = rest.index(":::")
        rest, operand = rest[:at], rest[at + 1 :]
    text = " ".join(rest)
    whole = " ".join(operand)
    return ["sh", "-c", text.replace("{}", whole) if "{}" in text else f"{text} {whole}"]


def from_find(argv: Sequence[str], unknown: str) -> list[list[str]]:
    """Return what find would call by `-exec` and `-delete`, on something below each folder where it begins."""
    rest = list(argv[1:])
    roots: list[str] = []
    while rest and (not rest[0].startswith(("-", "(", "!")) or rest[0] in ("-L", "-H", "-P")):
        word = rest.pop(0)
        roots += [] if word.startswith("-") else [word]
    named = next((rest[at + 1] for at, word in enumerate(rest[:-1]) if word in ("-name", "-iname")), "")
    tail = f"{unknown}/{named}" if named else unknown if _is_narrow(rest) else "*"
    below = [f"{root.rstrip('/')}/{tail}" for root in roots or ["."]]
    calls = [["find-delete", *(roots or ["."]), *(["--some"] if _is_narrow(rest) else [])]] if "-delete" in rest else []
    for at, word in enumerate(rest):
        if word in ("-exec", "-execdir", "-ok", "-okdir"):
            behind = rest[at + 1 :]
            ends = [i for i, w in enumerate(behind) if w in (";", "+", "\\;")]
            call = behind[: ends[0]] if ends else behind
            for path in below:
                calls.append([part.replace("{}", path) for part in call])
        elif word in ("-fprint", "-fprintf", "-fls") and at + 1 < len(rest):
            calls.append(["tee", rest[at + 1]])
    return calls


def _is_narrow(rest: Sequence[str]) -> bool:
    return any(word in rest for word in ("-name", "-iname", "-path", "-regex", "-mtime", "-mmin", "-empty", "-size"))


HANDED_ON = {
    "su": re.compile(r"\0(?:-c|--command)\0([^\0]+)"),
    "runuser": re.compile(r"\0-c\0([^\0]+)"),
    "script": re.compile(r"\0-c\0([^\0]+)"),
    "flock": re.compile(r"\0-c\0([^\0]+)"),
    "tar": re.compile(
        r"\0(?:--(?:checkpoint-action=exec|to-command|use-compress-program|rsh-command|info-script)=|-[IF]\0)([^\0]+)"
    ),
    "sed": re.compile(r"(?:[\0;{}\d$/])e\s+([^\0]+)"),
    "git": re.compile(r"\0(?:alias\.\w+=!|core\.(?:pager|editor|sshCommand|fsmonitor)=|!)([^\0]+)"),
    "vim": re.compile(r"(?:\0|\|\s*|:)\s*(?:silent\s*)?!([^\0]+)|system\(['\"](.+?)['\"]\)"),
    "gdb": re.compile(r"\0(?:shell|!)\s+([^\0]+)"),
    "rsync": re.compile(r"\0(?:-e|--rsh)\0([^\0]+)"),
    "tmux": re.compile(r"\0([^\0]* [^\0]*)"),
}
"""Where a call's words, a NUL before each, hold a text for a shell."""
LIKE = {
    "gtar": "tar",
    "bsdtar": "tar",
    "screen": "tmux",
    "scp": "rsync",
    "sftp": "rsync",
    "lldb": "gdb",
} | dict.fromkeys(("vi", "nvim", "ex", "view", "less", "man"), "vim")
JOINED = {
    # the words behind these, after options that take a value and some operands, are one text for a shell
    "watch": (frozenset({"-n", "--interval"}), 0),
    "ssh": (frozenset(["-p", "-i", "-l", "-o", "-F", "-L", "-R", "-D", "-J"]), 1),
    "flock": (frozenset({"-w", "-E"}), 1),
}


def embedded_scripts(argv: Sequence[str]) -> list[str]:
    """Return the shell texts that a call hands on: `su -c`, `watch`, `tar --checkpoint-action`, `git -c alias`, ..."""
    name = argv[0].rpartition("/")[2]
    found: list[str] = []
    pattern = HANDED_ON.get(LIKE.get(name, name))
    if pattern:
        text = "".join(f"\0{word}" for word in argv[1:])
        found += ["".join(group or "" for group in match.groups()) for match in pattern.finditer(text)]
    if name in JOINED and not found:
        with_value, operands = JOINED[name]
        found.append(" ".join(_without_options(list(argv[1:]), with_value)[operands:]))
    return [text for text in found if text]
