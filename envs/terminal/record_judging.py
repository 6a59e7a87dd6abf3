"""A record of AgentBench's set up in a sandbox, and judged there."""

from __future__ import annotations

import re

from envs.terminal.inspection import end_everything, living
from envs.terminal.problems import Code, Record
from sage_gym.sandbox import Result, Sandbox

__all__ = ["judge_record", "run_code", "set_up"]

COMPILERS = {"c": "gcc -x c", "c++": "g++ -x c++"}
COMPILED = '{} -o /tmp/program - && /tmp/program "$@"'


def set_up(record: Record, sandbox: Sandbox) -> frozenset[int]:
    """Run the scripts that come before the agent; return the processes that they leave.

    As upstream, what `init` ends with is not looked at, and `start` may leave something in the background.
    """
    for code in (*record.init, *([record.start] if record.start else [])):
        run_code(code, sandbox)
    return living(sandbox) or frozenset()


def judge_record(record: Record, answer: str | None, sandbox: Sandbox, spared: frozenset[int]) -> dict[str, float]:
    """Compare the answer, or run the chain of checks.

    The checks run where the agent was, since they look at what it did, once what it left running is ended (see
    `envs.terminal.inspection`); the record's own processes live on unless the agent left others. A record whose example
    reads what the agent may write can be answered by writing there: that is the format's.

    Raises:
        SandboxLostError: the sandbox is gone.
    """
    if record.answer is not None or record.pattern is not None:
        return {"match": float(_is_match(record, answer))}
    if not end_everything(sandbox, spared):
        return {"check": 0.0}
    given = [str(answer)]
    for code in record.chain:
        result = run_code(code or record.example or Code("bash", "false"), sandbox, *given)
        if not result.is_ok:
            return {"check": 0.0}
        given.append(result.stdout.decode(errors="replace"))
    return {"check": 1.0}


def run_code(code: Code, sandbox: Sandbox, *given: str) -> Result:
    """Run a script with arguments; Python takes no module from the folder that it runs in."""
    compiler = COMPILERS.get(code.language)
    words = [word.replace("\0", "").encode(errors="replace").decode() for word in given]
    if code.language == "python":
        return sandbox.exec(["python3", "-I", "-c", code.text, *words])
    if compiler is not None:
        return sandbox.exec(["bash", "-c", COMPILED.format(compiler), "--", *words], stdin=code.text.encode())
    return sandbox.exec(["bash", "-c", code.text, *(["--", *words] if words else [])])


def _is_match(record: Record, answer: str | None) -> bool:
    if answer is None:
        return False
    answer = answer.strip() if record.is_stripped else answer
    if record.answer is not None:
        return answer == record.answer
    return re.search(record.pattern or "", answer) is not None
