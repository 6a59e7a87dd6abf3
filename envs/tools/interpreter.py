"""The stub's `python3`: assignments and prints over `arithmetic`, so that tests need neither a process nor `exec`."""

from __future__ import annotations

import ast
from typing import Any

from envs.tools.arithmetic import ExpressionError, evaluate_node, parse
from sage_gym.sandbox.stub import Program, Said, StubCall

__all__ = ["PROGRAMS", "run"]

ALLOWED_IMPORTS = frozenset({"math"})
LONGEST_OUTPUT = 10_000


def run(code: str) -> str:
    """Return what a program of assignments, prints and `import math` prints.

    Raises:
        ExpressionError: it uses anything else, or does not work out.
    """
    known: dict[str, Any] = {}
    lines: list[str] = []
    for statement in parse(code).body:
        match statement:
            case ast.Import(names=names) if all(name.name in ALLOWED_IMPORTS and not name.asname for name in names):
                continue
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                known[name] = evaluate_node(value, known)
            case ast.Expr(value=ast.Call(func=ast.Name(id="print"), args=arguments, keywords=[])):
                lines.append(" ".join(str(evaluate_node(argument, known)) for argument in arguments))
            case ast.Expr(value=value):
                evaluate_node(value, known)
            case _:
                raise ExpressionError(f"{type(statement).__name__} is not supported by the stub; use sandbox='local'")
    return "".join(f"{line}\n" for line in lines)[:LONGEST_OUTPUT]


def _python3(call: StubCall) -> Said:
    if len(call.argv) != 3 or call.argv[1] != "-c":
        return Said(stderr=b"expected python3 -c CODE\n", exit_code=2)
    try:
        return Said(run(call.argv[2]).encode())
    except ExpressionError as error:
        return Said(stderr=f"error: {error}\n".encode(errors="replace"), exit_code=1)


PROGRAMS: dict[str, Program] = {"python3": _python3}
