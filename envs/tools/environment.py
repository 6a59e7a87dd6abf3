"""The tools environment: an assistant's session in a simulated company."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import gymnasium
from gymnasium.error import ResetNeeded

from envs.tools.briefing import SHOWN, Shown, brief
from envs.tools.company import Company
from envs.tools.faults import Faults
from envs.tools.generator import Puzzle, key_prefix, make_puzzle
from envs.tools.python_sandbox import PythonSandbox
from envs.tools.scoring import SHORTFALLS, Score, score
from envs.tools.session import Session
from envs.tools.splits import MOST_TASKS, SPLITS, draw
from envs.tools.toolbox import TOOLS
from sage_gym.arguments import (
    check_arguments,
    expect_one_of,
    expect_positive,
    expect_render_mode,
    expect_share,
    expect_size,
)
from sage_gym.sandbox.opening import BACKENDS
from sage_gym.sandbox.pool import SandboxPool
from sage_gym.sandbox.text import neutral
from sage_gym.spaces import UnicodeText
from sage_gym.tasks import KeyRange, Library, Source
from sage_gym.types import StopReason, Task, View

__all__ = ["Tools"]

SUCCESS = 1.0 - 1e-9
SIZES = {"train": 20_000, "demonstrations": MOST_TASKS}
SIZE = 1_000
Backend = Literal["stub", "local", "docker"]


class Tools(gymnasium.Env[str, str]):
    """Do office tasks in a simulated company, with 28 tools whose answers feed one another.

    ## Description
    Each task has a company of its own, drawn from its seed: people, calendars, mail, files, notes, a key-value store,
    SQL records, knowledge articles, currency and weather tables, approvals. A task chains two to six tools; what one
    answers is an argument of the next. Some calls meet a fault (`envs.tools.faults`).

    ## Observation space
    Text. First the instruction, the date and the tools; then what the last call answered, as JSON behind its number
    (`[3] find_contact: {…}`), or what was wrong with it, with the tool's schema. `view()` gives it in brief.

    ## Action space
    Text: `tool[arguments]`, `call[{"name": …, "arguments": {…}}]`, `answer[text]`, `done[]`; see `envs.tools.calls`
    for the grammar and `envs.tools.references` for `$field`. Anything else changes nothing.

    ## Rewards
    0 until `answer[…]` or `done[]`, then the score in [0, 1] of the final state and the answer (`envs.tools.scoring`).

    ## Starting state
    The task's company. `reset(options={"task": key})` picks the task; otherwise it is drawn from `split` with
    `np_random`. In a vector environment one `options` reaches every sub-environment, and autoreset drops it.

    ## Episode end
    Terminated by `answer[…]` or `done[]`; truncated after `max_turns` actions (None: never).

    ## Information
    `task` (key), `admissible_actions` (None: arguments are free text), `invalid_action`, `message` (what was wrong),
    `success` (score 1), `stop_reason` (None while it runs) and, at the end, `reward_components`, `side_effects` (in
    words), `faults_met` and `faults_recovered` (numbers).

    ## Arguments
    split: where `reset` draws from when no task is named; see `envs.tools.splits` for what each holds out.
    faults: share of calls that meet a fault.
    fault_seed: another number draws other faults for the same tasks.
    sandbox: where `run_python` runs: `stub` (arithmetic in this process), `local` or `docker`.
    pool: a pool of sandboxes to borrow from instead.
    tools_shown: what the first observation says of the tools: their signatures, their JSON schemas, or nothing.
    size: how many tasks each split offers; by default 20,000 for training, 100,000 for demonstrations, 1,000 for
    each other.
    most_calls: plans have at most so many calls (2 to 8; None: 8, all there are). Shorter plans are tasks of their own
    (`tools/train-3/00000`); what is held out is the same.

    ## References
    OpenAI, "Function calling" (the format of the schemas); Yao et al., "τ-bench", arXiv 2406.12045 (success by the
    final state of the data).

    ## Version history
    v0: first.

    Raises:
        ConfigError: an argument is none of its values, or more tasks are asked for than the generator can give.
        UnknownNameError: there is no such split.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi", "human"], "render_fps": 4}  # type: ignore[misc]
    shortfalls: ClassVar[dict[str, str]] = SHORTFALLS

    def __init__(
        self,
        split: str = "train",
        faults: float = 0.15,
        fault_seed: int = 0,
        sandbox: Backend = "stub",
        pool: SandboxPool | None = None,
        tools_shown: Shown = "signatures",
        size: int | None = None,
        most_calls: int | None = None,
        max_turns: int | None = 20,
        render_mode: str | None = None,
    ) -> None:
        check_arguments(
            expect_share("faults", faults),
            expect_one_of("sandbox", sandbox, BACKENDS),
            expect_one_of("tools_shown", tools_shown, SHOWN),
            expect_size(size, MOST_TASKS, is_optional=True),
            ""
            if most_calls is None or most_calls >= 2
            else f"most_calls: expected 2 or more, or None, got {most_calls}",
            expect_positive("max_turns", max_turns, is_optional=True),
            expect_render_mode(render_mode),
        )
        self.library = _library(size, most_calls)
        self.library.check_split(split)
        self.split, self.faults, self.fault_seed = split, faults, fault_seed
        self.tools_shown, self.max_turns, self.render_mode = tools_shown, max_turns, render_mode
        self.observation_space, self.action_space = UnicodeText(), UnicodeText()
        self._python = PythonSandbox(sandbox, pool)
        self._session: Session | None = None
        self._turns, self._is_over = 0, True

    # Tasks

    def splits(self) -> tuple[str, ...]:
        """Name the splits."""
        return SPLITS

    def tasks(self, split: str) -> Sequence[Task]:
        """List the tasks of a split, by number.

        Raises:
            UnknownNameError: there is no such split; the nearest is given.
        """
        return self.library.tasks(split)

    def schemas(self) -> list[dict[str, Any]]:
        """Return the tools as OpenAI function calling takes them."""
        return [tool.schema() for tool in TOOLS.values()]

    # Episodes

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode on `options["task"]` (a key or a `Task`), else on one drawn from the split.

        Raises:
            TaskKeyError: no such task; the valid range is given.
        """
        super().reset(seed=seed)
        puzzle = self.library.choose((options or {}).get("task"), self.split, self.np_random)
        if self._session is not None:
            self._session.company.close()
        self._python.renew()
        seed_of_faults = draw("faults", puzzle.task.key, self.fault_seed)
        faults = Faults(seed_of_faults, self.faults, puzzle.world.today)
        self._session = Session(puzzle, Company(puzzle.world, self._python.run), faults)
        self._session.observation, self._session.news = brief(puzzle, self.tools_shown), f"today {puzzle.world.today}"
        self._turns, self._is_over = 0, False
        return self._show(), self._info(None, None)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take one action.

        Raises:
            ResetNeeded: the episode is over, or none has begun.
            InfrastructureError: the sandbox is gone.
        """
        if self._is_over:
            raise ResetNeeded("expected reset() before step(): the episode is over or none has begun")
        session = self.session
        session.act(action)
        self._turns += 1
        is_ended = session.ending is not None
        is_cut = not is_ended and self.max_turns is not None and self._turns >= self.max_turns
        self._is_over = is_ended or is_cut
        stop = StopReason.TERMINATED if is_ended else StopReason.MAX_TURNS if is_cut else None
        scored = self._score() if self._is_over else None
        reward = scored.value if scored and is_ended else 0.0
        return self._show(), reward, is_ended, is_cut, self._info(stop, scored)

    def render(self) -> str | None:
        """Show the instruction, the calls so far and the last answer: returned in mode `ansi`, printed in `human`."""
        session = self.session
        calls = [f"[{entry.number}] {entry.tool} {json.dumps(dict(entry.arguments))}" for entry in session.log]
        text = "\n".join(["-" * 80, session.puzzle.task.instruction, *map(neutral, calls), "", session.observation])
        if self.render_mode != "human":
            return text
        print(text)
        return None

    def view(self) -> View:
        """Give the state in brief: the news, and a free prefix for each tool and each way to end."""
        return self.session.view()

    def close(self) -> None:
        """End the sandbox; may be called again."""
        if self._session is not None:
            self._session.company.close()
            self._session, self._is_over = None, True
        self._python.close()

    @property
    def session(self) -> Session:
        """The episode's state; for experts and tests, to be read only.

        Raises:
            ResetNeeded: no episode has begun.
        """
        if self._session is None:
            raise ResetNeeded("expected reset() first: no episode has begun")
        return self._session

    def _score(self) -> Score:
        session = self.session
        puzzle, ending = session.puzzle, session.ending
        given = ending.answer if ending else None
        changes = session.company.changes()
        return score(puzzle.expected, changes, puzzle.answer, given, puzzle.task.instruction)

    def _show(self) -> str:
        if self.render_mode == "human":
            self.render()
        return self.session.observation

    def _info(self, stop: StopReason | None, scored: Score | None) -> dict[str, Any]:
        session = self.session
        is_success = scored is not None and stop is StopReason.TERMINATED and scored.value >= SUCCESS
        info: dict[str, Any] = {
            "task": session.puzzle.task.key,
            "admissible_actions": None,
            "invalid_action": bool(session.message),
            "message": session.message,
            "success": is_success,
            "stop_reason": None if stop is None else stop.value,
        }
        if scored is not None:
            info["reward_components"] = dict(scored.components)
            info["side_effects"] = list(scored.side_effects)
            info["faults_met"] = len(session.faults_met())
            info["faults_recovered"] = len(session.faults_recovered(is_success=is_success))
        return info


def _library(size: int | None, most_calls: int | None) -> Library[Puzzle]:
    sizes = {split: size or SIZES.get(split, SIZE) for split in SPLITS}
    sources = {
        split: Source(
            KeyRange(key_prefix(split, most_calls), count), partial(make_puzzle, split, most_calls=most_calls)
        )
        for split, count in sizes.items()
    }
    return Library(sources, lambda puzzle: puzzle.task)
