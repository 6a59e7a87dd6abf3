"""MySQL's statements in SQLite's words, with MySQL's meaning.

Operators become calls of `envs.database.functions`, because MySQL compares a text with a number as numbers, ignores
case and accents, computes with text and never divides integers. Left out: UPDATE and DELETE over several tables,
ROLLUP, and MySQL's refusal of columns that GROUP BY leaves open.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from sqlglot import ErrorLevel, exp
from sqlglot.dialects.sqlite import SQLite

from envs.database.functions import FUNCTIONS
from envs.database.statements import SqlError

__all__ = ["PREFIX", "quoted", "to_sqlite"]

PREFIX = "mysql_"
Rule = Callable[[Any], exp.Expr]
COMPARISONS: tuple[type[exp.Binary], ...] = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
OPERATORS: dict[type[exp.Expr], str] = {
    exp.Add: "add",
    exp.Sub: "subtract",
    exp.Mul: "multiply",
    exp.Div: "divide",
    exp.IntDiv: "div",
    exp.Mod: "mod",
    exp.Xor: "xor",
    exp.NullSafeEQ: "same",
    exp.RegexpLike: "regexp",
}
KINDS = {"DOUBLE": "DOUBLE", "FLOAT": "DOUBLE", "DECIMAL": "DECIMAL", "DATE": "DATE"}
WHOLE = ("BIGINT", "UBIGINT", "INT", "UINT", "SMALLINT", "TINYINT", "MEDIUMINT")


class _Dialect(SQLite):
    """SQLite with names in backticks: one in double quotes that names nothing would be read as a text."""

    class Tokenizer(SQLite.Tokenizer):
        IDENTIFIERS: ClassVar[list[Any]] = ["`"]


def quoted(name: str) -> str:
    """Return a name as it stands in a statement."""
    return "`" + name.replace("`", "``") + "`"


def to_sqlite(statement: exp.Expr) -> str:
    """Return the statement for SQLite.

    Raises:
        SqlError: it is nested too deeply.
    """
    try:
        rewritten = _rewrite(statement.copy())
        return str(rewritten.sql(dialect=_Dialect, identify=True, comments=False, unsupported_level=ErrorLevel.IGNORE))
    except RecursionError as error:
        raise SqlError("expected a statement that is nested less deeply") from error


def _rewrite(node: exp.Expr) -> exp.Expr:
    """Apply the rules from the leaves up."""
    for name, value in list(node.args.items()):
        if isinstance(value, exp.Expr):
            node.set(name, _rewrite(value))
        elif isinstance(value, list) and not (isinstance(node, exp.Update) and name == "expressions"):
            node.set(name, [_rewrite(item) if isinstance(item, exp.Expr) else item for item in value])
    rule = RULES.get(type(node))
    return node if rule is None else rule(node)


def _call(name: str, *arguments: Any) -> exp.Expr:
    return exp.Anonymous(this=PREFIX + name, expressions=list(arguments))


def _number(value: int) -> exp.Expr:
    return exp.Literal.number(value)


def _group(value: exp.Expr) -> exp.Expr:
    return exp.Paren(this=value)


def _compared(kind: type[exp.Binary], left: exp.Expr, right: exp.Expr) -> exp.Expr:
    if isinstance(left, exp.Tuple) or isinstance(right, exp.Tuple):
        return kind(this=left, expression=right)
    return _group(kind(this=_call("compare", left, right), expression=_number(0)))


def _comparison(node: exp.Binary) -> exp.Expr:
    return _compared(type(node), node.this, node.expression)


def _operator(node: exp.Binary) -> exp.Expr:
    for moved, kept, sign in ((node.expression, node.this, 1), (node.this, node.expression, 1)):
        if isinstance(moved, exp.Interval):
            return _shifted(kept, moved, -sign if isinstance(node, exp.Sub) else sign)
    return _call(OPERATORS[type(node)], node.this, node.expression)


def _shifted(date: exp.Expr, interval: exp.Interval, sign: int) -> exp.Expr:
    amount = interval.this if sign > 0 else _call("negative", interval.this)
    return _call("shift", date, amount, exp.Literal.string(str(interval.args.get("unit") or "DAY").upper()))


def _between(node: exp.Between) -> exp.Expr:
    low = _compared(exp.GTE, node.this.copy(), node.args["low"])
    return _group(exp.And(this=low, expression=_compared(exp.LTE, node.this, node.args["high"])))


def _membership(node: exp.In) -> exp.Expr:
    if isinstance(node.this, exp.Tuple) or not node.expressions:
        return node
    tests = [_compared(exp.EQ, node.this.copy(), value) for value in node.expressions]
    return _group(exp.or_(*tests, wrap=False)) if len(tests) > 1 else tests[0]


def _case(node: exp.Case) -> exp.Expr:
    subject = node.args.get("this")
    if subject is None:
        return node
    branches = [
        exp.If(this=_compared(exp.EQ, subject.copy(), branch.this), true=branch.args["true"])
        for branch in node.args["ifs"]
    ]
    return exp.Case(ifs=branches, default=node.args.get("default"))


def _cast(node: exp.Cast) -> exp.Expr:
    wanted = node.to.this
    name = str(getattr(wanted, "name", wanted)).upper()
    if name == "DATE":
        return _call("date", node.this)
    kind = "SIGNED" if name in WHOLE else KINDS.get(name, "CHAR")
    sizes = [size.this for size in node.to.expressions]
    scale = sizes[1] if len(sizes) > 1 else sizes[0] if sizes and kind == "CHAR" else _number(0)
    return _call("cast", node.this, exp.Literal.string(kind), scale)


def _trim(node: exp.Trim) -> exp.Expr:
    side = exp.Literal.string(str(node.args.get("position") or "BOTH").upper())
    return _call("trim", node.this, node.args.get("expression") or exp.Literal.string(" "), side)


def _substring(node: exp.Substring) -> exp.Expr:
    parts = [node.this, node.args.get("start"), node.args.get("length")]
    return _call("substring", *(part for part in parts if part is not None))


def _grouped(node: exp.GroupConcat) -> exp.Expr:
    value, key, is_descending = node.this, None, 0
    if isinstance(value, exp.Order):
        first = value.expressions[0]
        value, key, is_descending = value.this, first.this, int(bool(first.args.get("desc")))
    is_distinct = isinstance(value, exp.Distinct)
    parts = value.expressions if is_distinct else [value]
    joined = parts[0] if len(parts) == 1 else _call("concat", *parts)
    separator = node.args.get("separator") or exp.Literal.string(",")
    return _call(
        "group_concat", joined, separator, _number(int(is_distinct)), _number(is_descending), key or exp.Null()
    )


def _function(node: exp.Anonymous) -> exp.Expr:
    name, arguments = str(node.this).lower(), node.expressions
    if name in ("date_add", "adddate", "date_sub", "subdate"):
        sign = 1 if "add" in name else -1
        moved = arguments[1]
        return _shifted(arguments[0], moved if isinstance(moved, exp.Interval) else exp.Interval(this=moved), sign)
    if name in ("sum", "avg", "count") and arguments:
        return exp.Anonymous(this=name, expressions=[_aggregated(name, arguments[0])])
    return exp.Anonymous(this=PREFIX + name if name in FUNCTIONS else name, expressions=arguments)


def _aggregated(name: str, argument: exp.Expr) -> exp.Expr:
    """Make numbers of what is summed, and one value of several that are counted."""
    if isinstance(argument, exp.Distinct):
        values = argument.expressions
        value = values[0] if len(values) == 1 else _call("together", *values)
        return exp.Distinct(expressions=[value if name == "count" else _call("number", value)])
    return argument if name == "count" else _call("number", argument)


def _select(node: exp.Select) -> exp.Expr:
    """Drop FROM DUAL."""
    source = node.args.get("from_")
    if source is not None and isinstance(source.this, exp.Table) and source.this.name.upper() == "DUAL":
        node.set("from_", None)
    return node


# Changes


def _stored(value: exp.Expr) -> exp.Expr:
    """Give a value as text, with a written number's own digits: 30.50 stays `30.50`."""
    is_negative = isinstance(value, exp.Anonymous) and value.this == PREFIX + "negative"
    literal = value.expressions[0] if is_negative else value
    if isinstance(literal, exp.Literal) and not literal.is_string and "e" not in literal.name.lower():
        digits = literal.name if "." in literal.name else str(int(literal.name))
        return exp.Literal.string(("-" if is_negative else "") + ("0" + digits if digits[0] == "." else digits))
    is_plain = isinstance(value, exp.Literal | exp.Null | exp.Star | exp.Column)
    return value if is_plain else _call("text", value)


