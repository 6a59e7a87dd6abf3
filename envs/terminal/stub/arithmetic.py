"""`$((…))`: whole numbers, variables, `+ - * / % **` and comparisons."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping

from envs.terminal.stub.calls import Complaint

__all__ = ["NAME", "computed", "in_quotes", "with_calls"]

NAME = "arithmetic-expansion"
"""What a text calls instead of `$((…))`: a program that no other text can mean."""
EXPANSION = re.compile(r"\$\(\(((?:[^()\"'`]|\([^()\"'`]*\))*)\)\)")
PIECE = re.compile(
    r"""\\.|'[^']*'|(?<![^\s;])\#[^\n]*|(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<plain>\$\(\((?:[^()"'`]|\([^()"'`]*\))*\)\))""",
    re.DOTALL,
)
"""What is to be passed over (escaped, in single quotes, a comment), and what may hold an expansion."""
LONGEST = 200
LARGEST = 1 << 62


def _divided(left: int, right: int) -> int:
    """Divide toward zero."""
    found = abs(left) // abs(right)
    return found if (left < 0) is (right < 0) else -found


OF_TWO: Mapping[type, Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: _divided,
    ast.Mod: lambda left, right: left - right * _divided(left, right),
    ast.Pow: lambda left, right: left**right if 0 <= right < 64 and abs(left) < 1 << 16 else LARGEST,
}
COMPARED: Mapping[type, Callable[[int, int], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def with_calls(text: str) -> str:
    """Write each `$((…))` of a bash text as a substitution."""
    return PIECE.sub(lambda piece: in_quotes(piece[0]) if piece["quoted"] or piece["plain"] else piece[0], text)


def in_quotes(text: str) -> str:
    """Write each `$((…))` as a substitution, single quotes or not."""
    return EXPANSION.sub(lambda found: f'$({NAME} "{found[1]}")', text)


def computed(written: str, variables: Mapping[str, str]) -> int:
    """Work out an expression.

    Raises:
        Complaint: it is none, or has something in it that the stub does not know.
    """
    if len(written) > LONGEST:
        raise Complaint("the stub computes short expressions only")
    try:
        found = _value(ast.parse(written.strip() or "0", mode="eval").body, variables)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise Complaint(f"{written}: the stub does not know this arithmetic") from None
    except ZeroDivisionError:
        raise Complaint(f"{written}: division by 0") from None
    if abs(found) >= LARGEST:
        raise Complaint(f"{written}: larger than the stub counts")
    return found


def _value(node: ast.expr, variables: Mapping[str, str]) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.Name):
        return int(variables.get(node.id, "").strip() or "0")
    if isinstance(node, ast.BinOp) and type(node.op) in OF_TWO:
        return OF_TWO[type(node.op)](_value(node.left, variables), _value(node.right, variables))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _value(node.operand, variables)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARED:
        left, right = _value(node.left, variables), _value(node.comparators[0], variables)
        return int(COMPARED[type(node.ops[0])](left, right))
    raise ValueError(ast.dump(node))
