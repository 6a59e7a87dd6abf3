"""AgentBench's records, with some of our own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from envs.database.environment import Database
from envs.database.experts import unattainable
from envs.database.synthetic import SPLITS
from sage_gym.errors import CatalogError, TaskKeyError

TABLE = {
    "table_name": "Airport List",
    "table_info": {
        "columns": [{"name": "City", "type": "TEXT"}, {"name": "IATA", "type": "TEXT"}],
        "rows": [["Vienna", "VIE"], ["Oslo", "OSL"]],
    },
}

SELECT = {
    "description": "Which city has VIE?",
    "label": ["Vienna"],
    "type": ["other"],
    "table": TABLE,
    "sql": {"query": "SELECT City FROM `Airport List` WHERE IATA='VIE'"},
    "add_description": "The name of this table is Airport List.",
}

INSERT = {
    "description": "Add Lima.",
    "label": ["INSERT INTO `Airport List` VALUES ('Lima', 'LIM')"],
    "type": ["INSERT"],
    "table": TABLE,
    "answer_md5": "",
}


@pytest.fixture
def records(tmp_path: Path) -> str:
    lines = [json.dumps(record) for record in (SELECT, INSERT)]
    (tmp_path / "standard.jsonl").write_text("\n".join(lines) + "\n")
    return str(tmp_path)


def test_records_are_tasks_of_their_own_splits(records: str) -> None:
    env = Database(records=records, split="standard")
    assert env.splits() == (*SPLITS, "standard")
    assert [task.key for task in env.tasks("standard")] == ["database/standard/00000", "database/standard/00001"]
    first, _ = env.reset(options={"task": "database/standard/00000"})
    assert first.startswith("Which city has VIE?\nThe name of this table is Airport List.\n")
    assert env.step("Action: Operation\n```sql\nSELECT City FROM `Airport List`\n```")[0] == "[('Vienna',), ('Oslo',)]"
    _, reward, *_ = env.step('I see.\nAction: Answer\nFinal Answer: ["Vienna"]')
    assert reward == 1.0
    with pytest.raises(TaskKeyError, match="standard: database/standard/00000 to database/standard/00001"):
        env.reset(options={"task": "database/standard/00002"})


def test_a_record_without_a_hash_is_judged_by_what_its_gold_sql_leaves(records: str) -> None:
    env = Database(records=records, split="standard")
    env.reset(options={"task": "database/standard/00001"})
    env.step("sql[INSERT INTO `Airport List` (IATA, City) VALUES ('LIM', 'Lima')]")
    assert env.step("answer[ok]")[1] == 1.0
    assert unattainable(env, "standard") == {}


def test_a_task_that_its_own_record_contradicts_is_listed_with_the_reason(tmp_path: Path) -> None:
    wrong = {**INSERT, "answer_md5": f"[('{'0' * 32}',)]"}
    failing = {**INSERT, "answer_md5": f"[('{'0' * 32}',)]", "label": ["INSERT INTO nowhere VALUES (1)"]}
    (tmp_path / "dev.jsonl").write_text(json.dumps(wrong) + "\n" + json.dumps(failing))
    found = unattainable(Database(records=str(tmp_path)), "dev")
    assert list(found) == ["database/dev/00000", "database/dev/00001"]
    assert "the record wants 00000" in found["database/dev/00000"]
    assert "no such table: nowhere" in found["database/dev/00001"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "line 2"),
        (json.dumps({**SELECT, "table": {**TABLE, "table_info": {"columns": [], "rows": []}}}), "columns"),
        (json.dumps({**SELECT, "label": None}), "expected label or answer_md5"),
        (json.dumps(SELECT).replace('["Oslo", "OSL"]', '["Oslo"]'), "expected rows of 2 values"),
    ],
)
def test_a_bad_record_is_named_by_file_and_line(tmp_path: Path, line: str, complaint: str) -> None:
    (tmp_path / "dev.jsonl").write_text(json.dumps(SELECT) + "\n" + line)
    with pytest.raises(CatalogError, match=complaint) as caught:
        Database(records=str(tmp_path)).tasks("dev")
    assert "dev.jsonl, line 2" in str(caught.value)


def test_a_folder_without_records_is_said(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"expected dev.jsonl or standard.jsonl in .*, got neither"):
        Database(records=str(tmp_path))
