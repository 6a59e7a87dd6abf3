"""A reference solution that reads the gold SQL, and the list of tasks that no solution can finish."""

from __future__ import annotations

from envs.database.embedded import Embedded
from envs.database.environment import Database
from envs.database.problems import Problem, final_hash
from envs.database.scoring import Rules, is_right
from envs.database.statements import SqlError

__all__ = ["Expert", "expert", "unattainable"]


class Expert:
    """Runs the gold SQL once, then answers.

    Of AgentBench's recorded SELECTs many cannot run (words run together, columns that are not there) or give another
    result than the recorded answer; the answer is what is judged, and what this gives. A table that another has
    changed wrongly it does not mend.
    """

    def __init__(self, env: Database) -> None:
        self._env = env

    def action(self) -> str:
        """Return the next action for the environment's present state."""
        problem = self._env.problem
        if problem.judged_by == "state":
            is_done = self._env.is_in_wanted_state() or problem.gold_sql in self._env.statements
            return 'answer[["done"]]' if is_done else f"sql[{problem.gold_sql}]"
        is_asked = not problem.gold_sql or problem.gold_sql in self._env.statements
        return f"answer[{problem.gold_answer}]" if is_asked else f"sql[{problem.gold_sql}]"


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
