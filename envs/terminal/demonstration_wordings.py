"""How the split `demonstrations` asks, by kind; it has training's kinds only."""

from __future__ import annotations

__all__ = ["DEMONSTRATIONS"]

DEMONSTRATIONS: dict[str, tuple[str, ...]] = {
    "count_lines": (
        "On how many lines of {path} does {level} occur?",
        "Say how many messages of level {level} the log {path} has.",
        "What is the number of lines with {level} in the file {path}?",
        "{path} is a log. How often does it say {level}?",
    ),
    "most_frequent": (
        "Every line of {path} starts with a user. Say who comes most often.",
        "Whose name is it that the greatest number of lines in {path} begin with?",
        "In the log {path} the first word is a name. Which is the most frequent?",
        "Who has done the most according to {path}, where each line starts with a name?",
    ),
    "sum_column": (
        "What is the sum of the amounts that {path} has for {city}?",
        "{path} lists name, city and amount. Say how much {city} has in all.",
        "Of the table {path}, take the rows of {city}; what do their amounts add up to?",
        "How much do the {city} rows in {path} come to together?",
    ),
    "set_option": (
        "Let {key} be {value} in {path}; the other lines have to stay.",
        "The option {key} of {path} has a wrong value. Put {value} there and change nothing else.",
        "Write {value} as the value of {key} into the configuration {path}.",
        "In the file {path}, {key} should become {value}, all else unchanged.",
    ),
    "merge_lists": (
        "Join the lists {one} and {two} into {out}: each name once, in order.",
        "Make a sorted file {out} of all the lines in {one} and {two}, without doubles.",
        "Into {out}, write what {one} and {two} hold together, sorted, no line twice.",
        "Take {one} and {two}, drop repetitions, sort, and save that as {out}.",
    ),
    "take_column": (
        "Put the values of {column} from {path} into {out}, without the heading.",
        "Copy the column {column} of the table {path} to the file {out}, but not its title.",
        "{out} should have the {column} of each row of {path}, one on a line, and no head.",
        "Take {column} out of {path} and save it, row by row and without the first line, as {out}.",
    ),
    "count_files": (
        "What is the number of files with the ending .{suffix} in {folder}, at all depths?",
        "Look below {folder}: how many files match *.{suffix} there?",
        "How many {suffix} files has {folder}, those in its folders included?",
        "Say how many files anywhere in {folder} end in .{suffix} please.",
    ),
    "largest_file": (
        "What is the name of the file in {folder} that has the greatest size?",
        "In the folder {folder}, which file is bigger than all others?",
        "Say which of the files of {folder} holds the most bytes.",
        "The biggest file of {folder} is wanted. What is it called?",
    ),
    "rename_suffix": (
        "Let all files of {folder} that end in .{old} end in .{new} from now on.",
        "In the folder {folder}, .{old} files should have .{new} as their ending.",
        "Turn the ending {old} of the files in {folder} into {new}.",
        "The files *.{old} that lie in {folder} should have the ending .{new} instead.",
    ),
    "delete_scratch": (
        "Throw away the .{suffix} files in {folder} and below; keep all others.",
        "Files that match *.{suffix} are of no use: delete them everywhere in {folder}.",
        "In {folder} and the folders under it, remove whatever ends in .{suffix} and only that.",
        "Rid {folder} of its {suffix} files, at any depth.",
    ),
    "set_mode": (
        "The *.sh files of {folder} should have the mode {mode}, and no other file.",
        "Let {mode} be the permissions of all shell scripts (.sh) in {folder}.",
        "In the folder {folder}, give mode {mode} to what ends in .sh only.",
        "Scripts in {folder} end in .sh: put their permissions at {mode}.",
    ),
    "pack_files": (
        "Make {out} of the .{suffix} files in {folder}; it is a tar archive with gzip.",
        "Store all files *.{suffix} of {folder}, no others, in the compressed archive {out}.",
        "From {folder}, take what ends in .{suffix} and put it into a gzipped tar named {out}.",
        "The {suffix} files of {folder} belong in an archive {out} (tar and gzip).",
    ),
    "read_packed": (
        "{path} is a tar archive with a file {member} in it. Say how many lines that has.",
        "How long, in lines, is {member} from the archive {path}?",
        "What is the number of lines in {member}, a file of the tar {path}?",
        "Take a look at {member} within {path}: how many lines are there?",
    ),
    "stop_program": (
        "The process {name} should not run any more; the others should.",
        "Among the programs that run is {name}. Stop that one alone.",
        "Put an end to {name}, which is running, and let other programs be.",
        "Terminate the running process {name}; nothing else may end.",
    ),
    "write_script": (
        "A script {path} is wanted that gives the {work} of a file with one number on each line: `sh {path} FILE`.",
        "Save as {path} a shell script. It gets the name of a file of numbers, one a line, and says the {work}.",
        "Let `sh {path} FILE` print the {work} of the numbers in FILE, which has one on each line.",
        "Make {path} print the {work} of the numbers (one a line) in the file that is its argument, as a shell script.",
    ),
}
