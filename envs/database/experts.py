"""A reference solution that reads the gold SQL, and the list of tasks that no solution can finish."""

from __future__ import annotations

import re
from typing import Literal

from envs.database.actions import RESULT
from envs.database.embedded import Embedded
from envs.database.environment import Database
from envs.database.problems import Problem, final_hash
from envs.database.scoring import Rules, is_right
from envs.database.statements import SqlError

__all__ = ["Expert", "Form", "brief", "demonstrator", "expert", "unattainable"]

Form = Literal["plain", "reference"]
GRAMMAR = frozenset(
    ("select", "from", "where", "and", "join", "on", "group", "order", "by", "desc", "limit", "count", "sum", "avg",
     "round", "*", "=", "<", ">", "insert", "into", "values", "update", "set", "delete")
)  # fmt: skip
"""Words of SQL; a policy that imitates quotes all others from the task where it can."""
QUALIFIED = re.compile(r"\b\w+\.(?=[a-z_])")
ROW = re.compile(r" \([^()]*\) VALUES")


class Expert:
    """Runs the gold SQL once, then answers.

    Of AgentBench's recorded SELECTs many cannot run (words run together, columns that are not there) or give another
    result than the recorded answer; the answer is what is judged, and what this gives. A table that another has
    changed wrongly it does not mend.

    Args:
        env: whose problem is read.
        form: `plain`, or `reference`: the gold SQL with less around it, and `answer[$result]` for whatever it gave.
    """

    grammar = GRAMMAR
    is_last_quoted = True  # what names a column stands among the tables, after the question

    def __init__(self, env: Database, form: Form = "plain") -> None:
        self._env, self._form = env, form

    def action(self) -> str:
        """Return the next action for the environment's present state."""
        if self._form == "reference":
            return self._by_reference()
        problem = self._env.problem
        if problem.judged_by == "state":
            is_done = self._env.is_in_wanted_state() or problem.gold_sql in self._env.statements
            return 'answer[["done"]]' if is_done else f"sql[{problem.gold_sql}]"
        is_asked = not problem.gold_sql or problem.gold_sql in self._env.statements
        return f"answer[{problem.gold_answer}]" if is_asked else f"sql[{problem.gold_sql}]"

    def _by_reference(self) -> str:
        statement = brief(self._env.problem.gold_sql)
        is_asked = self._env.statements[-1:] == (statement,)
        return f"answer[{RESULT}]" if is_asked else f"sql[{statement}]"


def brief(gold_sql: str) -> str:
    """Write a generated problem's gold SQL in small letters, without what the tables leave no doubt about."""
    short = ROW.sub(" VALUES", QUALIFIED.sub("", gold_sql))
    return "'".join(part if at % 2 else part.lower() for at, part in enumerate(short.split("'")))


def demonstrator(env: Database) -> Expert:
    """Return the expert as a small policy is to imitate it: what a statement gave is passed on by reference."""
    return Expert(env, form="reference")


def expert(env: Database) -> Expert:
    """Return the expert of an environment (`make(...).unwrapped`)."""
    return Expert(env)


def unattainable(env: Database, split: str) -> dict[str, str]:
    """List the tasks of a split whose own reference solution scores 0, with the reason."""
    source = env.library.source(split)
    found = {}
    for at in range(len(source)):
        problem = source.problem(at)
        reason = _reason(problem, env.scoring)
        if reason:
            found[problem.key] = reason
    return found


def _reason(problem: Problem, rules: Rules) -> str:
    if problem.judged_by == "answer":
        is_fine = is_right(problem.gold_answer, problem.answers, rules)
        return "" if is_fine else f"the recorded answer {problem.gold_answer} is not right by its own scoring"
    engine = Embedded(problem.tables)
    try:
        engine.run(problem.gold_sql)
    except SqlError as error:
        return f"the gold SQL fails: {error}"
    else:
        reached = final_hash(engine, problem.tables)
        return "" if reached == problem.state else f"the gold SQL leaves {reached}, the record wants {problem.state}"
    finally:
        engine.close()
