"""What students hand in: found in the layouts of nbgrader, Canvas and Moodle, in folders and zips,
and never trusted.

Nothing is unpacked to disk. A file is read only if it is an ordinary file of a sensible size, and a
zip's entries only if their names stay inside the zip.
"""

import hashlib
import io
import json
import os
import re
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

MAX_NOTEBOOK = 20 * 2**20  # bytes; a notebook with all its pictures has one or two million
MAX_DESIGN = 32 * 2**20
MAX_ZIP = 2 * 2**30
MAX_CELLS = 1_000
MAX_CODE = 2 * 2**20  # characters of code in all cells
NOTEBOOK, DESIGN = ".ipynb", "design.safetensors"
# lastfirst_LATE_12345_67890_name.ipynb
CANVAS = re.compile(r"(?P<student>[^_/]+)(?:_LATE)?_(?P<id>\d+)_\d+_(?P<name>[^/]+)")
# Full Name_12345_assignsubmission_file_/name.ipynb
MOODLE = re.compile(r"(?P<student>[^/]+)_(?P<id>\d+)_assignsubmission_file_?/(?P<name>[^/]+)")


class NoSubmissions(Exception):
    """There is nothing to grade, in one sentence."""


@dataclass(frozen=True)
class Submission:
    """One student's notebook and arrays, as bytes; `trouble` says in one sentence why it cannot be
    graded.
    """

    student: str
    notebook: bytes = b""
    design: bytes | None = None
    trouble: str = ""

    @property
    def sha(self) -> str:
        """A hash of all that was handed in."""
        parts = [self.notebook, self.design or b"", self.trouble.encode()]
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


@dataclass
class Cells:
    """A notebook's code cells to be run, and what is to be said about it."""

    code: list[dict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refusal: str = ""


def find_submissions(place: Path, assignment: str) -> list[Submission]:
    """All submissions in a folder or a zip, sorted by student. Raises NoSubmissions if there are
    none.
    """
    if not place.exists():
        raise NoSubmissions(f"{place} does not exist; name the folder or the zip that holds the submissions.")
    files = zip_files(place) if place.is_file() else folder_files(place, assignment)
    found: dict[str, dict[str, bytes | str]] = {}
    for path, content, trouble in files:
        student, kind = whose(path, assignment)
        if student is None:
            continue
        mine = found.setdefault(student, {})
        if trouble:
            mine["trouble"] = trouble
        elif kind in mine:
            mine["trouble"] = "Two notebooks were handed in: keep one of them."
        else:
            mine[kind] = content
    submissions = [one_submission(student, found[student]) for student in sorted(found)]
    if not submissions:
        raise NoSubmissions(
            f"{place} holds no notebook for {assignment}; see docs/homework.md for the layouts."
        )
    return submissions


def one_submission(student: str, mine: dict) -> Submission:
    """A submission from the files of one student."""
    if "trouble" not in mine and "notebook" not in mine:
        mine["trouble"] = "No notebook was handed in."
    return Submission(student, mine.get("notebook", b""), mine.get("design"), mine.get("trouble", ""))


def whose(path: str, assignment: str) -> tuple[str | None, str]:
    """The student whose file this is, and whether it is a notebook or a design; None for other
    files.
    """
    name = PurePosixPath(path).name
    if name.endswith(NOTEBOOK):
        kind = "notebook"
    elif name.endswith(DESIGN):
        kind = "design"
    else:
        return None, ""
    parts = PurePosixPath(path).parts
    moodle = MOODLE.search(path)
    if moodle:
        return f"{moodle['student']} {moodle['id']}", kind
    if len(parts) >= 3 and parts[-2] == assignment:  # nbgrader's STUDENT/ASSIGNMENT/ASSIGNMENT.ipynb
        return parts[-3], kind
    canvas = CANVAS.fullmatch(name)
    if canvas:
        return f"{canvas['student']} {canvas['id']}", kind
    if len(parts) >= 2:
        return parts[-2], kind
    return name.removesuffix(NOTEBOOK).removesuffix(f"_{DESIGN}"), kind


def folder_files(folder: Path, assignment: str) -> Iterator[tuple[str, bytes, str]]:
    """Each notebook or design below a folder: its path in it, its bytes, or why they were not read."""
    for where, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if name != ".ipynb_checkpoints")
        for name in sorted(names):
            path = Path(where) / name
            if name.endswith((NOTEBOOK, DESIGN)):
                inside = path.relative_to(folder).as_posix()
                yield inside, *read_file(path)


