"""Check the generator: `python -m envs.terminal [count] [--sandbox docker]` plays so many tasks of each split.

For each split and kind: the reference solution, doing nothing, and what an episode took. `--sandbox stub` needs no
engine. With `--records FOLDER`, the records there are played instead, and those that their own solution does not bring
to 1 are listed with the reason.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import dataclass, field
from time import perf_counter

from envs.terminal.environment import Terminal
from envs.terminal.experts import expert, play, unattainable
from envs.terminal.synthetic import SPLITS
from sage_gym.sandbox import BACKENDS
from sage_gym.types import Task

__all__ = ["Tally", "main", "measure"]

COUNT = 100
HEAD = ("split", "kind", "tasks", "reference", "nothing", "denials", "ms an episode")
NOTHING = ("done[]", "answer[]", "answer[0]")


@dataclass(slots=True)
class Tally:
    """What was measured on one kind of a split."""

    split: str
    kind: str
    tasks: int = 0
    reference: int = 0
    nothing: int = 0
    denials: int = 0
    elapsed_s: float = 0.0
    hashes: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def row(self) -> tuple[str, ...]:
        """Return the cells of its row."""
        return (
            self.split,
            self.kind,
            str(self.tasks),
            f"{self.reference}/{self.tasks}",
            f"{self.nothing}/{self.tasks}",
            str(self.denials),
            f"{1_000 * self.elapsed_s / self.tasks:.0f}",
        )


def measure(env: Terminal, split: str, count: int) -> list[Tally]:
    """Play the first tasks of a split with the reference and with nothing."""
    tallies: dict[str, Tally] = {}
    for task in env.tasks(split)[:count]:
        _play(env, task, tallies.setdefault(task.family, Tally(split, task.family)))
    return list(tallies.values())


def _play(env: Terminal, task: Task, tally: Tally) -> None:
    start = perf_counter()
    env.reset(options={"task": task})
    reward, seen = play(env, expert(env).action)
    tally.elapsed_s += perf_counter() - start
    tally.denials += env.session.denials
    tally.tasks += 1
    tally.reference += reward == 1.0
    tally.hashes.append(task.hash)
    if reward != 1.0:
        tally.failed.append(f"{task.key}: {seen[:200]!r}")
    env.reset(options={"task": task})
    tally.nothing += play(env, lambda: NOTHING[tally.tasks % len(NOTHING)])[0] != 0.0


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m envs.terminal", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("count", nargs="?", type=int, default=COUNT, help="tasks of each split")
    parser.add_argument("--sandbox", choices=BACKENDS, default="docker")
    parser.add_argument("--records", metavar="FOLDER", help="play AgentBench's records of a folder instead")
    given = parser.parse_args(arguments)
    if given.records is not None:
        return _play_records(given.records, given.sandbox)
    env, start = Terminal(sandbox=given.sandbox, size=max(given.count, 1)), perf_counter()
    tallies = [tally for split in SPLITS for tally in measure(env, split, given.count)]
    env.close()
    rows = [HEAD, *(tally.row() for tally in tallies)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    digest = hashlib.sha256("".join(value for tally in tallies for value in tally.hashes).encode()).hexdigest()[:16]
    count = sum(tally.tasks for tally in tallies)
    print(f"\n{count} tasks on {given.sandbox}; hash of all {digest}; {perf_counter() - start:.0f} s")
    for tally in tallies:
        print(*tally.failed, sep="\n", end="\n" if tally.failed else "")
    return 0 if all(tally.reference == tally.tasks and not tally.nothing for tally in tallies) else 1


def _play_records(folder: str, sandbox: str) -> int:
    """Print which records their own solution does not bring to 1."""
    env = Terminal(records=folder, sandbox=sandbox)
    for split in env.splits()[len(SPLITS) :]:
        found = unattainable(env, split)
        print(f"{split}: {len(found)} of {len(env.tasks(split))} unattainable on {sandbox}")
        for key, reason in found.items():
            print(f"  {key}: {reason}")
    env.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
