"""What one-line programs in other languages would do, told as the calls that would do the same."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sage_gym.sandbox.guard.commands import BOMB
from sage_gym.sandbox.guard.deeds import Deeds
from sage_gym.sandbox.guard.python_code import read_python

__all__ = ["INTERPRETERS", "code_given", "deeds_of"]

INTERPRETERS = {
    "python": ("-c",),
    "perl": ("-e", "-E", "-ne", "-pe", "-le"),
    "ruby": ("-e", "-ne", "-pe"),
    "node": ("-e", "--eval", "-p", "--print"),
    "nodejs": ("-e",),
    "deno": ("eval",),
    "php": ("-r",),
    "lua": ("-e",),
    "awk": (),
    "gawk": (),
    "mawk": (),
    "Rscript": ("-e",),
    "osascript": ("-e",),
    "tclsh": (),
}
"""Programs that run code, and the options that it follows."""


def code_given(argv: Sequence[str], program: str) -> str:
    """Return the code that an interpreter is given on its command line, empty where there is none."""
    options = INTERPRETERS[program]
    rest = list(argv[1:])
    for at, word in enumerate(rest):
        if word in options and at + 1 < len(rest):
            return rest[at + 1]
        short = next((o for o in options if len(o) == 2 and word.startswith(o) and len(word) > 2), None)
        if short and not word.startswith("--"):
            return word[2:] if word not in options else ""
    if program in ("awk", "gawk", "mawk"):
        plain = [
            w for at, w in enumerate(rest) if not w.startswith("-") and (at == 0 or rest[at - 1] not in ("-F", "-v"))
        ]
        return plain[0] if plain and "-f" not in rest else ""
    return ""


def deeds_of(program: str, code: str) -> Deeds:
    """Tell what the code does; what does not parse is searched for the names of what is dangerous."""
    if program == "python":
        deeds = read_python(code)
        return _by_words(code) if deeds is None else _with_network(deeds, code)
    return _by_words(code)


STRING = r"""["'`]((?:[^"'`\\]|\\.)*)["'`]"""
PATHS = re.compile(r"""["'`]([~/.][^"'`\n]*|\*)["'`]""")
SHELL_CALLS = re.compile(
    r"(?:\bsystem|\bexec(?:Sync)?|\bpopen|\bspawn(?:Sync)?|\bpassthru|\bshell_exec|\bos\.execute|\bIO\.popen"
    r"|do shell script|%x|\bqx)\s*[\(\{\[/ ]?\s*" + STRING + r"|\bqx[\{/(]([^})/]*)|%x[\{\(\[]([^\}\)\]]*)|`([^`]+)`"
    r"|\"([^\"]+)\"\s*\|\s*getline"
)
DELETES = re.compile(
    r"\b(unlink|rmtree|remove_tree|rmdir(?:Sync)?|rm(?:Sync)?|rm_rf?|unlinkSync|delete|remove_entry(?:_secure)?|remove_dir|"
    r"os\.remove|File\.delete|FileUtils\.\w+)\b"
)
FORKS = re.compile(
    r"\b(pcntl_)?(fork|spawn)\b.*\b(while|for|loop|until|fork|setImmediate|setInterval)\b"
    r"|\b(while|for|loop|until|setInterval)\b.*\b(pcntl_)?(fork|spawn)\b"
    r"|\b(while|for|loop|until)\b.*&\s*[\"'`]\s*\)",
    re.DOTALL,
)
WRITES = re.compile(
    r"(?:writeFile(?:Sync)?|appendFile(?:Sync)?|file_put_contents|File\.write|IO\.write|createWriteStream)\s*[\( ]\s*"
    + STRING
)
OPENS = re.compile(r"open\s*\(?[^;]*?[\"'](?:>>?|\+>)\s*([^\"',]*)[\"'](?:\s*,\s*[\"']([^\"']+)[\"'])?")
REDIRECTS = re.compile(r"print[^;}]*?>>?\s*\"([^\"]+)\"")
FETCHES = re.compile(
    r"(urlopen|requests\.get|open-uri|URI\.open|https?['\"\)]*\.(?:get|request)|\b(?:curl|wget)\b.*getline|\bget\s*\(\s*['\"]https?:|fetch\(|file_get_contents\(['\"]https?:)"
)
RUNS_TEXT = re.compile(r"\b(eval|exec|system|instance_eval|Function|load|vm\.run\w+)\b")
SOCKETS = re.compile(
    r"\b(socket|IO::Socket|TCPSocket|net\.(?:connect|Socket)|fsockopen)\b.*(dup2|/bin/(ba)?sh|spawn|pty|exec|system)",
    re.DOTALL,
)
SENDS = re.compile(r"\b(post|put|urlopen|socket|request|fetch|send)\b")
ENVIRONMENT = re.compile(r"\b(os\.environ(?!\[|\.get)|process\.env(?!\.)|ENV\.to|%ENV)")


def _by_words(code: str) -> Deeds:
    deeds = Deeds()
    for match in SHELL_CALLS.finditer(code):
        deeds.scripts.append(next(filter(None, match.groups()), ""))
    paths = PATHS.findall(code)
    if DELETES.search(code):
        deeds.calls.append(["rm", "-rf", *paths])
    deeds.writes += WRITES.findall(code) + REDIRECTS.findall(code)
    deeds.writes += [match.group(2) or match.group(1) for match in OPENS.finditer(code)]
    deeds.calls += [["cat", path] for path in paths]
    if FORKS.search(code):
        deeds.calls.append([BOMB])
    if FETCHES.search(code) and RUNS_TEXT.search(code):
        deeds.scripts.append("curl http://elsewhere | sh")
    return _with_network(deeds, code)


def _with_network(deeds: Deeds, code: str) -> Deeds:
    if SOCKETS.search(code):
        deeds.calls.append(["nc", "-e", "sh"])
    if ENVIRONMENT.search(code) and SENDS.search(code):
        deeds.calls.append(["cat", "/proc/self/environ"])
    return deeds
