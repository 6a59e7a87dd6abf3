"""Metrics on disk, in the terminal and with W&B."""

from __future__ import annotations

import io
import json
import threading

import pytest
from rich.console import Console

from sage_gym.tracking import JsonlTracker, RoundTable, open_tracker, read_metrics
from sage_gym.tracking.weights_and_biases import WandbTracker, choose_mode, open_wandb


def console():
    return Console(file=io.StringIO(), width=160)


class FakeRun:
    """Takes what W&B would."""

    def __init__(self):
        self.logged = []
        self.finished = False

    def log(self, numbers):
        self.logged.append(numbers)

    def finish(self):
        self.finished = True


def test_a_line_torn_by_a_kill_is_cut_off_and_the_rest_kept(tmp_path):
    path = tmp_path / "metrics.jsonl"
    first = JsonlTracker(path)
    first.log({"select/success": 0.25}, 0)
    first.close()
    with path.open("a") as stream:
        stream.write('{"step": 1, "metr')
    assert read_metrics(path) == {0: {"select/success": 0.25}}
    again = JsonlTracker(path)
    again.log({"select/success": 0.5}, 1)
    again.close()
    assert read_metrics(path) == {0: {"select/success": 0.25}, 1: {"select/success": 0.5}}
    assert len(path.read_text().splitlines()) == 2


def test_a_step_done_again_counts_once(tmp_path):
    tracker = JsonlTracker(tmp_path / "m.jsonl")
    for value in (0.1, 0.2):
        tracker.log({"a": value, "b": "word"}, 3)
    tracker.close()
    assert read_metrics(tmp_path / "m.jsonl") == {3: {"a": 0.2, "b": "word"}}


def test_a_loss_that_became_nan_stays_visible_and_the_file_stays_json(tmp_path):
    tracker = JsonlTracker(tmp_path / "m.jsonl")
    tracker.log({"loss": float("nan"), "bound": float("-inf")}, 0)
    tracker.close()
    json.loads((tmp_path / "m.jsonl").read_text(), parse_constant=pytest.fail)
    found = read_metrics(tmp_path / "m.jsonl")[0]
    assert found["loss"] != found["loss"]
    assert found["bound"] == float("-inf")


def test_a_value_that_is_no_number_is_refused_by_name(tmp_path):
    with pytest.raises(TypeError, match="'a': expected a number"):
        JsonlTracker(tmp_path / "m.jsonl").log({"a": [1]}, 0)


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"step": 0, "metrics": {}}\nnot json\n{"step": 1, "metrics": {}}\n')
    with pytest.raises(ValueError, match="line 2"):
        read_metrics(tmp_path / "m.jsonl")


def test_the_table_shows_every_round_with_intervals_also_those_before_a_resume():
    screen = console()
    earlier = {0: {"select/success": 0.3, "round/promoted": 1.0}}
    table = RoundTable(screen, earlier)
    table.log({"step/loss": 1.0}, 0)
    assert screen.file.getvalue() == ""
    table.log(
        {"select/success": 0.425, "select/success_low": 0.36, "select/success_high": 0.49, "round/promoted": 0.0}, 1
    )
    shown = screen.file.getvalue()
    assert "30.0" in shown
    assert "42.5 [36.0, 49.0]" in shown
    assert "AUROC" not in shown


@pytest.mark.parametrize(
    ("setting", "environ", "mode"),
    [
        ("auto", {}, "offline"),
        ("auto", {"WANDB_API_KEY": "made up"}, "online"),
        ("auto", {"WANDB_API_KEY": "made up", "WANDB_MODE": "offline"}, "offline"),
        ("online", {"WANDB_MODE": "disabled"}, "off"),
        ("online", {}, "online"),
        ("off", {"WANDB_MODE": "online"}, "off"),
    ],
)
def test_wandb_mode_is_chosen_by_setting_key_and_variable(tmp_path, setting, environ, mode):
    assert choose_mode(setting, environ, tmp_path / "none") == mode


def test_a_login_on_file_counts_as_a_key(tmp_path):
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password made-up\n")
    assert choose_mode("auto", {}, tmp_path / "netrc") == "online"
    assert choose_mode("auto", {"WANDB_BASE_URL": "https://wandb.example.org"}, tmp_path / "netrc") == "offline"


def test_an_unknown_wandb_mode_is_refused(tmp_path):
    with pytest.raises(ValueError, match="WANDB_MODE: expected one of online"):
        choose_mode("auto", {"WANDB_MODE": "onlin"}, tmp_path / "none")


def test_numbers_reach_wandb_in_order_with_their_round():
    run = FakeRun()
    tracker = WandbTracker(lambda mode: run, "offline", pytest.fail)
    tracker.log({"a": 1}, 0)
    tracker.log({"a": 2}, 1)
    tracker.close()
    assert run.logged == [{"a": 1, "round": 0}, {"a": 2, "round": 1}]
    assert run.finished


def test_wandb_that_cannot_go_online_goes_on_offline_with_a_word():
    said, run = [], FakeRun()

    def start(mode):
        if mode == "online":
            raise TimeoutError("no answer")
        return run

    tracker = WandbTracker(start, "online", said.append)
    tracker.log({"a": 1}, 0)
    tracker.close()
    assert run.logged == [{"a": 1, "round": 0}]
    assert "could not go online (TimeoutError: no answer)" in said[0]


def test_wandb_that_breaks_does_not_stop_the_run():
    said = []

    def start(mode):
        raise OSError("disk full")

    tracker = WandbTracker(start, "offline", said.append)
    tracker.log({"a": 1}, 0)
    tracker.close()
    assert len(said) == 1
    assert "metrics.jsonl holds everything" in said[0]


def test_wandb_that_hangs_is_left_behind_after_the_deadline():
    said, never = [], threading.Event()
    tracker = WandbTracker(lambda mode: never.wait(), "offline", said.append, close_timeout_s=0.05)
    tracker.log({"a": 1}, 0)
    tracker.close()
    never.set()
    assert "did not finish" in said[0]


def test_wandb_switched_off_is_not_started(tmp_path):
    assert open_wandb(tmp_path, setting="off", project="p", config={}, say=pytest.fail, environ={}) is None


def test_one_tracker_feeds_journal_and_table(tmp_path):
    screen = console()
    tracker = open_tracker(tmp_path / "run", wandb="off", console=screen)
    tracker.log({"select/success": 0.5, "round/promoted": 1.0}, 0)
    tracker.close()
    assert read_metrics(tmp_path / "run" / "metrics.jsonl")[0]["select/success"] == 0.5
    assert "50.0" in screen.file.getvalue()


def test_real_wandb_writes_offline_under_the_run_folder(tmp_path):
    said = []
    tracker = open_wandb(tmp_path, setting="offline", project="p", config={"a": 1}, say=said.append, environ={})
    tracker.log({"select/success": 0.5}, 0)
    tracker.close()
    assert list((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))
    assert said == [f"wandb: offline; to upload later: wandb sync {tmp_path}/wandb/offline-run-*"]
