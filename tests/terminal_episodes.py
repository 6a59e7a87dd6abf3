"""Episodes of the terminal environment on a task of a wanted kind, and ways to do a task not quite."""

from __future__ import annotations

from random import Random

from envs.terminal.drafts import Draw
from envs.terminal.environment import Terminal
from envs.terminal.problems import Problem
from envs.terminal.synthetic import KINDS, SPLITS, kinds_of

NEARLY = {
    "rename_suffix": "for f in {folder}/*.{old}; do cp $f ${{f%.{old}}}.{new}; done",
    "delete_scratch": "find {folder} -type f -exec rm {{}} +",
    "set_mode": "{solution}; chmod 777 {folder}/*",
    "pack_files": "tar -czf {out} {folder}",
    "sort_into_folders": "cd {folder}; mkdir {one} {two}; for e in {one} {two}; do cp *.$e $e; done",
    "make_link": "cp -r {folder}/$(ls {folder} | sort -n | tail -n 1) {link}",
    "unpack_part": "mkdir {folder}; tar -xf {path} -C {folder}",
    "set_option": "sed -i 's/{key}=.*/{key}={value}/' {path}",
    "merge_lists": "cat {one} {two} | sort > {out}",
    "take_column": "{solution}; sed -i 1d {out}",
    "missing_lines": "grep -x -F -f {two} {one} > {out}",
    "join_tables": "sort -o {one} {one}; join -t , {one} {two} > {out}",
    "stop_program": "pkill sleep",
    "write_script": "echo 'cat $1' > {path}",
    "repair_script": "chmod 755 {path}",
}
"""Kind → a command that a task of it is nearly done with. What is in braces are the task's own words."""
LINKED = ("set_mode", "rename_suffix", "set_option")
"""Kinds whose work is in a folder: nothing in it counts where the folder became a link."""


def begin(env: Terminal, kind: str) -> Problem:
    split = next(split for split in SPLITS if kind in {each.name for each in kinds_of(split)})
    env.reset(options={"task": next(task for task in env.tasks(split) if task.family == kind)})
    return env.session.problem


def nearly(problem: Problem) -> str:
    """Return a command that a problem is nearly done with."""
    _, split, number = problem.key.split("/")
    kind = next(kind for kind in KINDS if kind.name == problem.family)
    fields = kind.make(Draw(Random(f"terminal/{split}/0/{int(number)}"), split.removesuffix("_kinds"))).fields
    return NEARLY[kind.name].format(**fields, solution="; ".join(problem.solution))


def ended(env: Terminal, *commands: str, end: str = "done[]") -> float:
    for command in commands:
        env.step(f"bash[{command}]")
    return float(env.step(end)[1])
