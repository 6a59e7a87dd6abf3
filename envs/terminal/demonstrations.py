"""Commands that a small policy can imitate: short, without capitals, and with the task's own words apart.

What a task names stands in a command as a word of its own, or between quotes, so that whoever has to copy can point at
it. No option follows such a word, which `-` would be joined to. `(cd FOLDER && …)` leaves the shell where it was, so
that a command which failed can be given again. A command that has lost one of its words does no harm either:
`kill $(pidof )` kills nothing, where `pkill -f` would kill everything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from envs.terminal.problems import Problem

__all__ = ["GRAMMAR", "demonstrated"]

COMMANDS: Mapping[str, str] = {
    "count_lines": "grep -c {level} {path}",
    "most_frequent": "cut -d ' ' -f 1 {path} | sort | uniq -c | sort -n | tail -n 1 | tr -d ' 0-9'",
    "sum_column": "grep {city} {path} | tr , ' ' | awk '{{s+=$3; print s}}' | tail -n 1",
    "set_option": "sed '/^'{key}'=/s/=.*/='{value}'/' -i {path}",
    "merge_lists": "sort -u {one} {two} > {out}",
    "take_column": "tr , ' ' < {path} | awk -v c='{column}' "
    "'!k {{for (i = 1; i < 5; i++) if ($i == c) k = i; next}} {{print $k}}' > {out}",
    "count_files": "(cd {folder} && find -name {pattern} | wc -l)",
    "largest_file": "ls --sort=size {folder} | head -n 1",
    "rename_suffix": '(cd {folder} && for f in {glob} ; do mv $f "${{f%.*}}."{new} ; done)',
    "delete_scratch": "(cd {folder} && find -name {pattern} | xargs rm)",
    "set_mode": "(cd {folder} && chmod {mode} *.sh)",
    "pack_files": "tar -czf {out} {folder}'/'{glob}",
    "read_packed": "tar --to-stdout -xf {path} {member} | wc -l",
    "stop_program": "kill $(pidof {name} )",
    "write_script": "echo '{script}' > {path}",
}
"""By kind, with the fields of its wordings."""
SCRIPTS: Mapping[str, str] = {
    "sum": 'awk "{s+=\\$1; print s}" $1 | tail -n 1',
    "largest": "sort -n $1 | tail -n 1",
    "smallest": "sort -n $1 | head -n 1",
    "number of lines": "wc -l < $1",
    "sum of the even values": 'awk "{s+=\\$1-\\$1%2*\\$1; print s}" $1 | tail -n 1',
}
ABOVE = re.compile(r"number of values above (\d+)")
COUNT_ABOVE = 'awk "\\$1 > {bound}" $1 | wc -l'
AROUND = " ,;.:?!\"'()"
WORD = re.compile(r"[^\s,()'\"\[\]]+")


def demonstrated(problem: Problem) -> str:
    """Return the command that does a generated problem of training's kinds, or whose output is its answer."""
    fields = {name: str(value) for name, value in problem.fields.items()}
    if problem.family == "write_script":
        fields["script"] = _script(fields["work"])
    suffix = fields.get("suffix") or fields.get("old")
    if suffix:
        fields["pattern"], fields["glob"] = _patterns(problem.instruction, suffix)
    return COMMANDS[problem.family].format(**fields)


def _script(work: str) -> str:
    above = ABOVE.fullmatch(work)
    return COUNT_ABOVE.format(bound=above[1]) if above else SCRIPTS[work]


def _patterns(instruction: str, suffix: str) -> tuple[str, str]:
    """Write `*.SUFFIX`, once quoted and once for the shell to expand, with its words as the instruction has them."""
    words = [word.strip(AROUND) for word in instruction.split()]
    is_whole = suffix not in words and f"*.{suffix}" in words
    return (f"'*.{suffix}'", f"*.{suffix}") if is_whole else (f"'*.'{suffix}", f"*'.'{suffix}")


def _grammar() -> frozenset[str]:
    """Return the words that commands have of their own."""
    texts = [re.sub(r"(?<!\{)\{\w+\}(?!\})", " ", text) for text in COMMANDS.values()]
    texts = [text.replace("{{", "{").replace("}}", "}") for text in texts]
    scripts = [*SCRIPTS.values(), COUNT_ABOVE.replace("{bound}", " ")]
    return frozenset(WORD.findall(" ".join([*texts, *scripts, *_patterns("", "")])))


GRAMMAR = _grammar()
"""A policy that imitates quotes all other words from the task where it can."""
