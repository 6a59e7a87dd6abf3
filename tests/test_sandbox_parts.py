"""What sandboxes are made of: text that is shown, output that is kept, messages, the guard in front, names, errors."""

import json
import subprocess
import sys
from pathlib import Path

import docker
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage_gym.errors import EngineAbsentError, ImageError, SandboxFileError, UnknownNameError
from sage_gym.sandbox import GuardedSandbox, Limits, Result, Sandbox, __main__, open_sandbox
from sage_gym.sandbox import engine as engines
from sage_gym.sandbox.engine import Engine
from sage_gym.sandbox.guard import Guard
from sage_gym.sandbox.images import DOCKERFILES, make_image, packages_of
from sage_gym.sandbox.inside.capture import Capture
from sage_gym.sandbox.inside.frames import Frames, pack
from sage_gym.sandbox.shipping import MODULES, runner_command
from sage_gym.sandbox.stub import Said, StubSandbox
from sage_gym.sandbox.text import clip, neutral


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;ZXZpbA==\x07", ""),
        ("\x1b[2J\x1b[H\x9b31mx", "x"),
        ("\x1bPq#0\x1b\\x\x1bc", "x"),
        ("bell\x07 null\x00 delete\x7f", "bell\\x07 null\\x00 delete\\x7f"),
        ("10%\r20%\r\n", "10%\n20%\n"),
        ("user\u202egnp.exe\u2066", "user\\u202egnp.exe\\u2066"),
        ("\x1b", "\\x1b"),
    ],
)
def test_control_codes_take_no_effect(written, shown):
    assert neutral(written) == shown


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left(text):
    assert all(character in "\t\n" or character.isprintable() or ord(character) > 0x9F for character in neutral(text))