def read_file(path: Path) -> tuple[bytes, str]:
    """The bytes of an ordinary file, or why they were not read."""
    limit = MAX_DESIGN if path.name.endswith(DESIGN) else MAX_NOTEBOOK
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b"", f"{path.name} is no ordinary file, so it was not read."
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            return b"", f"{path.name} is no ordinary file, so it was not read."
        if about.st_size > limit:
            return b"", f"{path.name} is larger than {limit // 2**20} MB, so it was not read."
        return file.read(limit), ""


def zip_files(path: Path) -> Iterator[tuple[str, bytes, str]]:
    """The same for the entries of a zip, and of the zips in it that Canvas or Moodle put there."""
    if path.stat().st_size > MAX_ZIP:
        raise NoSubmissions(
            f"{path.name} is larger than {MAX_ZIP // 2**30} GB; unpack it and name the folder."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            yield from entries(archive, "")
    except zipfile.BadZipFile:
        raise NoSubmissions(f"{path.name} is not a zip, or it is damaged.") from None


def entries(archive: zipfile.ZipFile, above: str) -> Iterator[tuple[str, bytes, str]]:
    """The files of a zip: path, bytes, and a sentence for one that is not read."""
    for entry in archive.infolist():
        name = entry.filename.replace("\\", "/")
        inner = name.endswith(".zip") and not above
        if entry.is_dir() or not (name.endswith((NOTEBOOK, DESIGN)) or inner):
            continue
        parts = PurePosixPath(name).parts
        link = stat.S_ISLNK(entry.external_attr >> 16)
        if name.startswith("/") or ".." in parts or link:
            yield (
                above + "/".join(part for part in parts if part not in ("/", "..")),
                b"",
                ("The zip holds a file whose name leads out of it, so it was not read."),
            )
            continue
        limit = MAX_DESIGN if name.endswith(DESIGN) else MAX_NOTEBOOK
        if entry.file_size > limit:
            yield above + name, b"", f"{parts[-1]} is larger than {limit // 2**20} MB, so it was not read."
            continue
        try:
            with archive.open(entry) as file:
                content = file.read(limit + 1)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError):
            yield above + name, b"", f"{parts[-1]} in the zip is damaged or encrypted."
            continue
        if len(content) > limit:
            yield above + name, b"", f"{parts[-1]} is larger than {limit // 2**20} MB, so it was not read."
        elif inner:
            yield from inner_entries(content, name)
        else:
            yield above + name, content, ""


def inner_entries(content: bytes, name: str) -> Iterator[tuple[str, bytes, str]]:
    """The files of a zip inside the zip, whose name is the student."""
    student = name.removesuffix(".zip")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield from entries(archive, f"{student}/")
    except zipfile.BadZipFile:
        yield f"{student}/damaged{NOTEBOOK}", b"", f"{PurePosixPath(name).name} is damaged."


def read_cells(notebook: bytes) -> Cells:
    """The code cells of a notebook, in order, without those tagged `practice`; or a refusal in one
    sentence.
    """
    try:
        document = json.loads(notebook)
        cells = document["cells"]
        code = [cell for cell in cells if cell.get("cell_type") == "code"]
        sources = ["".join(cell["source"]) for cell in code]
        tags = [set(cell.get("metadata", {}).get("tags", [])) for cell in code]
        language = language_of(document)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Cells(refusal="The file is not a notebook that can be read.")
    if language != "python":
        return Cells(refusal="The notebook is not written for Python.")
    if len(cells) > MAX_CELLS:
        return Cells(refusal=f"The notebook has more than {MAX_CELLS:,} cells.")
    if sum(map(len, sources)) > MAX_CODE:
        return Cells(refusal=f"The notebook holds more than {MAX_CODE:,} characters of code.")
    wanted = [
        {"number": number, "source": source}
        for number, (source, tag) in enumerate(zip(sources, tags, strict=True), start=1)
        if "practice" not in tag and source.strip()
    ]
    return Cells(wanted, notes_about(document))


def language_of(document: dict) -> str:
    """The notebook's programming language, in lower case."""
    about = document.get("metadata", {})
    named = (
        about.get("language_info", {}).get("name") or about.get("kernelspec", {}).get("language") or "python"
    )
    return str(named).lower()


def notes_about(document: dict) -> list[str]:
    """What a person should know: cells with one grade id, as happens when a student copies a cell."""
    ids = [cell.get("metadata", {}).get("nbgrader", {}).get("grade_id") for cell in document["cells"]]
    twice = {str(one)[:60] for one in ids if one and ids.count(one) > 1}
    return [f"The cell {one!r} stands in the notebook more than once." for one in sorted(twice)]
