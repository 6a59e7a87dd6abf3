"""The round loop: collect, score, select, train, evaluate, promote; then the test, once.

Everything of a round lies in `rounds/<n>/`: journals that a killed collection continues from, a checkpoint that is
there whole or not at all, and last the manifest, which closes the round. Whatever is missing is done again from what
precedes it, with the same result, because each step is a function of the configuration and of what is on disk.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from sage_gym.config import TrainConfig
from sage_gym.distill.arena import Arena
from sage_gym.distill.checkpoints import load_optimizer, read_training, remove_checkpoint, save_checkpoint
from sage_gym.distill.forecasting import calibrate, report_forecasts
from sage_gym.distill.heads import fit_forecasts
from sage_gym.distill.piloting import run_pilot
from sage_gym.distill.stages import StageResult, distil, make_optimizer, reinforce
from sage_gym.evaluation.accounts import account_for_end, account_for_round
from sage_gym.evaluation.manifest import (
    FinalManifest,
    RoundManifest,
    final_path,
    hash_file,
    read_final,
    read_rounds,
    round_path,
    write_manifest,
)
from sage_gym.evaluation.pilot import Pilot
from sage_gym.evaluation.promotion import PromotionSettings, promote
from sage_gym.protocols import Critic, Policy, Student, Tracker
from sage_gym.registry import resolve
from sage_gym.rollout import read_trajectories
from sage_gym.selection import Selection, apply_critics, next_tasks, select
from sage_gym.types import Group, Task, Trajectory

__all__ = ["RoundLoop"]


@dataclass(slots=True)
class Standing:
    """Where the run stands: the last finished round, and which rounds' students matter."""

    last: int
    incumbent: int
    best: int
    unpromoted: int

    @classmethod
    def of(cls, rounds: Sequence[RoundManifest]) -> Standing:
        """Read it off the manifests."""
        promoted = [m.round for m in rounds if m.promoted]
        scored = {m.round: m.select.success.value for m in rounds if m.promoted and m.select and m.select.success}
        best = max(scored, key=lambda number: (scored[number], number), default=0)
        return cls(rounds[-1].round, promoted[-1], best, rounds[-1].round - promoted[-1])