@given(st.text(), st.integers(0, 50))
def test_a_clipped_text_says_how_much_is_missing(text, limit):
    shown = clip(text, limit)
    if len(text) <= limit:
        assert shown == text
    else:
        assert f"[... {len(text) - limit} characters left out ...]" in shown
        assert shown.startswith(text[: limit - limit // 2])
        assert shown.endswith(text[len(text) - limit // 2 :])


@given(st.lists(st.binary(max_size=50)), st.integers(0, 60))
def test_of_output_both_ends_are_kept_and_all_is_counted(chunks, limit):
    capture, whole = Capture(limit), b"".join(chunks)
    for chunk in chunks:
        capture.add(chunk)
    assert capture.total_bytes == len(whole)
    if len(whole) <= limit:
        assert capture.kept() == whole
    else:
        notice = b"\n[... %d bytes left out ...]\n" % (len(whole) - limit)
        assert capture.kept() == whole[: limit - limit // 2] + notice + whole[len(whole) - limit // 2 :]


@given(st.lists(st.tuples(st.dictionaries(st.text(), st.integers()), st.binary())), st.integers(1, 40))
def test_messages_come_whole_however_the_stream_is_cut(messages, size):
    stream, frames = b"".join(pack(*message) for message in messages), Frames()
    found = [message for start in range(0, len(stream), size) for message in frames.feed(stream[start : start + size])]
    assert found == messages


def test_a_stream_that_is_no_message_is_refused_before_it_is_kept():
    with pytest.raises(ValueError, match="expected a message of at most"):
        Frames().feed(b"Traceback (most recent call last)")


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (Result(exit_code=0, stdout=b"yes\n"), "yes"),
        (Result(exit_code=2, stdout=b"a", stderr=b"b\n"), "a\nb\n[exit code 2]"),
        (Result(exit_code=0), ""),
        (
            Result(exit_code=137, stdout=b"a\n", is_timed_out=True, elapsed_s=30.1),
            "a\n[stopped after 30 s with all that it had started]",
        ),
        (Result(exit_code=137, is_out_of_memory=True), "[out of memory: a process was killed]\n[exit code 137]"),
        (Result(exit_code=126, denial="deny (x): no"), "[not run: deny (x): no]"),
        (Result(exit_code=0, stdout=b"\xff\x1b[1m!"), "\ufffd!"),
    ],
)
def test_a_result_is_shown_with_how_it_ended(result, shown):
    assert result.text() == shown


def test_a_result_is_shown_within_a_number_of_characters():
    assert Result(exit_code=0, stdout=b"0123456789").text(4) == "01\n[... 6 characters left out ...]\n89"


def test_what_the_guard_denies_is_not_run_and_says_why():
    ran = []
    stub = StubSandbox({"bash": lambda call: ran.append(call.argv) or Said(b"ran")})
    guarded = GuardedSandbox(stub, Guard())
    denied = guarded.exec(["bash", "-c", "rm -rf /"])
    assert "whole-deletion" in denied.denial
    assert "deletes a whole tree" in denied.text()
    assert not denied.is_ok
    assert guarded.exec(["bash", "-c", "ls"]).stdout == b"ran"
    assert ran == [("bash", "-c", "ls")]
    assert [verdict.action for verdict in guarded.verdicts] == ["deny", "allow"]
    guarded.reset()
    assert not guarded.verdicts


def test_what_the_guard_would_ask_about_is_run_only_with_approval():
    text, asked = "if then (", []
    assert Guard().judge(text).action == "ask"
    program = {"bash": lambda call: Said(b"ran")}
    assert GuardedSandbox(StubSandbox(program), Guard()).exec(["bash", "-c", text]).denial
    approved = GuardedSandbox(StubSandbox(program), Guard(), approve=lambda verdict: not asked.append(verdict))
    assert approved.exec(["bash", "-c", text]).stdout == b"ran"
    assert [verdict.rule for verdict in asked] == ["unreadable"]
    assert approved.exec(["rm", "-rf", "/"]).denial


def test_every_backend_and_the_guard_before_it_is_a_sandbox():
    assert isinstance(StubSandbox(), Sandbox)
    assert isinstance(GuardedSandbox(StubSandbox(), Guard()), Sandbox)
    with open_sandbox("local") as local:
        assert isinstance(local, Sandbox)


def test_a_backend_that_does_not_exist_is_named_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'docker'"):
        open_sandbox("doker")


def test_scripted_programs_see_the_call_and_change_files():
    def shout(call):
        call.files[call.path("said")] = call.stdin.upper()
        return Said(call.env["WHO"].encode(), exit_code=3)

    with StubSandbox({"shout": shout}) as sandbox:
        result = sandbox.exec(["shout"], stdin=b"hi", env={"WHO": "me"})
        assert (result.exit_code, result.stdout, sandbox.read("said")) == (3, b"me", b"HI")


def test_a_file_error_is_as_the_system_has_it():
    with StubSandbox() as sandbox, pytest.raises(SandboxFileError) as caught:
        sandbox.read("missing")
    assert isinstance(caught.value, OSError)
    assert caught.value.filename == "/workspace/missing"
    assert "no such file" in str(caught.value)


def test_limits_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="timeout_s"):
        Limits(timeout_s=0)


def test_an_absent_engine_says_what_was_tried(monkeypatch, capsys):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(EngineAbsentError, match=r"unix:///nowhere/docker.sock.*DOCKER_HOST"):
        open_sandbox("docker")
    assert __main__.main(["cleanup"]) == 2
    assert "expected a container engine" in capsys.readouterr().err


class NoImages:
    """An engine's client without any image."""

    @property
    def images(self):
        return self

    def get(self, name):
        raise docker.errors.ImageNotFound(name)


def test_a_missing_image_comes_with_the_commands_that_would_make_or_pull_it():
    with pytest.raises(ImageError, match=r"sage_gym.sandbox image sage-gym/base:1`.*docker pull sage-gym/base:1"):
        Engine(NoImages()).require_image("sage-gym/base:1")


def test_an_image_of_others_is_not_made_here():
    with pytest.raises(ImageError, match=r"docker pull ubuntu:24\.04"):
        make_image(Engine(NoImages()), "ubuntu:24.04", print)


def test_an_image_is_made_of_what_its_dockerfile_names(monkeypatch):
    assert {"python3", "procps"} <= set(packages_of("sage-gym/base:1"))
    monkeypatch.setattr("shutil.which", lambda name: None)
    for image in DOCKERFILES:
        with pytest.raises(ImageError, match=f"docker build -t {image}"):
            make_image(Engine(NoImages()), image, print)


def test_the_runner_is_shipped_whole_and_with_what_it_imports_first():
    sources = json.loads(runner_command("python3", {})[5])
    folder = Path(engines.__file__).parent / "inside"
    assert sorted(name for name, _ in sources) == sorted(p.stem for p in folder.glob("*.py") if p.stem != "__init__")
    seen: set[str] = set()
    for name, text in sources:
        assert all(other in seen or f"from .{other} " not in text for other in MODULES)
        seen.add(name)


def test_the_runner_imports_nothing_beyond_the_standard_library():
    command = runner_command(sys.executable, {})
    command[4] = command[4].replace("module.Runner(options).serve()", "print(*sys.modules)")
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    tops = {name.partition(".")[0] for name in loaded} - {"inside", "__main__"}
    assert tops <= sys.stdlib_module_names
    assert not tops & {"typing", "dataclasses", "pathlib"}


def test_checking_a_backend_prints_what_holds_and_what_is_known_not_to(capsys):
    assert __main__.main(["check", "stub"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "gap there_is_no_network: runs no process" in printed
    assert "yes binary_data_passes: Every byte comes through" in printed
    assert "0 do not" in printed
