import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sage_gym.errors import DeadlineError, ImageError, SandboxClosedError
from sage_gym.sandbox import SandboxPool
from sage_gym.sandbox.stub import StubSandbox


class Factory:
    """Makes stubs and remembers them."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.made: list[StubSandbox] = []
        self.takes_s = takes_s
        self.error: Exception | None = None

    def __call__(self) -> StubSandbox:
        time.sleep(self.takes_s)
        if self.error is not None:
            raise self.error
        self.made.append(StubSandbox())
        return self.made[-1]


def wait_until(is_so, limit_s: float = 5.0) -> None:
    until = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < until, "it did not come to be"
        time.sleep(0.005)


def test_as_many_as_asked_for_are_kept_ready():
    factory = Factory()
    with SandboxPool(factory, ready=3, most=10):
        wait_until(lambda: len(factory.made) == 3)
        time.sleep(0.05)
        assert len(factory.made) == 3


def test_one_that_is_ready_is_taken_at_once_and_another_is_started():
    factory = Factory(takes_s=0.2)
    with SandboxPool(factory, ready=1, most=10) as pool:
        wait_until(lambda: len(factory.made) == 1)
        started = time.monotonic()
        assert pool.take() is factory.made[0]
        assert time.monotonic() - started < 0.1
        wait_until(lambda: len(factory.made) == 2)


def test_one_that_is_given_back_is_fresh_for_the_next():
    with SandboxPool(Factory(), ready=0, most=1) as pool:
        with pool.lend() as sandbox:
            sandbox.write("note", b"secret")
        with pool.lend() as again:
            assert again is sandbox
            assert again.exec(["ls"]).stdout == b""


def test_no_more_than_the_bound_are_alive_whoever_asks():
    factory = Factory(takes_s=0.01)
    alive = most = 0
    lock = threading.Lock()

    def use(_):
        nonlocal alive, most
        with pool.lend():
            with lock:
                alive += 1
                most = max(most, alive)
            time.sleep(0.01)
            with lock:
                alive -= 1

    with SandboxPool(factory, ready=2, most=3) as pool, ThreadPoolExecutor(16) as threads:
        list(threads.map(use, range(60)))
    assert most == len(factory.made) == 3


def test_who_waits_too_long_is_told_how_many_are_lent():
    with SandboxPool(Factory(), ready=0, most=1) as pool:
        pool.take()
        with pytest.raises(DeadlineError, match="within 0 s: 1 of 1 are lent"):
            pool.take(timeout_s=0.05)


def test_one_that_died_while_it_waited_is_never_handed_out():
    factory = Factory()
    with SandboxPool(factory, ready=2, most=4) as pool:
        wait_until(lambda: len(factory.made) == 2)
        for sandbox in list(factory.made):
            sandbox.kill()
        assert pool.take().exec(["true"]).is_ok


def test_one_that_died_while_it_was_lent_is_replaced():
    factory = Factory()
    with SandboxPool(factory, ready=0, most=1) as pool:
        lost = pool.take()
        lost.kill()
        pool.give_back(lost)
        assert pool.take() is factory.made[1]


def test_those_that_wait_are_asked_whether_they_live():
    factory = Factory()
    with SandboxPool(factory, ready=1, most=4, ping_s=1.0):
        wait_until(lambda: factory.made)
        factory.made[0].kill()
        wait_until(lambda: len(factory.made) == 2)


def test_a_start_that_fails_is_the_error_of_who_asks_and_not_a_wait():
    factory = Factory()
    factory.error = ImageError("no image")
    with SandboxPool(factory, ready=1, most=4) as pool:
        with pytest.raises(ImageError, match="no image"):
            pool.take(timeout_s=5)
        factory.error = None
        assert pool.take(timeout_s=5).exec(["true"]).is_ok


def test_closing_closes_those_that_wait_and_those_that_come_back():
    factory = Factory()
    pool = SandboxPool(factory, ready=2, most=4)
    lent = pool.take()
    wait_until(lambda: len(factory.made) == 3)
    pool.close()
    pool.give_back(lent)
    for sandbox in factory.made:
        with pytest.raises(SandboxClosedError):
            sandbox.ping()
    with pytest.raises(SandboxClosedError, match="open pool"):
        pool.take()


def test_closing_closes_those_that_are_being_made_fresh():
    class Slow(StubSandbox):
        def reset(self):
            time.sleep(0.1)
            super().reset()

    made = []

    def start():
        made.append(Slow())
        return made[-1]

    pool = SandboxPool(start, ready=0, most=12)
    for sandbox in [pool.take() for _ in range(12)]:
        pool.give_back(sandbox)
    pool.close()
    assert len(made) == 12
    for sandbox in made:
        with pytest.raises(SandboxClosedError):
            sandbox.ping()


def test_giving_back_twice_is_refused():
    with SandboxPool(Factory(), ready=0, most=2) as pool:
        sandbox = pool.take()
        pool.give_back(sandbox)
        with pytest.raises(ValueError, match="this pool has lent"):
            pool.give_back(sandbox)
        assert pool.take().exec(["true"]).is_ok


@pytest.mark.parametrize(("ready", "most"), [(-1, 4), (5, 4), (0, 0)])
def test_bounds_that_make_no_sense_are_refused(ready, most):
    with pytest.raises(ValueError, match="expected 0 <= ready <= most"):
        SandboxPool(Factory(), ready=ready, most=most)
