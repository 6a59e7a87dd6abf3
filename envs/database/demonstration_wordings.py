"""How the split `demonstrations` asks; the fields are those of `envs.database.templates`."""

from __future__ import annotations

__all__ = ["DEMONSTRATIONS"]

DEMONSTRATIONS: dict[str, tuple[str, ...]] = {
    "lookup": (
        "Which {size_words} does the {thing} '{v_label}' have?",
        "Say what the {size_words} of '{v_label}' is.",
        "For the {thing} with {label_words} '{v_label}', what is the {size_words}?",
        "'{v_label}' is a {thing}; find its {size_words}.",
    ),
    "filter": (
        "Find the {label_words} of each {thing} of {tag_words} '{v_tag}' whose {size_words} exceeds {v_size}.",
        "Say the {label_words} of {things} of {tag_words} '{v_tag}' with more than {v_size} as {size_words}.",
        "Show the {label_words} for {things} that have a {size_words} above {v_size} and the {tag_words} '{v_tag}'.",
        "Give all {things} ({label_words}) where {tag_words} equals '{v_tag}' and {size_words} is over {v_size}.",
    ),
    "count": (
        "What is the number of {things} whose {group_words} is '{v_group}'?",
        "How many of the {things} are there with '{v_group}' as {group_words}?",
        "'{v_group}' is the {group_words} of how many {things}?",
        "Say how many {things} belong to the {group_words} '{v_group}'.",
    ),
    "sum": (
        "What do the {things} with the {tag_words} '{v_tag}' have in total {count_words}?",
        "Find the total of {count_words} over all {things} where the {tag_words} is '{v_tag}'.",
        "How much is the {count_words} of every {thing} of {tag_words} '{v_tag}', added up?",
        "Taken together, what {count_words} do {things} with {tag_words} '{v_tag}' come to?",
    ),
    "average": (
        "Rounded to one decimal, what is the average {size_words} of {things} with the {group_words} '{v_group}'?",
        "What {size_words} do the {things} of the {group_words} '{v_group}' have on average (one decimal)?",
        "Find the mean of {size_words} for {things} where the {group_words} is '{v_group}', to one decimal.",
        "'{v_group}' is a {group_words}: give the mean {size_words} of its {things}, rounded to one decimal.",
    ),
    "highest": (
        "Which of the {things} with the {tag_words} '{v_tag}' has the highest {size_words}? Say its {label_words}.",
        "Find the {label_words} of the {thing} that has most {size_words} where the {tag_words} is '{v_tag}'.",
        "What {label_words} has the {thing} of {tag_words} '{v_tag}' whose {size_words} is the greatest?",
        "Of all {things} of {tag_words} '{v_tag}', say which one leads by {size_words}.",
    ),
    "lowest": (
        "Which two of the {things} have the lowest {size_words}? Say their {label_words}.",
        "Find the {label_words} of those two {things} whose {size_words} is the smallest.",
        "By {size_words}, what are the two lowest {things}?",
        "Name the two {things} that have the least {size_words}.",
    ),
    "busiest": (
        "To which {group_words} do most of the {things} belong?",
        "What is the most common {group_words} of the {things}?",
        "Say which {group_words} the most {things} have.",
        "Find the {group_words} with the greatest number of {things}.",
    ),
    "join_lookup": (
        "Which {trait_words} does the {group_words} of '{v_label}' have?",
        "For the {thing} '{v_label}', find the {trait_words} of its {group_words}.",
        "The {thing} '{v_label}' has a {group_words}. What is the {trait_words} of that {group_words}?",
        "Say what {trait_words} belongs to the {group_words} of the {thing} with {label_words} '{v_label}'.",
    ),
    "join_filter": (
        "Find the {label_words} of each {thing} whose {group_words} is of {trait_words} '{v_trait}'.",
        "Which {things} have a {group_words} with the {trait_words} '{v_trait}'? Say their {label_words}.",
        "Show the {label_words} for {things} where the {trait_words} of the {group_words} is '{v_trait}'.",
        "What are the {things} that belong to any {group_words} with '{v_trait}' as {trait_words}?",
    ),
    "join_sum": (
        "What {count_words} do the {things} have in total whose {group_words} is of {trait_words} '{v_trait}'?",
        "Find the total {count_words} over {things} where the {group_words} has '{v_trait}' as {trait_words}.",
        "Added up, how much {count_words} have {things} of each {group_words} with the {trait_words} '{v_trait}'?",
        "Say the total of {count_words} for {things} that belong to a {group_words} of {trait_words} '{v_trait}'.",
    ),
    "insert": (
        "There is a new {thing}: {label_words} '{v_new}', {group_words} '{v_group}', {tag_words} '{v_tag}', "
        "{size_words} {v_size}, {count_words} {v_count}. Put it into the table.",
        "Add a {thing} called '{v_new}' whose {group_words} is '{v_group}', {tag_words} '{v_tag}', "
        "{size_words} {v_size} and {count_words} {v_count}.",
        "Enter the {thing} '{v_new}' with '{v_group}' as {group_words}, '{v_tag}' as {tag_words}, {v_size} as "
        "{size_words} and {v_count} as {count_words}.",
    ),
    "update": (
        "The {thing} '{v_label}' needs {v_other} as its {size_words}.",
        "Make {v_other} the {size_words} of '{v_label}'.",
        "For the {thing} with {label_words} '{v_label}', change the {size_words} to {v_other}.",
        "Correct the {size_words} of the {thing} '{v_label}': it is {v_other}.",
    ),
    "update_many": (
        "Make '{v_tag}' the {tag_words} of all {things} whose {size_words} is below {v_size}.",
        "Each {thing} with less than {v_size} as {size_words} gets the {tag_words} '{v_tag}'.",
        "Change the {tag_words} of every {thing} that has a {size_words} under {v_size} to '{v_tag}'.",
        "Where the {size_words} of {things} is smaller than {v_size}, the {tag_words} has to be '{v_tag}'.",
    ),
    "delete": (
        "Drop the {thing} with {label_words} '{v_label}'.",
        "The {thing} '{v_label}' is gone: remove it.",
        "Erase '{v_label}', which is no longer one of the {things}.",
        "We no longer have the {thing} '{v_label}'. Delete it.",
    ),
    "delete_many": (
        "Drop the {things} whose {tag_words} is '{v_tag}' and whose {size_words} is above {v_size}.",
        "Remove each {thing} of {tag_words} '{v_tag}' with more than {v_size} as {size_words}.",
        "All {things} that have the {tag_words} '{v_tag}' and a {size_words} over {v_size} are to be deleted.",
        "Erase every {thing} where the {size_words} exceeds {v_size} and the {tag_words} is '{v_tag}'.",
    ),
}
