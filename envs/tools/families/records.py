"""The key-value store and the SQL records."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from envs.tools.company import Company
from envs.tools.records import COLUMNS, RecordsError
from envs.tools.schema import Answer, Arguments, Refreshable, Tool, ToolError

__all__ = ["TOOLS"]

TABLES = "; ".join(f"{name}({', '.join(columns)})" for name, columns in COLUMNS.items())


class KvGet(Refreshable):
    """Arguments of `kv_get`."""

    key: str = Field(max_length=100)


class KvSet(Arguments):
    """Arguments of `kv_set`."""

    key: str = Field(min_length=1, max_length=100)
    value: str = Field(description="as text", max_length=1000)


class KvDelete(Arguments):
    """Arguments of `kv_delete`."""

    key: str = Field(max_length=100)


class GetRecord(Refreshable):
    """Arguments of `get_record`."""

    table: Literal["products", "offices", "projects"]
    name: str = Field(description="of the product, city or project", max_length=100)


class SqlQuery(Arguments):
    """Arguments of `sql_query`."""

    query: str = Field(description="a SELECT", max_length=1000)


class SqlExecute(Arguments):
    """Arguments of `sql_execute`."""

    statement: str = Field(description="an INSERT, UPDATE or DELETE", max_length=1000)


def _kv_get(company: Company, asked: KvGet) -> Answer:
    key = asked.key.strip().casefold()
    if key not in company.store:
        raise ToolError(f"no key {asked.key!r}; keys are {', '.join(sorted(company.store))}")
    return {"value": company.store[key]}


def _kv_set(company: Company, asked: KvSet) -> Answer:
    company.store[asked.key.strip().casefold()] = asked.value
    return {"stored": True}


def _kv_delete(company: Company, asked: KvDelete) -> Answer:
    if company.store.pop(asked.key.strip().casefold(), None) is None:
        raise ToolError(f"no key {asked.key!r}; keys are {', '.join(sorted(company.store))}")
    return {"deleted": True}


def _get_record(company: Company, asked: GetRecord) -> Answer:
    by = COLUMNS[asked.table][0]
    rows = company.records.select(f"SELECT * FROM {asked.table} WHERE {by} = ?", (asked.name.strip(),))
    if not rows:
        raise ToolError(f"no record {asked.name!r} in {asked.table}")
    return dict(rows[0])


def _sql_query(company: Company, asked: SqlQuery) -> Answer:
    try:
        return {"rows": company.records.select(asked.query)}
    except RecordsError as error:
        raise ToolError(f"{error}; tables are {TABLES}") from error


def _sql_execute(company: Company, asked: SqlExecute) -> Answer:
    try:
        return {"changed": company.records.change(asked.statement)}
    except RecordsError as error:
        raise ToolError(f"{error}; tables are {TABLES}") from error


TOOLS = (
    Tool("kv_get", "Read a key of the key-value store.", KvGet, _kv_get),
    Tool("kv_set", "Set a key of the key-value store.", KvSet, _kv_set),
    Tool("kv_delete", "Delete a key of the key-value store.", KvDelete, _kv_delete),
    Tool("get_record", "Read the record of a product, an office (by city) or a project.", GetRecord, _get_record),
    Tool("sql_query", f"Read records with SQL. Tables: {TABLES}.", SqlQuery, _sql_query),
    Tool("sql_execute", f"Change records with SQL. Tables: {TABLES}.", SqlExecute, _sql_execute),
)
