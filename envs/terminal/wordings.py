"""What tasks are asked with. No two splits share a wording; of kinds held out, only one split has any."""

from __future__ import annotations

__all__ = ["SEEN", "UNSEEN"]

SEEN: dict[str, dict[str, tuple[str, ...]]] = {
    "count_lines": {
        "train": (
            "How many lines of the file {path} hold the word {level}?",
            "Count the {level} lines in {path} and answer with the number.",
            "Answer with how often {level} is logged in {path}; each line has one level.",
        ),
        "select": ("Look into {path}: on how many of its lines does {level} stand?",),
        "test": (
            "I need the number of {level} messages that {path} contains.",
            "In the log {path}, what is the count of lines at level {level}?",
        ),
    },
    "most_frequent": {
        "train": (
            "Each line of {path} begins with a user's name. Which user has the most lines?",
            "Answer with the name that comes most often as the first word of a line in {path}.",
            "The first word of every line of {path} is who did something. Who did the most?",
        ),
        "select": ("In {path}, lines start with a name; tell me the most common one.",),
        "test": (
            "Who is the busiest user in {path}? Users are the first field of a line.",
            "Find the name that most lines of {path} start with.",
        ),
    },
    "sum_column": {
        "train": (
            "The file {path} has the columns name, city and amount. What is the total amount for {city}?",
            "Add up the amounts of {path} in the rows whose city is {city}.",
            "What do the amounts of all {city} rows of {path} come to?",
        ),
        "select": ("Take the rows of {path} that are about {city}: what is the sum of their amounts?",),
        "test": (
            "How much is the amount column of {path}, summed over the city {city}?",
            "For {city} alone, give the sum of what {path} lists as amount.",
        ),
    },
    "set_option": {
        "train": (
            "In {path}, set the option {key} to {value} and leave the rest as it is.",
            "Change the value of {key} in the file {path} to {value}. Touch no other line.",
            "The configuration {path} should say {value} for {key}; everything else stays.",
        ),
        "select": ("Edit {path} so that {key} is {value}, with all other options unchanged.",),
        "test": (
            "Make {value} the value of {key} in {path}, without altering anything else there.",
            "Please update {path}: {key} has to equal {value}, nothing more.",
        ),
    },
    "merge_lists": {
        "train": (
            "Write the names of {one} and {two} together to {out}, sorted, each name once.",
            "Merge {one} and {two} into {out}: sorted lines without repetitions.",
            "Make {out} the sorted list of all different lines of {one} and {two}.",
        ),
        "select": ("Put every name that is in {one} or {two} into {out}, in alphabetical order and only once.",),
        "test": (
            "Combine the two lists {one} and {two}; save the result, in order and without doubles, as {out}.",
            "The file {out} should hold the union of {one} and {two}, one sorted line for each name.",
        ),
    },
    "take_column": {
        "train": (
            "Write the column {column} of {path} to {out}, one value a line, without the head.",
            "From {path}, copy the values under {column} into the file {out} in their order, leaving out the title.",
            "Save only the {column} of every row of {path} in {out}; the first line of {path} is a head, not a row.",
        ),
        "select": ("Fill {out} with what {path} has in its column {column}, a line for each row but the head.",),
        "test": (
            "Extract {column} from the table {path} into {out}: the values alone, in the order of the rows.",
            "I want {out} to list the {column} entries of {path} line by line, no heading.",
        ),
    },
    "count_files": {
        "train": (
            "How many files ending in .{suffix} are there in {folder} and the folders in it?",
            "Count the .{suffix} files anywhere below {folder}.",
            "Answer with the number of files named *.{suffix} in {folder}, at any depth.",
        ),
        "select": ("Go through {folder} with all that is in it: how many .{suffix} files do you find?",),
        "test": (
            "What is the number of .{suffix} files under {folder}, subfolders included?",
            "Tell me how many files the tree {folder} has whose names end with .{suffix}.",
        ),
    },
    "largest_file": {
        "train": (
            "Which file in {folder} is the largest?",
            "Answer with the name of the biggest file of the folder {folder}.",
            "Find the file that takes up the most bytes in {folder}.",
        ),
        "select": ("Of the files in {folder}, name the one with the greatest size.",),
        "test": (
            "Compare the sizes of what lies in {folder}: which file has the most bytes?",
            "What is the largest thing in {folder} called?",
        ),
    },
    "rename_suffix": {
        "train": (
            "Rename every .{old} file in {folder} so that it ends in .{new}.",
            "Give the .{old} files of {folder} the ending .{new} instead; leave other files alone.",
            "In {folder}, change the ending .{old} of file names to .{new}.",
        ),
        "select": ("All files of {folder} that are called something.{old} should be called something.{new}.",),
        "test": (
            "Replace the extension .{old} by .{new} for each file in {folder}.",
            "The {old} files in {folder} have the wrong extension; it should be .{new}. Mend that.",
        ),
    },
    "delete_scratch": {
        "train": (
            "Delete all files ending in .{suffix} below {folder}, and nothing else.",
            "Remove the .{suffix} files of {folder} and of its subfolders; keep the others.",
            "Clean up {folder}: every file named *.{suffix}, at any depth, can go. The rest must stay.",
        ),
        "select": ("Get rid of the .{suffix} files anywhere in {folder} without losing another file.",),
        "test": (
            "No .{suffix} file should be left under {folder}; everything else is still needed.",
            "Please erase what ends with .{suffix} in the tree {folder}, only that.",
        ),
    },
    "set_mode": {
        "train": (
            "Set the mode of all .sh files in {folder} to {mode}. Other files keep theirs.",
            "Give every script (*.sh) of {folder} the permissions {mode}.",
            "Change the permissions of the .sh files in {folder} to {mode} and touch no other file.",
        ),
        "select": ("The shell scripts in {folder} need mode {mode}; leave the remaining files as they are.",),
        "test": (
            "Make {mode} the permission bits of each *.sh in {folder}, and of nothing else.",
            "For the .sh files within {folder}, and only those, set permissions {mode}.",
        ),
    },
    "pack_files": {
        "train": (
            "Pack the .{suffix} files of {folder} into the gzipped tar archive {out}.",
            "Make a compressed archive {out} (tar, gzip) that holds only the .{suffix} files from {folder}.",
            "Put every *.{suffix} of {folder}, and nothing else, into {out}.",
        ),
        "select": ("Create {out}, a gzipped tar, from what ends in .{suffix} in {folder}.",),
        "test": (
            "Bundle all .{suffix} files that {folder} holds as {out}; leave its other files out.",
            "Archive {folder}'s {suffix} files, with gzip compression, under the name {out}.",
        ),
    },
    "read_packed": {
        "train": (
            "How many lines has the file {member} in the archive {path}?",
            "The tar archive {path} holds {member}. Count the lines of that file.",
            "Answer with the number of lines of {member}, which is packed in {path}.",
        ),
        "select": ("Inside {path} there is a file {member}; how many lines are in it?",),
        "test": (
            "What is the line count of {member} once it is taken out of {path}?",
            "Look at {member} in the tar file {path} and tell me how many lines it contains.",
        ),
    },
    "stop_program": {
        "train": (
            "Stop the running program {name}. Other programs must go on.",
            "End the process called {name}, and no other.",
            "A program named {name} is running. Kill it, but leave the rest alone.",
        ),
        "select": ("Make the process {name} end without touching what else runs.",),
        "test": (
            "The program {name} hangs; terminate it and only it.",
            "I want {name} to run no longer, while all other processes do.",
        ),
    },
    "write_script": {
        "train": (
            "Write a shell script {path} that prints the {work} of the file it is given. The file has a number a line.",
            "Make a script {path}: run as `sh {path} FILE`, FILE having a number on each line, it prints the {work}.",
            "Create {path}, a shell script that takes a file of numbers, one a line, and prints their {work}.",
        ),
        "select": ("I need a shell script, {path}. Given a file with one number a line, it should print the {work}.",),
        "test": (
            "Program {path} in shell: its argument is a file of numbers (one a line), its output the {work}.",
            "Put into {path} a shell script which, called with a file holding a number per line, prints the {work}.",
        ),
    },
}

