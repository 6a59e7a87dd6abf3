"""A shop of two products."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import sage_gym  # noqa: F401
from envs.webshop.environment import WebShop

SHIRT = {
    "asin": "B0SHIRT001",
    "name": "Plain Cotton Shirt",
    "full_description": "A shirt. Washable.",
    "small_description": ["Soft", ""],
    "pricing": "$12.50",
    "customization_options": {
        "Color": [{"value": "Red/White"}, {"value": "blue"}],
        "Size": [{"value": "small"}, {"value": "large"}],
    },
    "category": "fashion",
    "query": "Shirts",
    "product_category": "Clothing › Men › Shirts",
    "images": ["x.jpg"],
}
PAN = {
    "asin": "B0PAN00001",
    "name": "Iron Pan",
    "full_description": "",
    "small_description": "Heavy",
    "pricing": "$5.00$9.00",
    "customization_options": "",
    "category": "kitchen",
    "query": "pans",
    "product_category": "Kitchen › Cookware",
    "images": [],
}
WANTS = {
    "B0SHIRT001": {
        "attributes": ["washable"],
        "instruction": "Find me washable shirts",
        "instruction_attributes": ["washable"],
    },
    "B0PAN00001": {"attributes": ["iron"], "instruction": "Find me iron pans", "instruction_attributes": ["iron"]},
}
HUMAN = {
    "B0PAN00001": [{"instruction": "i need a pan.", "instruction_attributes": ["iron"], "instruction_options": []}]
}
SPLITS = {"train": ["B0SHIRT001"], "test": ["B0PAN00001"]}


def write(folder: Path, products: Any, wants: Any = WANTS, splits: Any = SPLITS) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "items_shuffle_2.json").write_text(json.dumps(products), encoding="utf-8")
    (folder / "items_ins_v2_2.json").write_text(json.dumps(wants), encoding="utf-8")
    (folder / "items_human_ins.json").write_text(json.dumps(HUMAN), encoding="utf-8")
    if splits is not None:
        (folder / "splits.json").write_text(json.dumps(splits), encoding="utf-8")
    return folder


def shirt_key(env: WebShop, *values: str) -> str:
    """The task that wants the shirt with these option values."""
    for task in env.tasks("all"):
        goal = env.store.goal_of(task.key)
        if goal.asin == SHIRT["asin"] and tuple(v for _, v in goal.options) == values:
            return task.key
    raise LookupError(values)


def at_shirt(env: WebShop, *values: str) -> None:
    env.reset(options={"task": shirt_key(env, *values)})
    env.step("search[shirt]")
    env.step("click[b0shirt001]")
