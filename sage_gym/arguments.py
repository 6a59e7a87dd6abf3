"""Arguments that an environment is made with, checked all together, so that every mistake is told at once.

    check_arguments(
        expect_one_of("sandbox", sandbox, BACKENDS),
        expect_positive("max_turns", max_turns, is_optional=True),
    )

Each expectation returns what is wrong, or an empty text.
"""

from __future__ import annotations

from collections.abc import Collection

from sage_gym.errors import ConfigError, nearest

__all__ = [
    "check_arguments",
    "expect_one_of",
    "expect_positive",
    "expect_render_mode",
    "expect_share",
    "expect_size",
]

RENDER_MODES = ("ansi", "human")


def check_arguments(*complaints: str) -> None:
    """Do nothing where all of them are empty.

    Raises:
        ConfigError: with those that are not.
    """
    problems = [complaint for complaint in complaints if complaint]
    if problems:
        raise ConfigError(problems)


def expect_one_of(name: str, value: str, known: Collection[str]) -> str:
    """Expect one of some words; the nearest is suggested."""
    if value in known:
        return ""
    return f"{name}: expected one of {', '.join(known)}, got {value!r}{nearest(str(value), known)}"


def expect_positive(name: str, value: float | None, *, is_optional: bool = False) -> str:
    """Expect a number above 0, or None where that is allowed."""
    if is_optional and value is None:
        return ""
    is_fine = value is not None and value > 0
    return "" if is_fine else f"{name}: expected a positive number{' or None' if is_optional else ''}, got {value}"


def expect_share(name: str, value: float) -> str:
    """Expect a number in [0, 1]."""
    return "" if 0.0 <= value <= 1.0 else f"{name}: expected a share in [0, 1], got {value}"


def expect_size(value: int | None, capacity: int, *, is_optional: bool = False) -> str:
    """Expect no more tasks of a split than a generator has."""
    if is_optional and value is None:
        return ""
    is_fine = value is not None and 1 <= value <= capacity
    return "" if is_fine else f"size: the generator can give 1 to {capacity} tasks a split, got {value}"


def expect_render_mode(value: str | None) -> str:
    """Expect one of `ansi` and `human`, or None."""
    if value is None or value in RENDER_MODES:
        return ""
    return f"render_mode: expected {', '.join(RENDER_MODES)} or None, got {value!r}"