UNSEEN: dict[str, tuple[str, ...]] = {
    "missing_lines": (
        "Write the lines of {one} that are not in {two} to {out}, in their order.",
        "Which names does {one} have that {two} lacks? Save them in {out}, in the order of {one}.",
        "Make {out} what is left of {one} when all lines of {two} are taken away.",
    ),
    "sort_into_folders": (
        "In {folder}, move the .{one} files to {folder}/{one} and the .{two} files to {folder}/{two}.",
        "Sort the files of {folder} into the folders {folder}/{one} and {folder}/{two} by their ending.",
        "Each file of {folder} should lie in a folder in it that is named like its ending, {one} or {two}.",
    ),
    "make_link": (
        "The folder {folder} holds versions. Make {link} a symbolic link to the newest, with the highest number.",
        "Create a symbolic link named {link} that leads to the highest version in {folder}.",
        "{link} should be a symlink to whichever folder in {folder} has the greatest version number.",
    ),
    "open_file": (
        "One file below {folder} can be written by everybody (others). Which?",
        "Find the world-writable file in the tree {folder}.",
        "Which file under {folder} may any user write to?",
    ),
    "join_tables": (
        "{one} has number,name and {two} number,city. Write number,name,city to {out}, sorted by number.",
        "Join {one} (number,name) with {two} (number,city) on the number; save number,name,city in order as {out}.",
        "Combine the rows of {one} and {two} that begin with the same number into {out}: number,name,city, sorted.",
    ),
    "unpack_part": (
        "Unpack only the .{suffix} files of {path} into a new folder {folder}.",
        "From the archive {path}, take out what ends in .{suffix}, and nothing else, into {folder}.",
        "Extract just the *.{suffix} members of {path}; they should lie in the folder {folder}.",
    ),
    "changed_file": (
        "{sums} has the SHA-256 sums of the files in {folder}. Which file has changed since?",
        "Check {folder} against {sums} and answer with the file that does not match.",
        "One file in {folder} no longer has the checksum that {sums} gives. Which one?",
    ),
    "program_port": (
        "The running program {name} was started with --port. Which port?",
        "What port number is on the command line of the process {name}?",
        "Find the process {name} and tell me the value of its --port argument.",
    ),
    "repair_script": (
        "The script {path} should print the {work} of a file of numbers, one a line, but does not. Mend it.",
        "Run as `sh {path} FILE`, {path} ought to give the {work} of the numbers in FILE. It does not; repair it.",
        "There is a fault in {path}: for a file with a number a line it must print the {work}. Fix it in place.",
    ),
}
