"""What a killed run leaves behind, and how it goes."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from sage_gym.sandbox import __main__, ownership
from sage_gym.sandbox.docker import DockerSandbox
from tests.sandbox_backends import require_engine

pytestmark = pytest.mark.docker
OWNER = """
from sage_gym.sandbox import SandboxPool, open_sandbox
pool = SandboxPool(lambda: open_sandbox("docker"), ready=0, most=10)
sandboxes = [pool.take() for _ in range(10)]
for sandbox in sandboxes:
    sandbox.exec(["sh", "-c", "sleep 1000 & setsid sleep 1000 &"])
print(*[sandbox.id for sandbox in sandboxes], flush=True)
sandboxes[0].exec(["sleep", "1000"], 1000)
"""
SLEEPER = """
import os
from sage_gym.sandbox import Limits, ownership
from sage_gym.sandbox.docker import SCRATCH, WORKSPACE
from sage_gym.sandbox.engine import connect
started = connect().start(
    "sage-gym/base:1", ["sleep", "1000"], limits=Limits(), scratch=SCRATCH, user=1234567, workspace=WORKSPACE,
    has_network=False,
    labels=ownership.labels(),
)
print(started[0], flush=True)
os.kill(os.getpid(), 9)
"""
GONE_S = 20.0


def living(engine) -> set[str]:
    return {each.id for each in engine.owned(ownership.LABEL)}


@pytest.mark.slow
@pytest.mark.parametrize("repetition", range(20))
def test_nothing_is_left_of_a_run_that_was_killed_with_ten_containers(repetition):
    engine = require_engine()
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    ids = set(owner.stdout.readline().split())
    assert len(ids) == 10
    assert ids <= living(engine)
    time.sleep(repetition * 0.01)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    until = time.monotonic() + GONE_S
    while ids & living(engine):
        assert time.monotonic() < until, f"{len(ids & living(engine))} containers are left after {GONE_S} s"
        time.sleep(0.05)


def test_cleanup_removes_what_does_not_end_by_itself_and_nothing_else(capsys):
    engine = require_engine()
    with DockerSandbox() as ours:
        killed = subprocess.run([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, text=True, check=False)
        identifier = killed.stdout.strip()
        assert {identifier, ours.id} <= living(engine)
        assert __main__.main(["cleanup"]) == 0
        assert f"removed {identifier[:12]}" in capsys.readouterr().out
        assert identifier not in living(engine)
        assert ours.exec(["true"]).is_ok


def test_an_orphan_is_told_by_its_owner_and_never_one_of_another_machine():
    mine = ownership.labels()
    place, pid, started = re.fullmatch(r"(\S+) (\d+) (\d+)", mine[ownership.OWNER]).groups()
    assert int(pid) == os.getpid()
    assert not ownership.is_orphaned(mine)
    assert ownership.is_orphaned({**mine, ownership.OWNER: f"{place} {pid} {int(started) - 1}"})
    assert ownership.is_orphaned({**mine, ownership.OWNER: f"{place} 999999999 {started}"})
    assert not ownership.is_orphaned({**mine, ownership.OWNER: f"elsewhere/1 999999999 {started}"})
    assert not ownership.is_orphaned({})
