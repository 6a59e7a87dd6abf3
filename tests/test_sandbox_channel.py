"""Our end of the connection to a runner, with a runner that says what the test has it say."""

import queue
import threading
import time
from pathlib import Path

import pytest

from sage_gym.errors import SandboxLostError
from sage_gym.sandbox import Limits, open_sandbox
from sage_gym.sandbox import channel as channels
from sage_gym.sandbox.channel import Channel
from sage_gym.sandbox.inside.filework import FileWork
from sage_gym.sandbox.inside.frames import Frames, pack
from sage_gym.sandbox.resident import ResidentSandbox
from tests.sandbox_backends import require_engine


class Wire:
    """A runner's streams: what is put in `said` is what it says, None ends it."""

    def __init__(self, *said: tuple[bool, bytes] | None) -> None:
        self.said: queue.SimpleQueue[tuple[bool, bytes] | None] = queue.SimpleQueue()
        self.is_closed = False
        for each in said:
            self.said.put(each)

    def send(self, message: bytes) -> None:
        pass

    def receive(self):
        while (each := self.said.get()) is not None:
            yield each

    def close(self) -> None:
        self.is_closed = True
        self.said.put(None)


class Scripted(ResidentSandbox):
    """A sandbox on a wire."""

    ended = 0

    def kill(self) -> None:
        pass

    def _dispose(self) -> None:
        self.ended += 1


def test_a_runner_that_hangs_is_lost_when_its_time_is_over_and_asked_nothing_more():
    wire = Wire()
    channel = Channel(wire, "it")
    with pytest.raises(SandboxLostError, match="it gave no answer within 0 s"):
        channel.request({"op": "ping"}, b"", 0.1)
    assert wire.is_closed
    started = time.monotonic()
    with pytest.raises(SandboxLostError):
        channel.request({"op": "ping"}, b"", 60)
    assert time.monotonic() - started < 5


def test_a_runner_that_takes_nothing_is_lost_and_holds_up_none_beside(monkeypatch):
    class Stuck(Wire):
        def send(self, message):
            time.sleep(1)
            raise TimeoutError("nothing was taken")

    monkeypatch.setattr(channels, "SEND_S", 0.1)
    channel = Channel(Stuck(), "it")

    def ask():
        with pytest.raises(SandboxLostError, match="nothing was taken"):
            channel.request({"op": "ping"}, b"", 5)

    first = threading.Thread(target=ask)
    first.start()
    time.sleep(0.1)
    with pytest.raises(SandboxLostError, match="took no request"):
        channel.request({"op": "ping"}, b"", 5)
    first.join(5)
    assert not first.is_alive()


def test_the_last_words_of_a_runner_are_said():
    channel = Channel(Wire((True, b"python3: no such"), (True, b" program\n"), None), "it")
    with pytest.raises(SandboxLostError, match="ended without having been asked to: python3: no such program"):
        channel.wait_ready(5)


@pytest.mark.parametrize("said", [b"Traceback (most recent call last)", pack({"no": "id"}), b"\0\0\0\1\0\0\0\0{"])
def test_what_is_no_message_is_the_end_and_is_not_waited_for(said):
    channel = Channel(Wire((False, said)), "it")
    with pytest.raises(SandboxLostError, match="ended"):
        channel.request({"op": "ping"}, b"", 5)


@pytest.mark.parametrize("answer", [{"is_clean": False}, {"errno": 13, "error": "Permission denied"}])
def test_a_sandbox_that_cannot_be_made_clean_is_closed_and_lost(answer):
    wire = Wire()
    sandbox = Scripted(Channel(wire, "it"), "/w", {}, Limits())
    threading.Timer(0.1, lambda: wire.said.put((False, pack({"id": 1, **answer})))).start()
    with pytest.raises(SandboxLostError, match="could not be made clean"):
        sandbox.reset()
    assert sandbox.ended == 1


@pytest.mark.parametrize("kept", [0, 4, 9, -1])
def test_half_an_answer_is_never_handed_on(kept):
    work = FileWork({"id": 7, "op": "read"}, b"", None)
    work.reported += pack({"id": 7}, b"content")[:kept]
    [(header, body)] = Frames().feed(work.answer(137, is_timed_out=False))
    assert (header["id"], header["error"], body) == (7, "its process was killed", b"")


def test_nothing_of_a_local_sandbox_is_left_when_it_is_closed():
    with open_sandbox("local") as sandbox:
        folder = Path(sandbox.workspace).parent
        sandbox.write("note", b"x")
    assert not folder.exists()


def test_nothing_of_a_local_sandbox_is_left_when_its_time_is_over():
    with open_sandbox("local", limits=Limits(ttl_s=0.5)) as sandbox:
        folder, until = Path(sandbox.workspace).parent, time.monotonic() + 5
        while folder.exists() and time.monotonic() < until:
            time.sleep(0.05)
        assert not folder.exists()


@pytest.mark.docker
def test_the_engine_keeps_no_log_of_a_container_and_removes_it():
    engine = require_engine()
    with open_sandbox("docker") as sandbox:
        held = engine._client.api.inspect_container(sandbox.id)["HostConfig"]
        assert (held["LogConfig"]["Type"], held["AutoRemove"]) == ("none", True)
