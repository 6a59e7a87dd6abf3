"""What counts as right, and looks at a sandbox: the parts that need no process."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest

from envs.terminal import inspection
from envs.terminal.inspection import Program, end_everything, is_running, look
from envs.terminal.judging import is_answer_right, is_archive_right, judge
from envs.terminal.problems import Answer, Archive, File, Goal, Wanted
from envs.terminal.stub.sandbox import stub_sandbox
from sage_gym.errors import SandboxFileError
from sage_gym.sandbox import Result
from sage_gym.sandbox.stub import Said, StubSandbox

MEMBERS = (File("a/x.txt", b"one\n"), File("a/y.txt", b"two\n"))


def packed(*entries: tuple[str, bytes], kind: bytes = tarfile.REGTYPE, size: int | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.size, entry.type, entry.linkname = len(content), kind, "/etc/passwd"
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(out.getvalue())


@pytest.mark.parametrize(
    ("wanted", "given", "is_right"),
    [
        (Answer("42", "number"), " 42 ", True),
        (Answer("42", "number"), "42.0", True),
        (Answer("42", "number"), "'42'", True),
        (Answer("42", "number"), "42 lines", False),
        (Answer("42", "number"), "", False),
        (Answer("42", "number"), "nan", False),
        (Answer("42", "number"), None, False),
        (Answer("a/b.txt", "path"), "b.txt", True),
        (Answer("a/b.txt", "path"), "./a/b.txt", True),
        (Answer("a/b.txt", "path"), "/workspace/a/b.txt", True),
        (Answer("a/b.txt", "path"), "txt", False),
        (Answer("a/b.txt", "path"), "c/b.txt", False),
        (Answer("a/b.txt", "path"), "", False),
        (Answer("a/b.txt", "path"), "/b.txt", False),
        (Answer("ada"), '"ada"\n', True),
        (Answer("ada"), "adam", False),
    ],
)
def test_answers_are_compared_by_what_they_are(wanted: Answer, given: str | None, is_right: bool) -> None:
    assert is_answer_right(wanted, given) is is_right


def test_an_archive_may_have_folders_in_front_but_no_other_files() -> None:
    wanted = Archive("out.tar.gz", MEMBERS)
    assert is_archive_right(wanted, packed(("x.txt", b"one\n"), ("y.txt", b"two\n")))
    assert is_archive_right(wanted, packed(("b/y.txt", b"two\n"), ("b/x.txt", b"one\n")))
    assert not is_archive_right(wanted, packed(("x.txt", b"one\n")))
    assert not is_archive_right(wanted, packed(("x.txt", b"one\n"), ("y.txt", b"two\n"), ("z.txt", b"")))
    assert not is_archive_right(wanted, packed(("x.txt", b"one\n"), ("y.txt", b"other\n")))


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"not gzip",
        gzip.compress(b"not tar" * 200),
        packed(("x.txt", b"one\n"), ("y.txt", b"two\n"))[:-12],
        packed(("../x.txt", b"one\n"), ("y.txt", b"two\n")),
        packed(("/x.txt", b"one\n"), ("y.txt", b"two\n")),
        packed(("x.txt", b""), ("y.txt", b""), kind=tarfile.SYMTYPE),
        packed(("x.txt", b""), ("y.txt", b""), kind=tarfile.FIFOTYPE),
        packed(*[("d", b"")] * 1_001, kind=tarfile.DIRTYPE),
    ],
)
def test_a_hostile_archive_is_not_right_and_does_no_harm(content: bytes | None) -> None:
    assert not is_archive_right(Archive("out.tar.gz", MEMBERS), content)


def test_a_bomb_is_not_unpacked() -> None:
    right = gzip.decompress(packed(("x.txt", b"one\n"), ("y.txt", b"two\n")))
    assert is_archive_right(Archive("out.tar.gz", MEMBERS), gzip.compress(right + b"\0" * 512))
    bomb = gzip.compress(right + b"\0" * (16 << 20))
    assert len(bomb) < 1 << 16
    assert not is_archive_right(Archive("out.tar.gz", MEMBERS), bomb)


def test_a_file_of_holes_is_not_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[int]()
    monkeypatch.setattr(tarfile.ExFileObject, "read", lambda self: read.append(1) or b"")
    entry = tarfile.TarInfo("x.txt")
    entry.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0%011o\0" % (0, 0)
    header[483:495] = b"%011o\0" % (4 << 30)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with tarfile.open(fileobj=io.BytesIO(bytes(header) + b"\0" * 1024)) as archive:
        assert archive.getmembers()[0].size == 4 << 30
    assert not is_archive_right(Archive("out.tar.gz", MEMBERS), gzip.compress(bytes(header) + b"\0" * 1024))
    assert read == []


def test_headers_that_nest_without_end_are_not_followed() -> None:
    block = tarfile.TarInfo("x")
    block.type = tarfile.XHDTYPE
    assert not is_archive_right(Archive("out.tar.gz", MEMBERS), gzip.compress(block.tobuf() * 4_000))


def test_every_part_of_a_goal_must_hold() -> None:
    goal = Goal(Answer("7", "number"), paths=(Wanted("out.txt", content=b"a\nb\n"),))
    sandbox = stub_sandbox()
    assert judge(goal, "7", sandbox) == {"answer": 1.0, "files": 0.0}
    sandbox.write("out.txt", b"a\nb")
    assert judge(goal, "7", sandbox) == {"answer": 1.0, "files": 1.0}
    assert judge(goal, None, sandbox) == {"answer": 0.0, "files": 1.0}
    sandbox.write("out.txt", b"b\na\n")
    assert judge(goal, "7", sandbox)["files"] == 0.0


@pytest.mark.parametrize("said", [b"", b"nonsense", b"[]", b"[[1]]", b'{"a": 1}', b"[" * 5_000, b'["abc"]'])
def test_a_look_that_gives_nonsense_tells_nothing(said: bytes) -> None:
    sandbox = StubSandbox({"python3": lambda _: Said(said)})
    assert look(sandbox, ["a", "b"]) is None
    sandbox.write("a", b"x")
    assert judge(Goal(paths=(Wanted("a", content=b"x", mode=0o644),)), None, sandbox) == {"files": 0.0}


class Container:
    """Stands for a container: `/proc` as a script has it, commands remembered."""

    backend, workspace = "docker", "/workspace"

    def __init__(self, *children: bytes, fails_with: int = 0) -> None:
        self.children, self.fails_with, self.ran = list(children), fails_with, list[tuple[str, ...]]()

    def read(self, path: str) -> bytes:
        if self.fails_with:
            raise SandboxFileError(self.fails_with, "no", path)
        assert path in (inspection.CHILDREN, "/proc/12/stat")
        return self.children.pop(0) if len(self.children) > 1 else self.children[0]

    def exec(self, argv: list[str], *_: object, **__: object) -> Result:
        self.ran.append(tuple(argv))
        return Result(exit_code=0)


def test_nothing_is_killed_where_only_the_reader_lives() -> None:
    quiet = Container(b"7 ")
    assert end_everything(quiet)  # type: ignore[arg-type]
    assert quiet.ran == []


def test_everything_is_killed_until_only_the_reader_lives() -> None:
    busy = Container(b"7 8 9 ", b"9 10 ", b"11 ")
    assert end_everything(busy)  # type: ignore[arg-type]
    assert [argv[-1] for argv in busy.ran] == [inspection.KILL_ALL] * 2


def test_what_cannot_be_ended_is_said() -> None:
    assert not end_everything(Container(b"7 8 "))  # type: ignore[arg-type]
    assert not end_everything(Container(b"", fails_with=5))  # type: ignore[arg-type]


def test_spared_processes_are_no_reason_to_kill() -> None:
    spared = Container(b"3 4 7 ")
    assert end_everything(spared, frozenset({3, 4}))  # type: ignore[arg-type]
    assert spared.ran == []


def stat_of(state: str, began: int) -> bytes:
    return f"12 (a) b) {state} {' '.join(['1'] * 18)} {began} 0 0\n".encode()


@pytest.mark.parametrize(
    ("container", "wanted"),
    [
        (Container(stat_of("S", 77)), True),
        (Container(stat_of("Z", 77)), False),
        (Container(stat_of("S", 78)), False),
        (Container(b"", fails_with=2), False),
        (Container(b"", fails_with=5), None),
    ],
)
def test_a_program_runs_only_if_it_is_the_same_process(container: Container, wanted: bool | None) -> None:
    assert is_running(container, Program("a", 12, "77")) is wanted  # type: ignore[arg-type]


def test_a_program_that_cannot_be_looked_at_counts_neither_as_running_nor_as_stopped() -> None:
    hidden = Container(b"", fails_with=5)
    for stopped in (("a",), ("b",)):
        goal = Goal(stopped=stopped)
        assert judge(goal, None, hidden, [Program("a", 12, "77")]) == {"processes": 0.0}  # type: ignore[arg-type]
