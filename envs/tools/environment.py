"""The tools environment: an assistant's session in a simulated company."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import gymnasium
from gymnasium.error import ResetNeeded

from envs.tools.briefing import SHOWN, Shown, brief
from envs.tools.company import Company
from envs.tools.faults import Faults
from envs.tools.generator import Puzzle, make_puzzle
from envs.tools.python_sandbox import PythonSandbox
from envs.tools.scoring import SHORTFALLS, Score, score
from envs.tools.session import Session
from envs.tools.splits import MOST_TASKS, SPLITS, draw
from envs.tools.toolbox import TOOLS
from sage_gym.errors import ConfigError, TaskKeyError, UnknownNameError
from sage_gym.sandbox.opening import BACKENDS
from sage_gym.sandbox.pool import SandboxPool
from sage_gym.sandbox.text import neutral
from sage_gym.spaces import UnicodeText
from sage_gym.types import StopReason, Task, View

__all__ = ["TaskList", "Tools"]

SUCCESS = 1.0 - 1e-9
SIZES = {"train": 20_000, "demonstrations": MOST_TASKS}
SIZE = 1_000
Backend = Literal["stub", "local", "docker"]


class TaskList(Sequence[Task]):
    """The tasks of one split, made when asked for."""

    def __init__(self, split: str, size: int) -> None:
        self._split, self._size = split, size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(self._size))]
        index = at + self._size if at < 0 else at
        if not 0 <= index < self._size:
            raise IndexError(f"expected a task below {self._size}, got {at}")
        return make_puzzle(self._split, index).task


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
        max_turns: int | None = 20,
        render_mode: str | None = None,
    ) -> None:
        _check_arguments(faults, sandbox, tools_shown, size, max_turns, render_mode)
        if split not in SPLITS:
            raise UnknownNameError("split", split, SPLITS)
        self.split, self.faults, self.fault_seed = split, faults, fault_seed
        self.tools_shown, self.size, self.max_turns, self.render_mode = tools_shown, size, max_turns, render_mode
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
        if split not in SPLITS:
            raise UnknownNameError("split", split, SPLITS)
        return TaskList(split, self._size_of(split))

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
        puzzle = self._choose((options or {}).get("task"))
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

    def _size_of(self, split: str) -> int:
        return self.size or SIZES.get(split, SIZE)

    def _choose(self, wanted: Any) -> Puzzle:
        if wanted is None:
            return make_puzzle(self.split, int(self.np_random.integers(self._size_of(self.split))))
        key = wanted.key if isinstance(wanted, Task) else str(wanted)
        environment, _, rest = key.partition("/")
        split, _, number = rest.partition("/")
        is_number = number.isascii() and number.isdigit() and len(number) == 5
        if environment == "tools" and split in SPLITS and is_number and int(number) < self._size_of(split):
            return make_puzzle(split, int(number))
        held = ", ".join(f"tools/{name}/00000 to tools/{name}/{self._size_of(name) - 1:05d}" for name in SPLITS)
        raise TaskKeyError(f"no task {key!r}; there are {held}")

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


def _check_arguments(
    faults: float, sandbox: str, tools_shown: str, size: int | None, max_turns: int | None, render_mode: str | None
) -> None:
    problems = []
    if not 0.0 <= faults <= 1.0:
        problems.append(f"faults: expected a share in [0, 1], got {faults}")
    if sandbox not in BACKENDS:
        problems.append(f"sandbox: expected one of {', '.join(BACKENDS)}, got {sandbox!r}")
    if tools_shown not in SHOWN:
        problems.append(f"tools_shown: expected one of {', '.join(SHOWN)}, got {tools_shown!r}")
    if size is not None and not 1 <= size <= MOST_TASKS:
        problems.append(f"size: the generator can give 1 to {MOST_TASKS} tasks a split, got {size}")
    if max_turns is not None and max_turns < 1:
        problems.append(f"max_turns: expected a positive number or None, got {max_turns}")
    if render_mode not in (None, "ansi", "human"):
        problems.append(f"render_mode: expected ansi, human or None, got {render_mode!r}")
    if problems:
        raise ConfigError(problems)