class RoundLoop:
    """Runs a training from its folder's state to its end.

    Args:
        config: resolved; saved in the folder already.
        student: with the weights that the run starts from.
        arena: where it plays.
        tracker: told of every round.
        critics: applied to what is collected, for selection.
    """

    def __init__(
        self, config: TrainConfig, student: Student, arena: Arena, tracker: Tracker, critics: Sequence[Critic] = ()
    ) -> None:
        self.config, self.student, self.arena, self.tracker, self.critics = config, student, arena, tracker, critics
        self.folder = config.run_folder
        self.optimizer = make_optimizer(
            student, learning_rate=config.distil.learning_rate, weight_decay=config.distil.weight_decay
        )
        self._select_tasks = arena.fixed_tasks(config.evaluate.select_split, config.evaluate.select_tasks)

    def run(self) -> FinalManifest:
        """Play the rounds that are missing, then the test."""
        finished = read_final(self.folder)
        if finished is not None:
            return finished
        rounds = read_rounds(self.folder) or [self._start()]
        while self._goes_on(rounds):
            rounds.append(self._round(Standing.of(rounds)))
        return self._finish(rounds)

    def _goes_on(self, rounds: Sequence[RoundManifest]) -> bool:
        limit = self.config.rounds.token_limit
        is_spent = limit is not None and sum(m.tokens_trained for m in rounds) >= limit
        return rounds[-1].round < self.config.rounds.count and not is_spent

    # Rounds

    def _start(self) -> RoundManifest:
        """Round 0: the untrained student on the select split."""
        began = time.perf_counter()
        self._uncalibrate()
        played = self._play_select(0)
        calibrate(self.student, played)
        save_checkpoint(self._checkpoint(0), self.student, self.optimizer)
        return self._close(
            account_for_round(
                run=self.config.run_name,
                number=0,
                stage="start",
                policy=self.student.name,
                select=played,
                decoding=self._decoding(),
                seeds={"run": self.config.run.seed},
                files=self._hashes(0),
                checkpoint=self._checkpoint(0).relative_to(self.folder).as_posix(),
                forecast=report_forecasts(played, split="select"),
                elapsed_s=time.perf_counter() - began,
            )
        )

    def _round(self, standing: Standing) -> RoundManifest:
        began = time.perf_counter()
        number = standing.last + 1
        self._restore(self._source(standing))
        collected, pilot = self._collect(number)
        selection = self._select(collected)
        result = self._train(number, collected, selection)
        played = self._play_select(number)
        fits = calibrate(self.student, played)
        promotion = promote(
            (f"round {number}", played),
            {
                "incumbent": (f"round {standing.incumbent}", self._played_select(standing.incumbent)),
                "best": (f"round {standing.best}", self._played_select(standing.best)),
            },
            PromotionSettings(margin=self.config.promotion.margin, confidence=self.config.promotion.confidence),
            seed=self.config.run.seed,
        )
        if self.student.head is not None:
            self.student.save(self._checkpoint(number) / "student")
        manifest = account_for_round(
            run=self.config.run_name,
            number=number,
            stage="+".join(self.config.rounds.stages),
            policy=self.student.name,
            select=played,
            collected=collected,
            selection=selection,
            promotion=promotion,
            pilot=pilot,
            decoding=self._decoding(),
            forecast=report_forecasts(played, split="select"),
            seeds={"run": self.config.run.seed, "round": self._seed(number)},
            files=self._hashes(number),
            metrics={**result.metrics, **fits},
            checkpoint=self._checkpoint(number).relative_to(self.folder).as_posix(),
            tokens_trained=result.tokens_trained,
            elapsed_s=time.perf_counter() - began,
        )
        return self._close(manifest)

    def _source(self, standing: Standing) -> int:
        """Which round's student goes on: the last one, or the incumbent each time it has gone too long unpromoted."""
        is_returning = standing.unpromoted % (self.config.promotion.patience + 1) == 0
        return standing.incumbent if is_returning else standing.last

    def _collect(self, number: int) -> tuple[list[Trajectory], Pilot | None]:
        """Play the round's tasks, with the amplified student where the pilot lets it."""
        rollout = self.config.rollout
        policy = self.student.with_decoding(temperature=rollout.temperature, restricted=rollout.restricted)
        policy, pilot = self._amplify(policy, number)
        collected = self.arena.play(
            policy,
            self._next_tasks(number),
            self._folder(number) / "collect.jsonl",
            title=f"round {number}: collect",
            round=number,
            attempts=rollout.group_size,
        )
        return collected, pilot

    def _amplify(self, policy: Policy, number: int) -> tuple[Policy, Pilot | None]:
        """Put search and re-planning around the student, if a paired pilot on select tasks shows no harm."""
        settings = self.config.amplify
        if not settings.enabled or self.student.head is None:
            return policy, None
        make = partial(
            resolve("policy", "amplified"),
            policy,
            candidates=settings.candidates,
            tau=settings.tau,
            replans=settings.replans,
            seed=self._seed(number),
        )
        amplified: Policy = make(untouched_share=settings.untouched_share)
        if not settings.pilot_tasks:
            return amplified, None
        tasks = self._select_tasks[: settings.pilot_tasks]
        pilot = run_pilot(
            self.arena, policy, make(untouched_share=0.0), tasks, self._folder(number), round=number,
            seed=self.config.run.seed,
        )  # fmt: skip
        return (amplified if pilot.replanning else policy), pilot

    def _next_tasks(self, number: int) -> list[Task]:
        """Draw a pool of training tasks, forecast each before anything is played, and take the learnable ones."""
        rollout, everything = self.config.rollout, self.arena.tasks(self.config.rollout.split)
        rng = np.random.default_rng([self.config.run.seed, number, 1])
        size = min(len(everything), max(1, rollout.pool) * rollout.tasks_per_round)
        pool = {task.key: task for task in (everything[int(i)] for i in rng.permutation(len(everything))[:size])}
        forecasts: dict[str, float] = {}
        if rollout.pool > 1 and self.student.head is not None:
            contexts = self.arena.first_contexts(list(pool.values()))
            forecasts = dict(zip(pool, self.student.foresee(contexts), strict=True))
        drawn = next_tasks(list(pool), forecasts, rollout.tasks_per_round, self._seed(number))
        return [pool[key] for key in drawn]

    def _select(self, collected: Sequence[Trajectory]) -> Selection | None:
        if "distil" not in self.config.rounds.stages:
            return None
        groups: dict[str, list[Trajectory]] = {}
        for trajectory in collected:
            groups.setdefault(trajectory.task.key, []).append(trajectory)
        own_groups = [Group(own[0].task, tuple(own)) for own in groups.values()]
        scores = apply_critics(own_groups, list(self.critics))
        return select(own_groups, scores, self.config.selection)

    def _train(self, number: int, collected: Sequence[Trajectory], selection: Selection | None) -> StageResult:
        """Train the stages in order, unless the round's checkpoint is there already."""
        recorded = read_training(self._checkpoint(number))
        if recorded is not None:
            self._restore(number)
            self._uncalibrate()
            return StageResult(**recorded)
        done = self._take_stages(number, collected, selection)
        self._uncalibrate()
        save_checkpoint(self._checkpoint(number), self.student, self.optimizer, training=asdict(done))
        return done

    def _take_stages(self, number: int, collected: Sequence[Trajectory], selection: Selection | None) -> StageResult:
        metrics: dict[str, float] = {}
        tokens = 0
        for stage in self.config.rounds.stages:
            if stage == "forecast":
                result = StageResult(fit_forecasts(self.student, collected))
            elif stage == "distil" and selection is not None:
                result = distil(
                    self.student, collected, selection, self.config.distil, self.optimizer, seed=self._seed(number)
                )
            else:
                result = reinforce(
                    self.student, collected, self.config.reinforce, self.optimizer, seed=self._seed(number)
                )
            metrics |= result.metrics
            tokens += result.tokens_trained
        return StageResult(metrics, tokens)

    # The test

    def _finish(self, rounds: Sequence[RoundManifest]) -> FinalManifest:
        """Play the test split for round 0 and the last promoted student, with both ways of decoding."""
        began = time.perf_counter()
        self._tidy(rounds[-1].round)
        standing = Standing.of(rounds)
        tasks = self.arena.fixed_tasks(self.config.evaluate.test_split, self.config.evaluate.test_tasks)
        settings = self.config.evaluate
        played: dict[tuple[int, bool], list[Trajectory]] = {}
        for number in dict.fromkeys((0, standing.incumbent)):
            self._restore(number)
            for restricted in (settings.restricted, not settings.restricted):
                policy = self.student.with_decoding(temperature=settings.temperature, restricted=restricted)
                name = f"test-{number:03d}-{'restricted' if restricted else 'free'}.jsonl"
                title = f"test: round {number}, {'restricted' if restricted else 'free'} decoding"
                played[number, restricted] = self.arena.play(policy, tasks, self.folder / "test" / name, title=title)
        tests = [
            (settings.test_split, _decoding(settings.temperature, way), played[0, way], played[standing.incumbent, way])
            for way in (settings.restricted, not settings.restricted)
        ]
        final = account_for_end(
            run=self.config.run_name,
            environment=self.config.env.name,
            policy=self.student.name,
            seed=self.config.run.seed,
            last_promoted=standing.incumbent,
            tests=tests,
            forecast=report_forecasts(
                played[standing.incumbent, settings.restricted],
                split=settings.test_split,
                fitted_on=self._played_select(standing.incumbent),
            ),
            tokens_trained=sum(m.tokens_trained for m in rounds),
            elapsed_s=sum(m.elapsed_s for m in rounds) + time.perf_counter() - began,
            notes=("no expert demonstrations; the student alone, without amplification",),
        )
        write_manifest(final_path(self.folder), final)
        return final

    # What a round consists of

    def _play_select(self, number: int) -> list[Trajectory]:
        settings = self.config.evaluate
        policy = self.student.with_decoding(temperature=settings.temperature, restricted=settings.restricted)
        journal = self._folder(number) / "select.jsonl"
        return self.arena.play(policy, self._select_tasks, journal, title=f"round {number}: select", round=number)

    def _played_select(self, number: int) -> list[Trajectory]:
        return [t for chunk in read_trajectories(self._folder(number) / "select.jsonl") for t in chunk]

    def _close(self, manifest: RoundManifest) -> RoundManifest:
        """Record a round; the manifest comes last, so that a kill before it has the round's numbers told again."""
        self.tracker.log(manifest.numbers(), manifest.round)
        write_manifest(round_path(self.folder, manifest.round), manifest)
        self._tidy(manifest.round)
        return manifest

    def _tidy(self, number: int) -> None:
        """Remove checkpoints that nothing goes on from: all but round 0, the incumbent, the best and the last."""
        standing = Standing.of(read_rounds(self.folder))
        kept = {0, number, standing.incumbent, standing.best}
        for earlier in range(number):
            if earlier not in kept:
                remove_checkpoint(self._checkpoint(earlier))

    def _restore(self, number: int) -> None:
        self.student.restore(self._checkpoint(number) / "student")
        load_optimizer(self._checkpoint(number), self.optimizer)

    def _uncalibrate(self) -> None:
        """Set the head's temperatures to 1, so that what is recorded next can be calibrated on."""
        if self.student.head is not None:
            with torch.no_grad():
                self.student.head.temperatures.fill_(1.0)  # type: ignore[operator]

    def _folder(self, number: int) -> Path:
        return round_path(self.folder, number).parent

    def _checkpoint(self, number: int) -> Path:
        return self._folder(number) / "checkpoint"

    def _hashes(self, number: int) -> dict[str, str]:
        """Hash a round's weights, which are a function of the configuration."""
        paths = sorted((self._checkpoint(number) / "student").glob("*.safetensors"))
        return {path.relative_to(self.folder).as_posix(): hash_file(path) for path in paths}

    def _seed(self, number: int) -> int:
        return int(np.random.SeedSequence([self.config.run.seed, number]).generate_state(1)[0])

    def _decoding(self) -> str:
        return _decoding(self.config.evaluate.temperature, self.config.evaluate.restricted)


def _decoding(temperature: float, restricted: bool) -> str:
    how = "the likeliest token" if temperature == 0 else f"sampled at temperature {temperature:g}"
    return f"{'restricted to admissible actions' if restricted else 'unrestricted'}, {how}"
