"""The file share, to be read, and the user's notes."""

from __future__ import annotations

from pydantic import Field

from envs.tools.company import Company
from envs.tools.schema import Answer, Arguments, Tool, ToolError
from envs.tools.world import Note

__all__ = ["TOOLS"]


class ListFiles(Arguments):
    """Arguments of `list_files`."""

    folder: str = Field(description="such as reports/sales", max_length=100)


class ReadFile(Arguments):
    """Arguments of `read_file`."""

    path: str = Field(max_length=200)


class ReadNote(Arguments):
    """Arguments of `read_note`."""

    title: str = Field(max_length=100)


class WriteNote(Arguments):
    """Arguments of `write_note`."""

    title: str = Field(min_length=1, max_length=100)
    text: str = Field(min_length=1, max_length=2000)


def _list_files(company: Company, asked: ListFiles) -> Answer:
    folder = asked.folder.strip().strip("/").casefold() + "/"
    found = sorted(path for path in company.world.files if path.startswith(folder))
    if not found:
        known = ", ".join(sorted({path.rpartition("/")[0] for path in company.world.files}))
        raise ToolError(f"no folder {asked.folder!r}; folders are {known}")
    return {"files": found}


def _read_file(company: Company, asked: ReadFile) -> Answer:
    file = company.world.files.get(asked.path.strip().lstrip("/").casefold())
    if file is None:
        raise ToolError(f"no file {asked.path!r}; list_files gives the paths")
    return {"text": file.text, "amount": file.amount}


def _read_note(company: Company, asked: ReadNote) -> Answer:
    note = company.notes.get(asked.title.strip().casefold())
    if note is None:
        known = ", ".join(repr(note.title) for note in company.notes.values())
        raise ToolError(f"no note {asked.title!r}; notes are {known}")
    return {"text": note.text} if note.figure is None else {"text": note.text, "figure": note.figure}


def _write_note(company: Company, asked: WriteNote) -> Answer:
    title = asked.title.strip()
    company.notes[title.casefold()] = Note(title, asked.text)
    return {"written": title}


TOOLS = (
    Tool("list_files", "List the files of a folder of the share.", ListFiles, _list_files),
    Tool("read_file", "Read a file of the share.", ReadFile, _read_file),
    Tool("read_note", "Read one of your notes.", ReadNote, _read_note),
    Tool("write_note", "Write a note, over one of the same title.", WriteNote, _write_note),
)
