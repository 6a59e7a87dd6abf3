"""The database environment: a question over tables, statements, and an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, get_args

import gymnasium
from gymnasium.error import ResetNeeded

from envs.database.actions import RESULT, Action, parse_action
from envs.database.engines import opener
from envs.database.library import open_library
from envs.database.problems import Problem, final_hash
from envs.database.scoring import Rules, is_right, spelled
from envs.database.statements import SqlError
from envs.database.synthetic import CAPACITY
from envs.database.tables import Engine, Limits, Row, shown
from sage_gym.arguments import check_arguments, expect_one_of, expect_positive, expect_render_mode, expect_size
from sage_gym.spaces import UnicodeText
from sage_gym.types import StopReason, Task, View

__all__ = ["Database"]

FREE = ("sql[", "answer[")
USAGE = 'Write sql[one MySQL statement], or answer[["first", "second"]] to finish.'


class Database(gymnasium.Env[str, str]):
    """Answer a question about tables, or change them, with MySQL statements.

    ## Description
    AgentBench's database tasks in their own record format, with their official scoring, and a generator of tasks over
    two tables that needs no data. Each episode has a database of its own, in SQLite in memory unless `engine` says
    otherwise; statements are MySQL's on every engine, one at a time, and only over the task's database.

    ## Observation space
    Text: at first the question, then the rows of the last statement as AgentBench prints them (`[('Vienna',)]`, `[]`
    where there are none), cut at `output_limit` with `[TRUNCATED]`, or `Error: ` and the engine's reason. Unlike a
    MySQL server, SQLite prints exact decimals as plain numbers.

    ## Action space
    Text: `sql[statement]` or `answer[["first", "second"]]`; also AgentBench's `Action: Operation` with a block of SQL,
    and `Action: Answer` with `Final Answer: […]`. `answer[$result]` answers with the last result's cells, those of its
    first column, so that a small policy can pass them on without copying them; before there is one, it is invalid, and
    a list or AgentBench's form takes `$result` as any other text. Anything else changes nothing and is answered with
    what was expected (AgentBench ends the episode instead).

    ## Rewards
    1 for an answer that is right, or, where the task is a change, for an answer given once the tables are in the
    wanted state; else 0. See `envs.database.scoring`.

    ## Starting state
    The question. `reset(options={"task": key})` picks the task; otherwise it is drawn from `split` with `np_random`. In
    a vector environment one `options` reaches every sub-environment, and autoreset drops it: later episodes are drawn.

    ## Episode end
    Terminated by an answer; truncated after `max_turns` actions (None: never). A change that was never answered for
    counts as not done, as in AgentBench's present version; version 0.2 judged it by its state all the same.

    ## Information
    `task` (key), `admissible_actions` (None: free text), `invalid_action`, `message` (why the last action was invalid,
    else empty), `sql_error` (the engine's reason, else empty), `success` (reward 1), `stop_reason` (None while it runs)
    and, at the end, `reward_components`.

    ## Arguments
    records: folder with AgentBench's `dev.jsonl` and `standard.jsonl`; None for
        `$SAGE_GYM_DATA/data/benchmarks/agentbench_db`, whose splits are missing where it is.
    engine: `sqlite`, `mysql://user:password@host:port` or `postgresql://user:password@host:port/database`.
    split: where `reset` draws from when no task is named: `train`, `select`, `test`, `demonstrations`, `dev`,
        `standard`.
    size, seed: how many tasks each generated split has, and what they are drawn with.
    scoring: `original` (AgentBench 0.2: single numbers equal as numbers, else texts equal as sets) or `current` (its
        rewritten task: within 0.01, percent signs and thousands' commas aside, all words for nothing alike).
    output_limit: characters of a result.
    timeout_s: of one statement.

    ## References
    Liu et al., "AgentBench: Evaluating LLMs as Agents", arXiv 2308.03688; THUDM/AgentBench, `src/server/tasks/dbbench`.

    ## Version history
    v0: first.

    Raises:
        ConfigError: an argument is none of its values, a driver is missing, or the generator cannot give `size` tasks.
        CatalogError: `records` holds no records, or a bad one.
        UnknownNameError: there is no such split.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi", "human"], "render_fps": 4}  # type: ignore[misc]

    def __init__(
        self,
        records: str | None = None,
        engine: str = "sqlite",
        split: str = "train",
        size: int = 1_000,
        seed: int = 0,
        scoring: Rules = "original",
        max_turns: int | None = 15,
        output_limit: int = 800,
        timeout_s: float = 5.0,
        render_mode: str | None = None,
    ) -> None:
        check_arguments(
            expect_one_of("scoring", scoring, get_args(Rules)),
            expect_positive("max_turns", max_turns, is_optional=True),
            expect_positive("output_limit", output_limit),
            expect_positive("timeout_s", timeout_s),
            expect_render_mode(render_mode),
            expect_size(size, CAPACITY),
        )
        self._open = opener(engine)
        self.library = open_library(size, seed, records)
        self.library.check_split(split)
        self.split, self.scoring = split, scoring
        self.max_turns, self.render_mode = max_turns, render_mode
        self.observation_space, self.action_space = UnicodeText(), UnicodeText()
        self._output_limit = output_limit
        self._limits = Limits(timeout_s=timeout_s, rows=output_limit // 4 + 1)  # `(), ` is the shortest row
        self._problem: Problem | None = None
        self._engine: Engine | None = None
        self._observation, self._statements, self._turns, self._is_over = "", list[str](), 0, True
        self._rows: list[Row] | None = None

    # Tasks

    def splits(self) -> tuple[str, ...]:
        """Name the splits that hold tasks."""
        return self.library.splits

    def tasks(self, split: str) -> Sequence[Task]:
        """List the tasks of a split, by index.

        Raises:
            UnknownNameError: there is no such split; the nearest is given.
        """
        return self.library.tasks(split)

    # Episodes

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode on `options["task"]` (a key or a `Task`), else on one drawn from the split.

        Raises:
            TaskKeyError: no such task; the valid range is given.
            InfrastructureError: a server was asked for and does not answer.
        """
        super().reset(seed=seed)
        problem = self.library.choose((options or {}).get("task"), self.split, self.np_random)
        self.close()
        self._engine = self._open(problem.tables, self._limits)
        self._problem, self._statements, self._rows = problem, [], None
        self._turns, self._is_over = 0, False
        self._observation = f"{problem.question}\n{USAGE}"
        return self._show(), self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take one action.

        Raises:
            ResetNeeded: the episode is over, or none has begun.
            InfrastructureError: the server is gone.
        """
        if self._is_over:
            raise ResetNeeded("expected reset() before step(): the episode is over or none has begun")
        wanted = self._passed_on(parse_action(action))
        self._turns += 1
        if wanted.kind == "answer":
            return self._finish(wanted.content)
        error = self._act(wanted)
        self._is_over = self.max_turns is not None and self._turns >= self.max_turns
        stop = StopReason.MAX_TURNS if self._is_over else None
        message = wanted.content if wanted.kind == "invalid" else ""
        return self._show(), 0.0, False, self._is_over, self._info(stop, message=message, sql_error=error)

    def close(self) -> None:
        """Drop the episode's database; `reset` opens another."""
        engine, self._engine, self._is_over = self._engine, None, True
        if engine is not None:
            engine.close()

    def render(self) -> str | None:
        """Show the last observation: returned in mode `ansi`, printed in mode `human`."""
        text = f"{'-' * 80}\n{self.problem.key}, turn {self._turns}\n{self._observation}"
        if self.render_mode != "human":
            return text
        print(text)
        return None

    def view(self) -> View:
        """Give the state in brief; `page` is `start`, `result` or `done`."""
        problem = self.problem
        if self._is_over:
            return View("done", self._observation)
        if self._turns == 0:
            return View("start", problem.question, free=FREE)
        return View("result", self._observation, free=FREE)

    @property
    def problem(self) -> Problem:
        """The present episode's problem with its gold SQL, for experts and demonstrations.

        Raises:
            ResetNeeded: no episode has begun.
        """
        if self._problem is None:
            raise ResetNeeded("expected reset() first: no episode has begun")
        return self._problem

    @property
    def statements(self) -> tuple[str, ...]:
        """The statements of this episode, those that failed too; for experts and tests."""
        return tuple(self._statements)

    def is_in_wanted_state(self) -> bool:
        """Whether the tables are as a change asks for; for experts and tests."""
        problem = self.problem
        return self._engine is not None and final_hash(self._engine, problem.tables) == problem.state

    def _passed_on(self, wanted: Action) -> Action:
        """Put the last result in the place of what stands for it."""
        if wanted.kind != "result":
            return wanted
        if self._rows is None:
            return Action("invalid", f"{RESULT} stands for the last statement's result, and there is none yet")
        return Action("answer", spelled(self._rows))

    def _act(self, wanted: Action) -> str:
        """Carry out a statement, or say what was expected; return the engine's error."""
        if wanted.kind == "invalid" or self._engine is None:
            self._observation = f"Nothing done: {wanted.content}."
            return ""
        self._statements.append(wanted.content)
        try:
            self._rows = self._engine.run(wanted.content)
            self._observation = shown(self._rows, self._output_limit)
        except SqlError as error:
            self._observation = shown_error(str(error), self._output_limit)
            return str(error)
        return ""

    def _finish(self, answer: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        problem = self.problem
        if problem.judged_by == "state":
            reward = float(self.is_in_wanted_state())
        else:
            reward = float(is_right(answer, problem.answers, self.scoring))
        self.close()
        self._observation = "The answer is recorded."
        info = self._info(StopReason.TERMINATED, reward=reward)
        return self._show(), reward, True, False, info | {"reward_components": {problem.judged_by: reward}}

    def _show(self) -> str:
        if self.render_mode == "human":
            self.render()
        return self._observation

    def _info(
        self, stop: StopReason | None = None, message: str = "", sql_error: str = "", reward: float = 0.0
    ) -> dict[str, Any]:
        return {
            "task": self.problem.key,
            "admissible_actions": None,
            "invalid_action": bool(message),
            "message": message,
            "sql_error": sql_error,
            "success": reward == 1.0,
            "stop_reason": None if stop is None else stop.value,
        }


def shown_error(message: str, limit: int) -> str:
    """Write an engine's reason, cut like a result."""
    return f"Error: {message if len(message) <= limit else message[:limit] + '[TRUNCATED]'}"