def _insert(node: exp.Insert) -> exp.Expr:
    source = node.args.get("expression")
    for name in ("conflict", "ignore"):  # the tables have no keys: a row is never there already
        node.set(name, None)
    if isinstance(source, exp.Values):
        for row in source.expressions:
            row.set("expressions", [_stored(value) for value in row.expressions])
    elif isinstance(source, exp.Select):
        source.set("expressions", [_stored(value) for value in source.expressions])
    return node


def _update(node: exp.Update) -> exp.Expr:
    """Rewrite the assigned values; a later one sees the earlier ones, as in MySQL."""
    assigned: dict[str, exp.Expr] = {}
    for pair in node.expressions:
        value = pair.expression.transform(
            lambda part: (
                assigned[part.name.lower()].copy()
                if isinstance(part, exp.Column) and part.name.lower() in assigned
                else part
            )
        )
        assigned[pair.this.name.lower()] = exp.Paren(this=value.copy())
        pair.set("this", exp.to_identifier(pair.this.name))
        pair.set("expression", _stored(_rewrite(value)))
    return _limited(node)


def _limited(node: exp.Update | exp.Delete) -> exp.Expr:
    """Move ORDER BY and LIMIT, which SQLite may lack here, into a choice of rows."""
    order, limit = node.args.pop("order", None), node.args.pop("limit", None)
    if limit is None:
        return node
    table = node.this.copy()
    rows = exp.Select(expressions=[exp.column("rowid")]).from_(table)
    rows.set("where", node.args.get("where"))
    rows.set("order", order)
    rows.set("limit", limit)
    node.set("where", exp.Where(this=exp.In(this=exp.column("rowid"), query=exp.Subquery(this=rows))))
    return node


def _table(node: exp.Table) -> exp.Expr:
    """Drop the name of the database: there is one."""
    node.set("db", None)
    node.set("catalog", None)
    return node


RULES: dict[type[exp.Expr], Rule] = {
    **dict.fromkeys(COMPARISONS, _comparison),
    **dict.fromkeys(OPERATORS, _operator),
    exp.Neg: lambda node: _call("negative", node.this),
    exp.Between: _between,
    exp.In: _membership,
    exp.Case: _case,
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.Trim: _trim,
    exp.Substring: _substring,
    exp.StrPosition: lambda node: _call("locate", node.args["substr"], node.this),
    exp.Extract: lambda node: _call("extract", exp.Literal.string(node.this.name), node.expression),
    exp.GroupConcat: _grouped,
    exp.Anonymous: _function,
    exp.Select: _select,
    exp.Insert: _insert,
    exp.Update: _update,
    exp.Delete: _limited,
    exp.Table: _table,
}
