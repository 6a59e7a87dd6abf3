import pytest

from sage_gym.sandbox.conformance import CHECKS, KNOWN_GAPS
from tests.sandbox_backends import subject

NAMES = {check.__name__ for check in CHECKS}
BACKENDS = [pytest.param("stub"), pytest.param("local"), pytest.param("docker", marks=pytest.mark.docker)]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("backend", BACKENDS)
def test_backend_holds(backend, check):
    gap = KNOWN_GAPS[backend].get(check.__name__)
    if gap:
        pytest.skip(f"known gap of {backend}: {gap}")
    check(subject(backend))


def test_every_check_has_its_own_name_and_says_what_it_checks():
    assert len(NAMES) == len(CHECKS) >= 30
    assert all(check.__doc__ for check in CHECKS)


@pytest.mark.parametrize("backend", KNOWN_GAPS)
def test_every_known_gap_is_a_check_with_a_reason(backend):
    assert set(KNOWN_GAPS[backend]) <= NAMES
    assert all(KNOWN_GAPS[backend].values())


def test_docker_has_no_gap():
    assert not KNOWN_GAPS["docker"]
