"""Whether a generated task was done: a verdict for each part of its goal, taken from `envs.terminal.inspection`."""

from __future__ import annotations

import io
import posixpath
import tarfile
import zlib
from collections.abc import Sequence

from envs.terminal.inspection import Program, end_everything, is_running, look
from envs.terminal.problems import Answer, Archive, Goal, Run, Script, Wanted
from sage_gym.errors import SandboxFileError
from sage_gym.sandbox import Sandbox

__all__ = ["is_answer_right", "is_archive_right", "judge"]

MOST_BYTES = 1 << 22
MOST_MEMBERS = 1_000
RUN_TIMEOUT_S = 5.0


def judge(goal: Goal, answer: str | None, sandbox: Sandbox, programs: Sequence[Program] = ()) -> dict[str, float]:
    """Return 1 or 0 for each part of a goal. Ends the agent's processes; where a script is run, empties the sandbox.

    Raises:
        SandboxLostError: the sandbox is gone.
    """
    found = {}
    if goal.answer is not None:
        found["answer"] = is_answer_right(goal.answer, answer)
    if goal.stopped:
        found["processes"] = all(is_running(sandbox, p) is (p.name not in goal.stopped) for p in programs)
    if goal.paths or goal.archive or goal.script:
        is_quiet = end_everything(sandbox)
        if goal.paths:
            found["files"] = is_quiet and _are_as_wanted(goal.paths, sandbox)
        if goal.archive:
            found["archive"] = is_quiet and is_archive_right(goal.archive, _read(sandbox, goal.archive.path))
        if goal.script:
            found["script"] = is_quiet and _does_its_work(goal.script, sandbox)
    return {part: float(is_right) for part, is_right in found.items()}


def is_answer_right(wanted: Answer, given: str | None) -> bool:
    """Compare an answer: as a number, as a path's last parts, or as text without spaces and quotes around it."""
    text = (given or "").strip().strip("'\"`").strip()
    if wanted.kind == "number":
        try:
            return float(text) == float(wanted.value)
        except ValueError:
            return False
    if wanted.kind == "path":
        path, whole = posixpath.normpath(text or "."), wanted.value
        return f"/{whole}".endswith(f"/{path}") or (path.startswith("/") and path.endswith(f"/{whole}"))
    return text == wanted.value


def is_archive_right(wanted: Archive, content: bytes | None) -> bool:
    """Compare the files of a tar archive, by last name and content; one that is bent or a bomb is not right."""
    plain = _unzipped(content or b"")
    if plain is None:
        return False
    held = []
    try:
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
            for count, member in enumerate(archive):
                if count >= MOST_MEMBERS or not _is_plain(member):
                    return False
                stream = archive.extractfile(member)
                if stream is not None:
                    held.append((posixpath.basename(member.name), stream.read()))
    except (tarfile.TarError, OSError, ValueError, EOFError, RecursionError):
        return False
    return sorted(held) == sorted((posixpath.basename(file.path), file.content) for file in wanted.members)


def _is_plain(member: tarfile.TarInfo) -> bool:
    """Say whether it is a folder or a file that is no larger than it may be, and leads nowhere else."""
    is_inside = not member.name.startswith("/") and ".." not in member.name.split("/")
    return is_inside and (member.isdir() or (member.isreg() and not member.issparse() and member.size <= MOST_BYTES))


def _unzipped(content: bytes) -> bytes | None:
    """Return what gzip holds, no more than `MOST_BYTES` of it; None where it is not gzip, is cut, or is more."""
    inflate = zlib.decompressobj(wbits=31)
    try:
        plain = inflate.decompress(content, MOST_BYTES)
    except zlib.error:
        return None
    return plain if inflate.eof else None


def _are_as_wanted(wanted: Sequence[Wanted], sandbox: Sandbox) -> bool:
    """Compare paths; contents first, which need no program."""
    for entry in wanted:
        if entry.content is not None and not _is_alike(_read(sandbox, entry.path), entry.content):
            return False
    looked = [entry for entry in wanted if entry.kind != "file" or entry.mode is not None]
    found = look(sandbox, [entry.path for entry in looked]) if looked else []
    return found is not None and all(
        has.kind == entry.kind
        and (entry.mode is None or has.mode == entry.mode)
        and (not entry.target or posixpath.normpath(_within(has.target, sandbox)) == entry.target)
        for has, entry in zip(found, looked, strict=True)
    )


def _within(target: str, sandbox: Sandbox) -> str:
    return target.removeprefix(f"{sandbox.workspace}/")


def _is_alike(content: bytes | None, wanted: bytes) -> bool:
    """Compare contents; line feeds at the very end do not matter."""
    return content is not None and content.rstrip(b"\n") == wanted.rstrip(b"\n")


def _does_its_work(script: Script, sandbox: Sandbox) -> bool:
    """Run a script on files it has not seen, where nothing else of the agent's is left."""
    text = _read(sandbox, script.path)
    if text is None:
        return False
    return all(_is_run_right(text, run, sandbox) for run in script.runs)


def _is_run_right(text: bytes, run: Run, sandbox: Sandbox) -> bool:
    sandbox.reset()
    sandbox.write("script.sh", text, 0o755)
    sandbox.write("input.txt", run.content)
    result = sandbox.exec(["sh", "script.sh", "input.txt"], RUN_TIMEOUT_S)
    return result.is_ok and result.stdout.decode(errors="replace").strip() == run.output


def _read(sandbox: Sandbox, path: str) -> bytes | None:
    try:
        return sandbox.read(path)
    except SandboxFileError:
        return None
