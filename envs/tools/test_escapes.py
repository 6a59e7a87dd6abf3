"""What must not get out: of the calculator, of the stub's Python, of the SQL records."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.tools.arithmetic import ExpressionError, evaluate
from envs.tools.interpreter import run
from envs.tools.python_sandbox import PythonSandbox
from envs.tools.records import Records, RecordsError
from envs.tools.schema import ToolError
from envs.tools.world import make_world
from sage_gym.errors import SandboxLostError
from sage_gym.sandbox.pool import SandboxPool
from sage_gym.sandbox.stub import Said, StubSandbox


@pytest.fixture
def records() -> Records:
    return Records(make_world(3).tables)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 * (3 + 4.5)", 15.0),
        ("2 ^ 10", 1024),
        ("max(3, 4) - min(1, 2)", 3),
        ("-7 // 2", -4),
        ("round(2.345, 1)", 2.3),
    ],
)
def test_arithmetic_works_out(expression: str, value: float) -> None:
    assert evaluate(expression) == value


ESCAPES = [
    "__import__('os').system('id')",
    "(1).__class__.__bases__[0].__subclasses__()",
    "open('/etc/passwd').read()",
    "eval('1')",
    "exec('x=1')",
    "getattr(1, 'real')",
    "lambda: 1",
    "[x for x in [1]]",
    "{}.get(1)",
    "f'{1}'",
    "math.os.system('id')",
    "globals()",
    "9 ** 9 ** 9 ** 9",
    "10 ** 99 ** 2",
    "2 ** -(10 ** 30)",
    "(-8) ** 0.5",
    "'a' * 10 ** 9",
    "[0] * 10 ** 9",
    "'%0999999999d' % 1",
    "1e308 * 1e308",
    "1 / 0",
    "round(1.5, 10 ** 9)",
    "int('9' * 10)",
    "str(1)",
    "(" * 900 + "1" + ")" * 900,
    "1" + "+1" * 900,
    "x := 1",
    "a = 1",
    "1; 2",
    "",
    "\0",
]


@pytest.mark.parametrize("expression", ESCAPES)
def test_arithmetic_refuses_everything_else(expression: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(expression)


@given(st.text())
def test_no_text_makes_the_evaluator_raise_anything_else(text: str) -> None:
    for work in (evaluate, run):
        with contextlib.suppress(ExpressionError):
            work(text)


def test_the_stub_runs_assignments_and_prints() -> None:
    assert run("import math\nx = 3\ny = x * 2\nprint(y, math.sqrt(16))") == "6 4.0\n"


def test_the_stub_does_not_let_texts_grow() -> None:
    with pytest.raises(ExpressionError, match="longer than"):
        run("x = 'a'\n" + "x = x + x\n" * 40)


@pytest.mark.parametrize(
    "code", ["import os", "from os import system", "while True: pass", "def f(): pass", "print.__self__", "del print"]
)
def test_the_stub_refuses_statements_that_it_does_not_know(code: str) -> None:
    with pytest.raises(ExpressionError):
        run(code)


def test_python_runs_in_a_sandbox_of_a_given_pool_and_is_given_back() -> None:
    started: list[StubSandbox] = []

    def start() -> StubSandbox:
        started.append(StubSandbox({"python3": lambda call: Said(f"ran {call.argv[2]}".encode())}))
        return started[-1]

    with SandboxPool(start, ready=0, most=1) as pool:
        python = PythonSandbox("docker", pool)
        assert started == []
        assert python.run("print(1)") == "ran print(1)"
        python.renew()
        with pool.lend(5.0):
            pass
        python.close()
        python.close()


def test_a_program_that_fails_is_answered_and_a_sandbox_that_is_lost_is_infrastructure() -> None:
    python = PythonSandbox("stub")
    with pytest.raises(ToolError, match="not defined"):
        python.run("print(x)")
    with pytest.raises(ToolError, match="NUL"):
        python.run("print(1)\0")
    assert python._sandbox is not None
    python._sandbox.kill()
    with pytest.raises(SandboxLostError):
        python.run("print(1)")
    python.renew()
    assert python.run("print(1)") == "1"


def test_sql_reads_and_changes_rows(records: Records) -> None:
    name = records.rows()["products"][0]["name"]
    assert records.select("SELECT COUNT(*) AS n FROM products") == [{"n": 10}]
    assert records.change(f"UPDATE products SET price = 7 WHERE name = '{str(name).upper()}'") == 1
    assert records.rows()["products"][0]["price"] == 7
    assert records.select("SELECT p.name FROM products p JOIN stock s ON s.product = p.name LIMIT 1")
    assert records.change("DELETE FROM stock WHERE units > 0") == 20


SQL_ESCAPES = [
    "ATTACH DATABASE '/tmp/x.db' AS x",
    "ATTACH ':memory:' AS x",
    "PRAGMA writable_schema = 1",
    "PRAGMA database_list",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM pragma_table_info('products')",
    "CREATE TABLE t (a)",
    "CREATE TEMP TABLE t (a)",
    "DROP TABLE products",
    "ALTER TABLE products ADD COLUMN x",
    "CREATE TRIGGER t AFTER UPDATE ON products BEGIN SELECT 1; END",
    "VACUUM INTO '/tmp/x.db'",
    "BEGIN",
    "SAVEPOINT a",
    "SELECT load_extension('x')",
    "SELECT readfile('/etc/passwd')",
    "SELECT random()",
    "SELECT datetime('now')",
    "SELECT CURRENT_TIMESTAMP",
    "SELECT zeroblob(1000000000)",
    "SELECT printf('%1000000000d', 1)",
    "SELECT 1; DELETE FROM products",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT sum(n) FROM t",
    "SELECT COUNT(*) FROM products a, products b, stock c, stock d, stock e, stock f, invoices g",
    "SELECT '" + "x" * 5000 + "'",
    "nonsense",
    "SELECT '\0'",
]


@pytest.mark.parametrize("statement", SQL_ESCAPES)
def test_sql_refuses_everything_else(records: Records, statement: str) -> None:
    before = records.rows()
    with pytest.raises(RecordsError):
        records.select(statement)
    with pytest.raises(RecordsError):
        records.change(statement)
    assert records.rows() == before


def test_a_query_cannot_change_anything(records: Records) -> None:
    before = records.rows()
    for statement in ("DELETE FROM products", "UPDATE products SET price = 0", "INSERT INTO offices VALUES ('x', 1)"):
        with pytest.raises(RecordsError):
            records.select(statement)
    assert records.rows() == before
