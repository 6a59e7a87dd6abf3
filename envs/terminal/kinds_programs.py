"""Kinds of tasks about running programs, and about scripts to write or to mend."""

from __future__ import annotations

from dataclasses import dataclass

from envs.terminal.drafts import Draft, Draw, Kind, lines
from envs.terminal.problems import Answer, File, Goal, Run, Script

__all__ = ["KINDS"]

RUNS = 3


def _stop_program(draw: Draw) -> Draft:
    names = [f"{noun}-{draw.rng.randint(10, 99)}" for noun in draw.nouns(3)]
    return Draft(
        {"name": names[1]},
        Goal(stopped=(names[1],)),
        [f"pkill -f '^{names[1]} '"],
        programs=draw.rng.sample(names, 3),
    )


def _program_port(draw: Draw) -> Draft:
    names, ports = [f"{noun}-server" for noun in draw.nouns(3)], draw.numbers(3, 2_000, 9_999)
    return Draft(
        {"name": names[0]},
        Goal(Answer(str(ports[0]), "number")),
        [f"pgrep -a -f '^{names[0]} ' | sed 's/.*--port=\\([0-9]*\\).*/\\1/'"],
        programs=draw.rng.sample([f"{name} --port={port}" for name, port in zip(names, ports, strict=True)], 3),
    )


@dataclass(frozen=True, slots=True)
class Work:
    """What a script does with a file of numbers, one a line: in words, in awk, and in awk with a fault.

    No file of several numbers, all above 0, gives the same with the fault as without.
    """

    words: str
    awk: str
    faulty: str

    def of(self, numbers: list[int], bound: int) -> int:
        """Compute what it should print."""
        found = {
            "sum": sum(numbers),
            "largest": max(numbers),
            "smallest": min(numbers),
            "number of lines": len(numbers),
            f"number of values above {bound}": sum(number > bound for number in numbers),
            "sum of the even values": sum(number for number in numbers if number % 2 == 0),
        }
        return found[self.words.format(bound=bound)]


WORKS = (
    Work("sum", "{{ s += $1 }} END {{ print s + 0 }}", "{{ s = $1 }} END {{ print s + 0 }}"),
    Work("largest", "NR == 1 || $1 > m {{ m = $1 }} END {{ print m }}", "$1 < m {{ m = $1 }} END {{ print m + 0 }}"),
    Work("smallest", "NR == 1 || $1 < m {{ m = $1 }} END {{ print m }}", "$1 < m {{ m = $1 }} END {{ print m + 0 }}"),
    Work("number of lines", "END {{ print NR }}", "END {{ print NR - 1 }}"),
    Work("number of values above {bound}", "$1 > {bound} {{ c++ }} END {{ print c + 0 }}",
         "$1 > {bound} {{ c++ }} END {{ print c + 1 }}"),
    Work("sum of the even values", "$1 % 2 == 0 {{ s += $1 }} END {{ print s + 0 }}",
         "$1 % 2 == 0 {{ s += $1 }} END {{ print s + 1 }}"),
)  # fmt: skip


def _source(awk: str, bound: int) -> str:
    return f"awk '{awk.format(bound=bound)}' \"$1\"\n"


def _runs(draw: Draw, work: Work, bound: int) -> tuple[Run, ...]:
    drawn = [draw.numbers(draw.rng.randint(5, 12), 1, 100) for _ in range(RUNS)]
    return tuple(Run(lines(numbers), str(work.of(numbers, bound))) for numbers in drawn)


def _write_script(draw: Draw) -> Draft:
    path, work, bound = f"{draw.noun()}.sh", draw.rng.choice(WORKS), draw.rng.randint(20, 80)
    return Draft(
        {"path": path, "work": work.words.format(bound=bound)},
        Goal(script=Script(path, _runs(draw, work, bound))),
        [f"cat > {path} <<'END'\n{_source(work.awk, bound)}END"],
    )


def _repair_script(draw: Draw) -> Draft:
    path, work, bound = f"{draw.noun()}.sh", draw.rng.choice(WORKS), draw.rng.randint(20, 80)
    return Draft(
        {"path": path, "work": work.words.format(bound=bound)},
        Goal(script=Script(path, _runs(draw, work, bound))),
        [f"cat > {path} <<'END'\n{_source(work.awk, bound)}END"],
        [File(path, _source(work.faulty, bound).encode(), 0o755)],
    )


KINDS = (
    Kind("stop_program", "seen", _stop_program),
    Kind("write_script", "seen", _write_script),
    Kind("program_port", "test_kinds", _program_port),
    Kind("repair_script", "test_kinds", _repair_script),
)
