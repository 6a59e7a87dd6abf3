"""How many pairs a paired test of success needs: the power of McNemar's exact test, by enumeration.

Of n pairs, m ~ Binomial(n, discordant share) differ, and given m the gained are Binomial(m, gained share of these); the
test rejects where the two-sided binomial p is at most alpha. So power is a sum over m, with no approximation in it.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import binom, norm

__all__ = ["FEWEST_DISCORDANT", "mcnemar_power", "pairs_needed"]

FEWEST_DISCORDANT = 6
"""With fewer pairs that differ no outcome is significant at 5 %: 2 / 2^5 = 0.0625."""
MOST_PAIRS = 1_000_000


def mcnemar_power(n: int, gained: float, lost: float, alpha: float = 0.05) -> float:
    """Return the probability that the exact two-sided test rejects.

    Args:
        n: pairs.
        gained: share of pairs in which only the second succeeds.
        lost: share of pairs in which only the first does.
        alpha: level of the test.

    Raises:
        ValueError: shares that are none.
    """
    discordant = gained + lost
    if min(gained, lost) < 0 or discordant > 1:
        raise ValueError(f"expected shares of at most 1 together, got {gained} gained and {lost} lost")
    if discordant == 0:
        return 0.0
    likely = binom.ppf([1e-9, 1 - 1e-9], n, discordant).astype(int)
    m = np.arange(max(1, likely[0]), likely[1] + 1)
    # the largest c with P(X <= c) <= alpha / 2 under a fair coin; -1 where there is none
    c = binom.ppf(alpha / 2, m, 0.5)
    c = np.where(binom.cdf(c, m, 0.5) <= alpha / 2, c, c - 1)
    share = gained / discordant
    rejects = binom.cdf(c, m, share) + binom.sf(m - c - 1, m, share)
    return float((binom.pmf(m, n, discordant) * rejects).sum())


def pairs_needed(gained: int, lost: int, n: int, *, power: float = 0.8, alpha: float = 0.05) -> int | None:
    """Return how many pairs would show a difference such as the observed one, with `power` and at `alpha`.

    Args:
        gained: pairs in which only the second succeeded.
        lost: pairs in which only the first did.
        n: all pairs.
        power: of the test that is planned.
        alpha: its level, two-sided.

    Returns:
        None where no difference was observed, so that no number would do, or where it is above a million.

    Raises:
        ValueError: counts that do not fit.
    """
    if min(gained, lost) < 0 or gained + lost > n or n == 0:
        raise ValueError(f"expected gained + lost <= n, none negative, n > 0; got {gained}, {lost}, {n}")
    if gained == lost:
        return None
    up, down = gained / n, lost / n
    difference, discordant = abs(up - down), up + down
    z_alpha, z_beta = norm.ppf(1 - alpha / 2), norm.ppf(power)
    # Connor, Biometrics 1987: from where the exact number is looked for
    start = (z_alpha * math.sqrt(discordant) + z_beta * math.sqrt(max(0.0, discordant - difference**2))) ** 2
    low, high = 1, max(FEWEST_DISCORDANT, math.ceil(start / difference**2))
    while mcnemar_power(high, up, down, alpha) < power:
        low, high = high, 2 * high
        if high > MOST_PAIRS:
            return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if mcnemar_power(middle, up, down, alpha) >= power else (middle + 1, high)
    return low
