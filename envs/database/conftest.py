"""What several of the database's tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from envs.database.embedded import Embedded
from envs.database.tables import Column, Limits, Table

TEAMS = Table(
    "Home Teams",
    (Column("Name"), Column("Home team"), Column("Points"), Column("rank", "INT")),
    (("José", "Ajax", "1,174", 3), ("bob", "PSV", "12", 5), ("Zoë", "ajax", "9", 7), ("amy", None, "10.5", 11)),
)


@pytest.fixture
def engine() -> Iterator[Embedded]:
    """Hold a table of four teams, with little patience."""
    engine = Embedded([TEAMS], Limits(steps=200_000))
    yield engine
    engine.close()
