"""The terminal environment: a task, commands in a sandbox of its own, and a look at what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium
from gymnasium.error import ResetNeeded

from envs.terminal.actions import OUTPUT, Action, parse_action
from envs.terminal.library import open_library
from envs.terminal.output import shown
from envs.terminal.pools import pool_of
from envs.terminal.problems import Record
from envs.terminal.session import Session
from envs.terminal.synthetic import CAPACITY
from sage_gym.arguments import check_arguments, expect_one_of, expect_positive, expect_render_mode, expect_size
from sage_gym.sandbox import BACKENDS, BASE_IMAGE, Limits
from sage_gym.spaces import UnicodeText
from sage_gym.types import Choice, StopReason, Task, View

__all__ = ["Terminal"]

FREE = ("bash[", "answer[")
DONE = Choice("done[]", "the task is done, and there is nothing to answer")
USAGE = "Write bash[command]; answer[text] to answer a question, or done[] when all is done."
LIMITS = Limits(memory_mib=256, output_bytes=1 << 16, file_bytes=4 << 20)


class Terminal(gymnasium.Env[str, str]):
    """Do a task in a shell.

    ## Description
    A generator of tasks about files, permissions, text, archives, processes and small scripts, and AgentBench's
    operating-system tasks in their own record format. Each episode has a fresh sandbox from a pool that the process's
    environments share, in which commands run one after the other: a new bash for each, in the folder and with the
    exported variables and functions of the last. A guard stands before each command; what it does not let run is
    answered with the reason, and the episode goes on.

    ## Observation space
    Text: at first the task, then the command's output, cut at `output_limit` characters as AgentBench cuts it, and how
    the command ended where that was not well (`[exit code 1]`, `[stopped after 30 s …]`, `[not run: …]`).

    ## Action space
    Text: `bash[command]`, `answer[text]` or `done[]`; also AgentBench's `Act: bash` with a block of code, `Act:
    answer(…)` and `Act: finish`. `answer[$output]` answers with what the last command printed, without the spaces
    around it, so that a small policy can pass that on without copying it; before a command has run it is invalid, and
    quotes or AgentBench's form make it any other text. Anything else changes nothing and is answered with what was
    expected (AgentBench ends the episode instead).

    ## Rewards
    1 if all that the task wants holds when the agent ends it, else 0. The look at it cannot be bent by what the agent
    left: facts are read from outside or from the kernel, everything of the agent's is killed before any program runs
    that looks, a script of the agent's is run on files it has not seen in a sandbox emptied of all else, and answers
    and archives are compared in this process (`envs.terminal.inspection` says how, and what holds for `local`). A
    record's own checks run in the agent's sandbox, as upstream's.

    ## Starting state
    The task. `reset(options={"task": key})` picks it; otherwise it is drawn from `split` with `np_random`. In a vector
    environment one `options` reaches every sub-environment, and autoreset drops it: later episodes are drawn.

    ## Episode end
    Terminated by an answer or `done[]`; truncated after `max_turns` actions (None: never), which counts as not done.

    ## Information
    `task` (key), `admissible_actions` (None: free text), `invalid_action`, `message` (why the last action was invalid,
    else empty), `denials` (commands that the guard has not let run so far), `denial` (why it did not let the last one
    run, else empty), `success` (reward 1), `stop_reason` (None while it runs) and, at the end, `reward_components`: 1
    or 0 for each of `answer`, `files`, `archive`, `script` and `processes` that the task has, or `match` or `check` of
    a record.

    ## Arguments
    records: folder with AgentBench's `.json` or `.jsonl` records, each file a split by its name, scripts in `scripts/`;
        None for none.
    sandbox: `docker`; `local`, which runs commands as processes of this machine under your own user and is no security
        boundary; or `stub`, a shell with some seventy programs over files in memory (`envs.terminal.stub`), enough for
        the reference solution of every generated task: it has no Python, nothing in the background and no times, and
        says so. There is no falling back: where no engine answers, `reset` says so.
    image: of the containers; with bash and Python 3.9 or later. A record may name its own.
    guard: whether a guard stands before each command.
    split: where `reset` draws from when no task is named: `train`, `select`, `test` (other wordings and names),
        `select_kinds`, `test_kinds` (kinds of task that the others do not have), `demonstrations` (training's kinds,
        for imitation before any training here), or a file of records.
    size, seed: how many tasks each generated split has, and what they are drawn with.
    timeout_s: of one command.
    output_limit: characters of a command's output.

    ## References
    Liu et al., "AgentBench: Evaluating LLMs as Agents", arXiv 2308.03688; THUDM/AgentBench,
    `src/server/tasks/os_interaction` at 02cf613.

    ## Version history
    v0: first.

    Raises:
        ConfigError: an argument is none of its values, or the generator cannot give `size` tasks.
        CatalogError: `records` holds no records, or a bad one.
        UnknownNameError: there is no such split.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi", "human"], "render_fps": 4}  # type: ignore[misc]

    def __init__(
        self,
        records: str | None = None,
        sandbox: str = "docker",
        image: str = BASE_IMAGE,
        guard: bool = True,
        split: str = "train",
        size: int = 1_000,
        seed: int = 0,
        max_turns: int | None = 8,
        timeout_s: float = 30.0,
        output_limit: int = 800,
        render_mode: str | None = None,
    ) -> None:
        check_arguments(
            expect_one_of("sandbox", sandbox, BACKENDS),
            expect_positive("max_turns", max_turns, is_optional=True),
            expect_positive("timeout_s", timeout_s),
            expect_positive("output_limit", output_limit),
            expect_render_mode(render_mode),
            expect_size(size, CAPACITY),
        )
        self.library = open_library(size, seed, records)
        self.library.check_split(split)
        self.split, self.backend, self.image, self.guard = split, sandbox, image, guard
        self.max_turns, self.render_mode = max_turns, render_mode
        self.observation_space, self.action_space = UnicodeText(), UnicodeText()
        self._timeout_s, self._output_limit = timeout_s, output_limit
        self._session: Session | None = None
        self._observation, self._turns, self._is_over = "", 0, True

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
            EngineAbsentError: `sandbox` is `docker`, and no engine answers.
            ImageError: the engine lacks the image.
            InfrastructureError: no sandbox could be had, or it was lost.
        """
        super().reset(seed=seed)
        problem = self.library.choose((options or {}).get("task"), self.split, self.np_random)
        self.close()
        own = problem.goal.image if isinstance(problem.goal, Record) else ""
        pool = pool_of(self.backend, own or self.image, LIMITS)
        self._session = Session(problem, pool, is_guarded=self.guard, timeout_s=self._timeout_s)
        self._turns, self._is_over = 0, False
        self._observation = f"{problem.instruction}\n{USAGE}"
        return self._show(), self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take one action.

        Raises:
            ResetNeeded: the episode is over, or none has begun.
            InfrastructureError: the sandbox is gone.
        """
        if self._is_over:
            raise ResetNeeded("expected reset() before step(): the episode is over or none has begun")
        wanted = self._passed_on(parse_action(action))
        self._turns += 1
        if wanted.kind in ("answer", "done"):
            return self._finish(wanted.content if wanted.kind == "answer" else None)
        self._observation = self._act(wanted)
        self._is_over = self.max_turns is not None and self._turns >= self.max_turns
        info = self._info(
            StopReason.MAX_TURNS if self._is_over else None, wanted.content if wanted.kind == "invalid" else ""
        )
        if self._is_over:
            self.close()
        return self._show(), 0.0, False, self._is_over, info

    def close(self) -> None:
        """Give the episode's sandbox back; `reset` takes another."""
        self._is_over = True
        if self._session is not None:
            self._session.close()

    def render(self) -> str | None:
        """Show the last observation: returned in mode `ansi`, printed in mode `human`."""
        text = f"{'-' * 80}\n{self.session.problem.key}, turn {self._turns}\n{self._observation}"
        if self.render_mode != "human":
            return text
        print(text)
        return None

    def view(self) -> View:
        """Give the state in brief; `page` is `start`, `output` or `done`."""
        if self._is_over:
            return View("done", self._observation)
        if self._turns == 0:
            return View("start", self.session.problem.instruction, (DONE,), FREE)
        return View("output", self._observation, (DONE,), FREE)

    @property
    def session(self) -> Session:
        """The present episode's, with its problem and the commands so far; for experts and tests.

        Raises:
            ResetNeeded: no episode has begun.
        """
        if self._session is None:
            raise ResetNeeded("expected reset() first: no episode has begun")
        return self._session

    @property
    def observation(self) -> str:
        """The last observation."""
        return self._observation

    def _passed_on(self, wanted: Action) -> Action:
        """Put what the last command printed in the place of what stands for it."""
        if wanted.kind != "output":
            return wanted
        printed = self.session.printed
        if printed is None:
            return Action("invalid", f"{OUTPUT} stands for what the last command printed, and none has run yet")
        return Action("answer", printed)

    def _act(self, wanted: Action) -> str:
        """Run a command, or say what was expected."""
        self.session.denial = ""
        if wanted.kind == "invalid":
            return f"Nothing done: {wanted.content}."
        return shown(self.session.run(wanted.content), self._output_limit)

    def _finish(self, answer: str | None) -> tuple[str, float, bool, bool, dict[str, Any]]:
        components = self.session.judge(answer)
        reward = float(all(components.values()))
        self._observation = "The answer is recorded." if answer is not None else "The end is recorded."
        info = self._info(StopReason.TERMINATED, reward=reward) | {"reward_components": components}
        self.close()
        return self._show(), reward, True, False, info

    def _show(self) -> str:
        if self.render_mode == "human":
            self.render()
        return self._observation

    def _info(self, stop: StopReason | None = None, message: str = "", reward: float = 0.0) -> dict[str, Any]:
        return {
            "task": self.session.problem.key,
            "admissible_actions": None,
            "invalid_action": bool(message),
            "message": message,
            "denials": self.session.denials,
            "denial": self.session.denial,
            "success": reward == 1.0,
            "stop_reason": None if stop is None else stop.value,
        }
