"""What the generator asks: for each kind of question its gold SQL and, for each split, its own wordings.

Fields: `things`, `thing`, `table` and `side`; `label`, `group`, `tag`, `size` and `count` for columns of the first
table, `key`, `trait` and `figure` for the second's, each as a name in SQL, and with `_words` in English; `v_…` for
values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from envs.database.demonstration_wordings import DEMONSTRATIONS

__all__ = ["KINDS", "WORDINGS", "Kind"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A shape of question."""

    name: str
    judged_by: Literal["answer", "state"]
    sql: str


JOIN = "{table} JOIN {side} ON {table}.{group} = {side}.{key}"
KINDS = (
    Kind("lookup", "answer", "SELECT {size} FROM {table} WHERE {label} = '{v_label}'"),
    Kind("filter", "answer", "SELECT {label} FROM {table} WHERE {tag} = '{v_tag}' AND {size} > {v_size}"),
    Kind("count", "answer", "SELECT COUNT(*) FROM {table} WHERE {group} = '{v_group}'"),
    Kind("sum", "answer", "SELECT SUM({count}) FROM {table} WHERE {tag} = '{v_tag}'"),
    Kind("average", "answer", "SELECT ROUND(AVG({size}), 1) FROM {table} WHERE {group} = '{v_group}'"),
    Kind("highest", "answer", "SELECT {label} FROM {table} WHERE {tag} = '{v_tag}' ORDER BY {size} DESC LIMIT 1"),
    Kind("lowest", "answer", "SELECT {label} FROM {table} ORDER BY {size} LIMIT 2"),
    Kind("busiest", "answer", "SELECT {group} FROM {table} GROUP BY {group} ORDER BY COUNT(*) DESC LIMIT 1"),
    Kind("join_lookup", "answer", f"SELECT {{trait}} FROM {JOIN} WHERE {{label}} = '{{v_label}}'"),
    Kind("join_filter", "answer", f"SELECT {{label}} FROM {JOIN} WHERE {{trait}} = '{{v_trait}}'"),
    Kind("join_sum", "answer", f"SELECT SUM({{count}}) FROM {JOIN} WHERE {{trait}} = '{{v_trait}}'"),
    Kind(
        "insert",
        "state",
        "INSERT INTO {table} ({label}, {group}, {tag}, {size}, {count}) "
        "VALUES ('{v_new}', '{v_group}', '{v_tag}', {v_size}, {v_count})",
    ),
    Kind("update", "state", "UPDATE {table} SET {size} = {v_other} WHERE {label} = '{v_label}'"),
    Kind("update_many", "state", "UPDATE {table} SET {tag} = '{v_tag}' WHERE {size} < {v_size}"),
    Kind("delete", "state", "DELETE FROM {table} WHERE {label} = '{v_label}'"),
    Kind("delete_many", "state", "DELETE FROM {table} WHERE {tag} = '{v_tag}' AND {size} > {v_size}"),
)
WORDINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "train": {
        "lookup": (
            "What is the {size_words} of the {thing} whose {label_words} is '{v_label}'?",
            "Look up the {thing} '{v_label}' and give its {size_words}.",
        ),
        "filter": (
            "List the {label_words} of all {things} with {tag_words} '{v_tag}' and {size_words} above {v_size}.",
            "Which {things} have {tag_words} '{v_tag}' and {size_words} over {v_size}? Give each {label_words}.",
        ),
        "count": (
            "How many {things} have the {group_words} '{v_group}'?",
            "Count the {things} with {group_words} '{v_group}'.",
        ),
        "sum": (
            "What is the total {count_words} of all {things} with {tag_words} '{v_tag}'?",
            "Add up the {count_words} of the {things} whose {tag_words} is '{v_tag}'.",
        ),
        "average": (
            "What is the average {size_words} of the {things} with {group_words} '{v_group}', rounded to one decimal?",
            "Compute the mean {size_words} of {things} whose {group_words} is '{v_group}', to one decimal.",
        ),
        "highest": (
            "Among the {things} with {tag_words} '{v_tag}', which {label_words} has the highest {size_words}?",
            "Give the {label_words} of the {thing} with the largest {size_words} and {tag_words} '{v_tag}'.",
        ),
        "lowest": (
            "Give the {label_words} of the two {things} with the lowest {size_words}.",
            "Which two {things} have the smallest {size_words}? Give each {label_words}.",
        ),
        "busiest": (
            "Which {group_words} has the most {things}?",
            "Find the {group_words} that occurs most often among the {things}.",
        ),
        "join_lookup": (
            "What is the {trait_words} of the {group_words} of the {thing} '{v_label}'?",
            "Find the {thing} '{v_label}', then the {trait_words} that belongs to its {group_words}.",
        ),
        "join_filter": (
            "List the {label_words} of all {things} whose {group_words} has the {trait_words} '{v_trait}'.",
            "For which {things} does the {group_words} have the {trait_words} '{v_trait}'? Give each {label_words}.",
        ),
        "join_sum": (
            "What is the total {count_words} of the {things} whose {group_words} has the {trait_words} '{v_trait}'?",
            "Find each {group_words} with {trait_words} '{v_trait}' and add up the {count_words} of its {things}.",
        ),
        "insert": (
            "Add one {thing} with {label_words} '{v_new}', {group_words} '{v_group}', {tag_words} '{v_tag}', "
            "{size_words} {v_size} and {count_words} {v_count}.",
        ),
        "update": (
            "Set the {size_words} of the {thing} '{v_label}' to {v_other}.",
            "Change the {size_words} of '{v_label}' to {v_other}.",
        ),
        "update_many": (
            "Set the {tag_words} to '{v_tag}' for every {thing} with {size_words} below {v_size}.",
            "Give all {things} whose {size_words} is less than {v_size} the {tag_words} '{v_tag}'.",
        ),
        "delete": (
            "Delete the {thing} '{v_label}'.",
            "Remove '{v_label}' from the {things}.",
        ),
        "delete_many": (
            "Delete all {things} with {tag_words} '{v_tag}' and {size_words} above {v_size}.",
            "Remove every {thing} whose {tag_words} is '{v_tag}' and whose {size_words} is greater than {v_size}.",
        ),
    },
    "select": {
        "lookup": ("I need the {size_words} recorded for {thing} '{v_label}'.",),
        "filter": ("Name every {thing} that is marked '{v_tag}' ({tag_words}) and exceeds {v_size} in {size_words}.",),
        "count": ("Tell me the number of {things} that belong to {group_words} '{v_group}'.",),
        "sum": ("Taking only {things} marked '{v_tag}' ({tag_words}), how much {count_words} is that altogether?",),
        "average": ("To one decimal, what {size_words} does a {thing} of {group_words} '{v_group}' have on average?",),
        "highest": ("Of those marked '{v_tag}' ({tag_words}), name the {thing} that leads in {size_words}.",),
        "lowest": ("Name the pair of {things} at the bottom of the ranking by {size_words}.",),
        "busiest": ("Name the {group_words} to which the greatest number of {things} belong.",),
        "join_lookup": ("'{v_label}' belongs to some {group_words}: which {trait_words} does that one have?",),
        "join_filter": ("Name every {thing} that belongs to a {group_words} of {trait_words} '{v_trait}'.",),
        "join_sum": (
            "How much {count_words} do {things} of every {group_words} with {trait_words} '{v_trait}' have together?",
        ),
        "insert": (
            "Please record the {thing} '{v_new}': it belongs to {group_words} '{v_group}', is marked '{v_tag}' "
            "({tag_words}), has {size_words} {v_size} and {count_words} {v_count}.",
        ),
        "update": ("The {size_words} recorded for {thing} '{v_label}' is wrong; it should read {v_other}.",),
        "update_many": ("Mark each {thing} that stays under {v_size} in {size_words} as '{v_tag}' ({tag_words}).",),
        "delete": ("The {thing} '{v_label}' should no longer be recorded; take it out.",),
        "delete_many": (
            "Take out each {thing} that is marked '{v_tag}' ({tag_words}) and exceeds {v_size} in {size_words}.",
        ),
    },
    "test": {
        "lookup": ("'{v_label}' is one of our {things}. Report its {size_words}.",),
        "filter": ("Report which {things} combine {tag_words} = '{v_tag}' with more than {v_size} {size_words}.",),
        "count": ("'{v_group}' as {group_words}: for how many {things} is that the case?",),
        "sum": ("Report the {count_words} summed over {things} where {tag_words} equals '{v_tag}'.",),
        "average": (
            "Report the arithmetic mean, to one decimal, of {size_words} where {group_words} equals '{v_group}'.",
        ),
        "highest": ("Where {tag_words} equals '{v_tag}', {size_words} peaks at one {thing}. Report which.",),
        "lowest": ("Sort the {things} by {size_words}, least first, and report the first two.",),
        "busiest": ("Grouping our {things} by {group_words}, report the group with the most members.",),
        "join_lookup": ("Through its {group_words}, '{v_label}' is tied to one {trait_words}. Report it.",),
        "join_filter": ("Report the {things} tied, through their {group_words}, to {trait_words} = '{v_trait}'.",),
        "join_sum": ("Report the {count_words} summed over {things} tied to {trait_words} = '{v_trait}'.",),
        "insert": (
            "One more of our {things} came in. Its values: {label_words} = '{v_new}', {group_words} = '{v_group}', "
            "{tag_words} = '{v_tag}', {size_words} = {v_size}, {count_words} = {v_count}. Enter it.",
        ),
        "update": ("A correction came in for '{v_label}': {size_words} = {v_other}. Enter it.",),
        "update_many": ("Wherever {size_words} is smaller than {v_size}, enter '{v_tag}' for {tag_words}.",),
        "delete": ("'{v_label}' was entered by mistake; erase that one of our {things}.",),
        "delete_many": ("Erase our {things} wherever {tag_words} equals '{v_tag}' and {size_words} is over {v_size}.",),
    },
    "demonstrations": DEMONSTRATIONS,
}
