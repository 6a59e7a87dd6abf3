"""The round loop: collect, score, select, train, evaluate, promote; then the test, once.

Everything of a round lies in `rounds/<n>/`: journals that a killed collection continues from, a checkpoint that is
there whole or not at all, and last the manifest, which closes the round. Whatever is missing is done again from what
precedes it, with the same result, because each step is a function of the configuration and of what is on disk.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sage_gym.config import TrainConfig
from sage_gym.distill.arena import Arena
from sage_gym.distill.checkpoints import load_optimizer, read_training, remove_checkpoint, save_checkpoint
from sage_gym.distill.collecting import Collector
from sage_gym.distill.forecasting import calibrate, report_while_fitting
from sage_gym.distill.gating import gate_after
from sage_gym.distill.judging import Judge
from sage_gym.distill.stages import Material, StageResult, make_optimizer, take_stages
from sage_gym.distill.standing import RunFolder, Standing, round_seed
from sage_gym.evaluation.accounts import account_for_round
from sage_gym.evaluation.card import write_card
from sage_gym.evaluation.manifest import (
    FinalManifest,
    RoundManifest,
    final_path,
    read_final,
    read_rounds,
    round_path,
    write_manifest,
)
from sage_gym.evaluation.promotion import Promotion, PromotionSettings, promote
from sage_gym.evaluation.sources import Composition, compose
from sage_gym.protocols import Critic, Student, Tracker
from sage_gym.rollout.tables import write_table
from sage_gym.selection import Contamination, HeldOut, Library, apply_critics, find_contamination, select
from sage_gym.selection.settings import Decontamination
from sage_gym.types import Group, Trajectory

__all__ = ["RoundLoop"]

ROW_GROUP = 128
"""Episodes a row group of a table."""
REMEMBERED = 3
"""How many earlier rounds the stage `forecast` looks back on."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A round's finished episodes, held against what they must not repeat."""

    finished: Sequence[Trajectory]
    found: Contamination
    rule: Decontamination
    is_dropping: bool
    elapsed_s: float

    def without_overlap(self, collected: Sequence[Trajectory]) -> Sequence[Trajectory]:
        """Return what may be trained on."""
        if not self.is_dropping or not self.found.dropped:
            return collected
        return [t for t in collected if t.id not in self.found.dropped]

    def composition(self, result: StageResult) -> Composition:
        """Describe what was trained on."""
        return compose(self.finished, self.found, self.rule, is_dropping=self.is_dropping, sources=result.sources)


