"""One problem: its words, what lies in the workspace at first, what is wanted in the end, and a solution."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Answer", "Archive", "Code", "File", "Goal", "Problem", "Record", "Run", "Script", "Wanted"]


@dataclass(frozen=True, slots=True)
class File:
    """A file of the workspace."""

    path: str
    content: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Answer:
    """What is to be answered. A `path` may be written relative, absolute, or as its last part."""

    value: str
    kind: Literal["text", "number", "path"] = "text"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a path of the workspace is to be; what is None or empty is not looked at."""

    path: str
    kind: Literal["file", "folder", "link", "absent"] = "file"
    content: bytes | None = None
    mode: int | None = None
    target: str = ""


@dataclass(frozen=True, slots=True)
class Archive:
    """A tar archive that is to hold just these files; the folders in front of their names do not matter."""

    path: str
    members: tuple[File, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a script that the agent has not seen: the one file that it is given, and what it is to print."""

    content: bytes
    output: str


@dataclass(frozen=True, slots=True)
class Script:
    """A script that is run as `sh SCRIPT FILE` in a workspace that holds nothing else."""

    path: str
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Goal:
    """What a generated task wants; all of it must hold."""

    answer: Answer | None = None
    paths: tuple[Wanted, ...] = ()
    archive: Archive | None = None
    script: Script | None = None
    stopped: tuple[str, ...] = ()
    """Of the problem's programs, those that must have ended; the others must still run where this is not empty."""


@dataclass(frozen=True, slots=True)
class Code:
    """A piece of code of a record."""

    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Record:
    """What AgentBench's format says beyond the description. `answer`, `pattern` and `chain` are alternatives."""

    init: tuple[Code, ...] = ()
    start: Code | None = None
    image: str = ""
    answer: str | None = None
    pattern: str | None = None
    is_stripped: bool = False
    chain: tuple[Code | None, ...] = ()
    """Programs that are given the answer and what those before them printed; None stands for `example`."""
    example: Code | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """A task with what a policy must not see."""

    key: str
    split: str
    instruction: str
    family: str
    goal: Goal | Record
    files: tuple[File, ...] = ()
    programs: tuple[str, ...] = ()
    """Names that programs are started under, arguments included; they sleep."""
    solution: tuple[str, ...] = ()
    """Commands; what the last one prints is the answer where one is wanted."""
    fields: Mapping[str, object] = field(default_factory=dict, hash=False)
    """What a generated instruction names."""

    @property
    def hash(self) -> str:
        """Over the content, so that two processes can compare their tasks."""
        content = repr((self.instruction, self.goal, self.files, self.programs, self.solution))
        return hashlib.sha256(content.encode()).hexdigest()[:16]
