"""Arithmetic over a parsed expression: numbers, lists, names that were given, and a few functions; nothing is executed.

What Python's own `eval` would open (attributes, imports, lambdas, huge powers) has no node here.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["ExpressionError", "evaluate", "evaluate_node", "parse"]

LONGEST = 2_000
MOST_NODES = 400
LARGEST = 1e15
LONGEST_TEXT = 2_000


class ExpressionError(ValueError):
    """An expression that is none, that uses what is not allowed, or whose value is out of bounds."""


BINARY: Mapping[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
SIGNED: Mapping[type[ast.AST], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
COMPARED: Mapping[type[ast.AST], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": abs,
    "ceil": math.ceil,
    "float": float,
    "floor": math.floor,
    "int": int,
    "len": len,
    "max": max,
    "min": min,
    "round": round,
    "sorted": sorted,
    "sqrt": math.sqrt,
    "str": str,
    "sum": sum,
}


def parse(text: str) -> ast.Module:
    """Parse Python's grammar within bounds.

    Raises:
        ExpressionError: it is not in the grammar, or too large.
    """
    if len(text) > LONGEST:
        raise ExpressionError(f"expected at most {LONGEST} characters, got {len(text)}")
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ExpressionError(f"not an expression: {error}") from error
    if sum(1 for _ in ast.walk(tree)) > MOST_NODES:
        raise ExpressionError(f"expected at most {MOST_NODES} parts")
    return tree


def evaluate(text: str) -> float | int:
    """Return the number that an expression stands for; `^` is a power, as on a calculator.

    Raises:
        ExpressionError: it is no expression of numbers, or its value is out of bounds.
    """
    body = parse(text.strip().replace("^", "**")).body
    if len(body) != 1 or not isinstance(body[0], ast.Expr):
        raise ExpressionError("expected one expression, such as (12 + 3) * 4")
    value = evaluate_node(body[0].value, {})
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ExpressionError(f"expected a number, got {type(value).__name__}")
    return value


def evaluate_node(node: ast.expr, known: Mapping[str, Any]) -> Any:
    """Return the value of a node; `known` are the variables.

    Raises:
        ExpressionError: it holds what is not allowed, or does not work out.
    """
    try:
        return _bounded(_value(node, known))
    except ExpressionError:
        raise
    except (ArithmeticError, TypeError, ValueError, IndexError, RecursionError) as error:
        raise ExpressionError(str(error) or type(error).__name__) from error


def _value(node: ast.expr, known: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=bool() | int() | float() | str()):
            return node.value
        case ast.Name(id=name):
            if name not in known:
                raise ExpressionError(f"name {name!r} is not defined")
            return known[name]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in SIGNED:
            return SIGNED[type(op)](evaluate_node(operand, known))
        case ast.BinOp():
            return _combine(node, known)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARED:
            return COMPARED[type(op)](evaluate_node(left, known), evaluate_node(right, known))
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [evaluate_node(element, known) for element in elements]
        case ast.Subscript(value=held, slice=place):
            return evaluate_node(held, known)[evaluate_node(place, known)]
        case ast.Call():
            return _call(node, known)
    raise ExpressionError(f"{type(node).__name__} is not supported here")


def _combine(node: ast.BinOp, known: Mapping[str, Any]) -> Any:
    left, right = evaluate_node(node.left, known), evaluate_node(node.right, known)
    if isinstance(node.op, ast.Pow):
        return _power(left, right)
    function = BINARY.get(type(node.op))
    if function is None:
        raise ExpressionError(f"{type(node.op).__name__} is not supported here")
    if isinstance(node.op, ast.Mult | ast.Mod) and not (_is_number(left) and _is_number(right)):
        raise ExpressionError("expected numbers on both sides")
    return function(left, right)


def _power(base: Any, exponent: Any) -> Any:
    """Raise to a power, in floating point first: it overflows where whole numbers would fill the memory."""
    if not (_is_number(base) and _is_number(exponent)):
        raise ExpressionError("expected numbers on both sides")
    value = float(base) ** exponent
    if isinstance(value, complex):
        raise ExpressionError("the root of a negative number")
    is_whole = isinstance(base, int) and isinstance(exponent, int) and exponent >= 0 and value < LARGEST
    return base**exponent if is_whole else value


def _call(node: ast.Call, known: Mapping[str, Any]) -> Any:
    function = node.func
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "math":
        name = function.attr
    elif isinstance(function, ast.Name):
        name = function.id
    else:
        raise ExpressionError("only plain functions can be called here")
    if name not in FUNCTIONS or node.keywords:
        raise ExpressionError(f"expected one of {', '.join(FUNCTIONS)}, got {name}")
    arguments = [evaluate_node(argument, known) for argument in node.args]
    if name == "round" and len(arguments) == 2 and abs(arguments[1]) > 20:
        raise ExpressionError("expected at most 20 decimals")
    return FUNCTIONS[name](*arguments)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _bounded(value: Any) -> Any:
    if isinstance(value, int | float) and not -LARGEST <= value <= LARGEST:
        raise ExpressionError(f"a number beyond {LARGEST:g}")
    if isinstance(value, str | list) and len(value) > LONGEST_TEXT:
        raise ExpressionError(f"longer than {LONGEST_TEXT}")
    return value