class RoundLoop:
    """Runs a training from its folder's state to its end.

    Args:
        config: resolved; saved in the folder already.
        student: with the weights that the run starts from.
        arena: where it plays.
        tracker: told of every round.
        critics: applied to what is collected, for selection; the one named `ics` for `reinforce.eta_ics` as well.
        held_out: texts that what is trained on is held against.
    """

    def __init__(
        self,
        config: TrainConfig,
        student: Student,
        arena: Arena,
        tracker: Tracker,
        critics: Sequence[Critic] = (),
        held_out: Sequence[HeldOut] | Library = (),
    ) -> None:
        self.config, self.student, self.tracker = config, student, tracker
        self.critics, self.library = critics, Library.of(held_out)
        self.folder = config.run_folder
        self.optimizer = make_optimizer(
            student, learning_rate=config.distil.learning_rate, weight_decay=config.distil.weight_decay
        )
        self._files = RunFolder(self.folder)
        self._judge = Judge(config, student, arena)
        self._collector = Collector(config, student, arena, self._judge.select_tasks)

    def run(self) -> FinalManifest:
        """Play the rounds that are missing, then the test."""
        finished = read_final(self.folder)
        if finished is not None:
            write_card(self.folder)
            return finished
        rounds = read_rounds(self.folder) or [self._start()]
        while self._goes_on(rounds):
            rounds.append(self._round(rounds))
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
        played = self._judge.play_select(0)
        report = report_while_fitting(self.student, played, split=self.config.evaluate.select_split)
        calibrate(self.student, played)
        save_checkpoint(self._files.checkpoint(0), self.student, self.optimizer)
        return self._close(
            account_for_round(
                run=self.config.run_name,
                number=0,
                stage="start",
                policy=self.student.name,
                select=played,
                decoding=self._judge.decoding,
                seeds={"run": self.config.run.seed},
                files=self._files.hashes(0),
                checkpoint=self._files.relative(self._files.checkpoint(0)),
                forecast=report,
                elapsed_s=time.perf_counter() - began,
            )
        )

    def _round(self, rounds: Sequence[RoundManifest]) -> RoundManifest:
        began, standing = time.perf_counter(), Standing.of(rounds)
        number = standing.last + 1
        self._restore(standing.source(self.config.promotion.patience))
        collected = self._collector.collect(number)
        if self.config.tracking.parquet:
            self._export(number, collected.everything)
        compared = self._compare(collected.everything)
        material = self._prepare(number, collected.everything, compared, rounds)
        result = self._train(number, material)
        played = self._judge.play_select(number)
        report = report_while_fitting(self.student, played, split=self.config.evaluate.select_split)
        fits = calibrate(self.student, played)
        if self.student.head is not None:
            self.student.save(self._files.checkpoint(number) / "student")
        manifest = account_for_round(
            run=self.config.run_name,
            number=number,
            stage="+".join(self.config.rounds.stages),
            policy=self.student.name,
            select=played,
            collected=collected.episodes,
            selection=material.selection,
            composition=compared.composition(result),
            promotion=self._promote(number, played, standing),
            pilot=collected.pilot,
            decoding=self._judge.decoding,
            forecast=report,
            seeds={"run": self.config.run.seed, "round": self._seed(number)},
            files=self._files.hashes(number),
            metrics={**result.metrics, **collected.numbers(), **fits, "composition/elapsed_s": compared.elapsed_s},
            checkpoint=self._files.relative(self._files.checkpoint(number)),
            tokens_trained=result.tokens_trained,
            elapsed_s=time.perf_counter() - began,
        )
        return self._close(manifest)

    def _export(self, number: int, collected: Sequence[Trajectory]) -> None:
        """Write the episodes as a table, once: a journal is read again, its table is not written again."""
        path = self._files.round(number) / "trajectories.parquet"
        if not path.exists():
            write_table((collected[at : at + ROW_GROUP] for at in range(0, len(collected), ROW_GROUP)), path)

    def _compare(self, collected: Sequence[Trajectory]) -> Compared:
        """Hold the episodes against benchmarks and held-out splits, whatever the stages make of them."""
        began = time.perf_counter()
        given = self.config.selection.decontamination
        rule, is_dropping = given or Decontamination(), given is not None and given.enabled
        finished = [t for t in collected if not t.is_infrastructure]
        found = find_contamination(finished, self.library, rule)
        return Compared(finished, found, rule, is_dropping, time.perf_counter() - began)

    def _prepare(
        self, number: int, collected: Sequence[Trajectory], compared: Compared, rounds: Sequence[RoundManifest]
    ) -> Material:
        """Score the episodes and select among them, as far as the run's stages ask for it."""
        by_task: dict[str, list[Trajectory]] = {}
        for trajectory in collected:
            by_task.setdefault(trajectory.task.key, []).append(trajectory)
        groups = [Group(own[0].task, tuple(own)) for own in by_task.values()]
        scores = apply_critics(groups, list(self.critics))
        has_selection, has_forecast = (stage in self.config.rounds.stages for stage in ("distil", "forecast"))
        remembered = range(1, min(REMEMBERED + 1, number)) if has_forecast else ()
        return Material(
            compared.without_overlap(collected),
            self._seed(number),
            selection=select(groups, scores, self.config.selection, compared.found) if has_selection else None,
            ics={name: score.value for name, score in scores.get("ics", {}).items() if score.value is not None},
            gate=gate_after(manifest.metrics for manifest in rounds),
            rate=self.config.rounds.rate(number),
            allowance=self._allowance(number, rounds),
            earlier=[self._files.collected(number - back) for back in remembered],
        )

    def _allowance(self, number: int, rounds: Sequence[RoundManifest]) -> int | None:
        """Return how many tokens the round may train on: its own, and what the rounds before it left."""
        each = self.config.rounds.round_tokens
        return None if each is None else each * number - sum(m.tokens_trained for m in rounds)

    def _train(self, number: int, material: Material) -> StageResult:
        """Train the stages in order, unless the round's checkpoint is there already."""
        recorded = read_training(self._files.checkpoint(number))
        if recorded is not None:
            self._restore(number)
            self._uncalibrate()
            return StageResult.from_record(recorded)
        done = self._take_stages(material)
        self._uncalibrate()
        save_checkpoint(self._files.checkpoint(number), self.student, self.optimizer, training=done.to_record())
        return done

    def _take_stages(self, material: Material) -> StageResult:
        return take_stages(self.student, material, self.config, self.optimizer)

    def _promote(self, number: int, played: Sequence[Trajectory], standing: Standing) -> Promotion:
        """Hold the round's student against the incumbent and the best so far."""
        settings = self.config.promotion
        rivals = {
            role: (f"round {other}", self._files.played_select(other))
            for role, other in (("incumbent", standing.incumbent), ("best", standing.best))
        }
        return promote(
            (f"round {number}", played),
            rivals,
            PromotionSettings(margin=settings.margin, confidence=settings.confidence),
            seed=self.config.run.seed,
        )

    def _close(self, manifest: RoundManifest) -> RoundManifest:
        """Record a round; the manifest comes last, so that a kill before it has the round's numbers told again."""
        self.tracker.log(manifest.numbers(), manifest.round)
        write_manifest(round_path(self.folder, manifest.round), manifest)
        write_card(self.folder)
        self._tidy(manifest.round)
        return manifest

    # The test

    def _finish(self, rounds: Sequence[RoundManifest]) -> FinalManifest:
        """Have the last promoted student tested against round 0."""
        self._tidy(rounds[-1].round)
        final = self._judge.test(
            Standing.of(rounds).incumbent,
            self._restore,
            tokens_trained=sum(m.tokens_trained for m in rounds),
            elapsed_s=sum(m.elapsed_s for m in rounds),
        )
        write_card(self.folder)
        write_manifest(final_path(self.folder), final)
        return final

    # The student

    def _tidy(self, number: int) -> None:
        """Remove checkpoints that nothing goes on from: all but round 0, the incumbent, the best and the last."""
        standing = Standing.of(read_rounds(self.folder))
        kept = {0, number, standing.incumbent, standing.best}
        for earlier in range(number):
            if earlier not in kept:
                remove_checkpoint(self._files.checkpoint(earlier))

    def _restore(self, number: int) -> None:
        self.student.restore(self._files.checkpoint(number) / "student")
        load_optimizer(self._files.checkpoint(number), self.optimizer)

    def _uncalibrate(self) -> None:
        """Have the head give raw forecasts, so that what is recorded next can be calibrated on."""
        head: Any = self.student.head
        if head is not None:
            head.uncalibrate()

    def _seed(self, number: int) -> int:
        return round_seed(self.config.run.seed, number)
