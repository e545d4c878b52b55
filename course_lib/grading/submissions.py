"""Find students' submissions in folders and zip files.

The layouts of nbgrader, Canvas and Moodle are supported. Submissions are not trusted. Nothing is
unpacked to disk, only regular files of a reasonable size are read, and an entry of a zip file is
not read if its path leads outside the zip file.
"""

import hashlib
import io
import json
import lzma
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

MAX_NOTEBOOK = 20 * 2**20  # bytes; a notebook with all its figures takes up one or two million
MAX_DESIGN = 32 * 2**20
MAX_ZIP = 2 * 2**30
MAX_CELLS = 1_000
MAX_CODE = 2 * 2**20  # characters of code in all cells together
ANSWER_HERE = "*Your answer.*"  # the initial text of a cell for a written answer
MAX_WORDS = 10_000  # characters of a written answer
NOTEBOOK, DESIGN, ZIP = ".ipynb", "design.safetensors", ".zip"
# ada_design.safetensors, design-1.safetensors (a file handed in again on Canvas)
# or design (1).safetensors (a file that a browser downloaded again)
A_DESIGN = re.compile(r"(?:(?P<student>.*)_)?design(?:-\d+| ?\(\d+\))?\.safetensors")
# folders and files that JupyterLab and macOS add; notebooks in them do not count as handed in
ADDED = (".ipynb_checkpoints", "__MACOSX", ".DS_Store")
# lastfirst_LATE_12345_67890_name.ipynb
CANVAS = re.compile(r"(?P<student>[^_/]+)(?:_LATE)?_(?P<id>\d+)_\d+_(?P<name>[^/]+)")
# Full Name_12345_assignsubmission_file_/name.ipynb
MOODLE = re.compile(r"(?P<student>[^/]+)_(?P<id>\d+)_assignsubmission_file_?/(?P<name>[^/]+)")
# the folder that Moodle creates for a student's files or text, even if it is empty
MOODLE_FOLDER = re.compile(r"(?P<student>[^/]+)_(?P<id>\d+)_assignsubmission_[a-z]+_?")
NO_NOTEBOOK = "No notebook was handed in"
SEVERAL = {
    kind: f"Several {kind}s were handed in, but only one is allowed."
    for kind in ("notebook", "design")
}
# what Python raises for a zip file that is damaged, encrypted or compressed in an unknown way
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,  # including NotImplementedError
    ValueError,  # including UnicodeDecodeError
    OverflowError,
    LookupError,
    MemoryError,  # damaged data can request gigabytes of memory for decompression
)


class NoSubmissions(Exception):
    """Raised if the submissions cannot be found or read; the message says why in one sentence."""


class NoNotebook(NoSubmissions):
    """Raised if a folder or zip file contains neither a notebook nor a design."""


class SeveralNotebooks(NoSubmissions):
    """Raised if a file could belong to any of several students: a design, or a zip file that
    contains the submissions of a whole class.
    """


@dataclass(frozen=True)
class Submission:
    """One student's notebook and design, as bytes.

    trouble: a sentence that says why the submission cannot be graded, or "" if it can be.
    """

    student: str
    notebook: bytes = b""
    design: bytes | None = None
    trouble: str = ""

    @property
    def sha(self) -> str:
        """A hash of everything that was handed in."""
        parts = [self.notebook, self.design or b"", self.trouble.encode()]
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


@dataclass
class Cells:
    """The code cells to run, notes on the notebook, and any reason why it cannot be graded."""

    code: list[dict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refusal: str = ""


def find_submissions(place: Path, assignment: str) -> list[Submission]:
    """Return all submissions in a folder or zip file, sorted by student.

    Raises NoNotebook if there are none, SeveralNotebooks if a design could belong to any of several
    notebooks or if a zip file in the folder contains a whole class, and NoSubmissions if `place`
    cannot be read or is not the folder or zip file of a class.
    """
    if not place.exists():
        raise NoSubmissions(
            f"{place} does not exist. Pass the folder or zip file with the submissions."
        )
    of_one = MOODLE_FOLDER.fullmatch(place.resolve().name)
    if place.is_dir() and of_one:
        name = f"{of_one['student']} {of_one['id']}"
        raise NoSubmissions(
            f"{place} is the folder of one student. Pass the folder that contains it, and add "
            f'--only "{name}" to grade only this student.'
        )
    if place.is_file() and place.name.endswith(NOTEBOOK):
        raise NoSubmissions(
            f"{place} is only one notebook. "
            "Pass the folder or zip file that contains all submissions."
        )
    files = list(zip_files(place) if place.is_file() else folder_files(place))
    others = of_other_assignments([path for path, _, _ in files], assignment)
    files = [file for file in files if file[0] not in others]
    found: dict[str, dict[str, bytes | str]] = {}
    students = students_of([path for path, _, _ in files], assignment)
    for path, content, trouble in files:
        student, kind = students[path]
        if student is None:
            continue
        mine = found.setdefault(student, {})
        if trouble:
            mine["trouble"] = trouble
        elif mine.get(kind, content) != content:
            mine["trouble"] = SEVERAL[kind]
        else:
            mine[kind] = content
    give_design_to_its_notebook(found, place)
    submissions = [one_submission(student, found[student]) for student in sorted(found)]
    if not submissions:
        raise NoNotebook(
            f"{place} contains no notebook for {assignment}. "
            "See docs/homework.md for the supported layouts."
        )
    return submissions


def give_design_to_its_notebook(found: dict[str, dict[str, bytes | str]], place: Path) -> None:
    """If a design is not in a student's folder,
    assign it to the student who handed in the only notebook.

    In a submission from Gradescope, for example, there is no such folder. Raises
    SeveralNotebooks if there is more than one notebook.
    """
    loose = found.pop("", None)
    if loose is None:
        return
    if len(found) > 1:
        raise SeveralNotebooks(
            f"{place} contains {DESIGN} and several notebooks. "
            f"Rename {DESIGN} to STUDENT_{DESIGN} to match STUDENT.ipynb, or remove it."
        )
    for mine in found.values():
        mine.update(loose)


def one_submission(student: str, mine: dict) -> Submission:
    """Combine one student's files into a submission."""
    if "trouble" not in mine and "notebook" not in mine:
        mine["trouble"] = f"{NO_NOTEBOOK}."
    notebook, trouble = mine.get("notebook", b""), mine.get("trouble", "")
    return Submission(student, notebook, mine.get("design"), trouble)


def students_of(paths: list[str], assignment: str) -> dict[str, tuple[str | None, str]]:
    """Return the student and kind of each file, as `whose` does, but also handle nested folders.

    A notebook in a folder normally belongs to the student after whom the folder is named. This rule
    fails if several folders have the same name, as in ada/hw1 and bob/hw1, or if some folders are
    deeper than others. In these cases, the first folder below the shared parent folder gives the
    student's name.
    """
    found = {path: whose(path, assignment) for path in paths}
    depths = course_depths(paths, assignment)
    for path in paths:
        student, kind = found[path]
        if student and path.count("/") in depths and not MOODLE.search(path):
            found[path] = PurePosixPath(path).parts[-3], kind
    folders = {
        path: PurePosixPath(path).parent
        for path, (student, _) in found.items()
        if student and student == PurePosixPath(path).parent.name
    }
    different = set(folders.values())
    depths = {len(folder.parts) for folder in different}
    names = {folder.name for folder in different}
    if len(depths) > 1 or len(names) < len(different):
        shared = len(PurePosixPath(os.path.commonpath(different)).parts)
        for path, folder in folders.items():
            found[path] = folder.parts[min(shared, len(folder.parts) - 1)], found[path][1]
    return found


def whose(path: str, assignment: str) -> tuple[str | None, str]:
    """Return the student to whom a file belongs, and its kind, which is "notebook" or "design".

    The student is None for other files, and "" for a design that is not in a folder and whose file
    name contains no student's name.
    """
    parts = PurePosixPath(path).parts
    name = PurePosixPath(path).name
    design = A_DESIGN.fullmatch(name)
    if not is_handed_in(path) or not (design or name.endswith(NOTEBOOK)):
        return None, ""
    kind = "design" if design else "notebook"
    moodle = MOODLE.search(path)
    if moodle:
        return f"{moodle['student']} {moodle['id']}", kind
    if is_in_course(path, assignment):
        return parts[-3], kind
    # A student's zip file counts as a folder with the same name. Its name comes first: Canvas has
    # given it, whereas the student chooses the names of the files inside.
    for part in parts[-2:]:
        canvas = CANVAS.fullmatch(part)
        if canvas:
            return f"{canvas['student']} {canvas['id']}", kind
    if len(parts) >= 2:
        return parts[-2], kind
    return (design["student"] or "") if design else name.removesuffix(NOTEBOOK), kind


def is_in_course(path: str, assignment: str) -> bool:
    """Return whether a path has the layout of an nbgrader course: STUDENT/ASSIGNMENT/FILE."""
    parts = PurePosixPath(path).parts
    return len(parts) >= 3 and parts[-2] == assignment


def course_depths(paths: list[str], assignment: str) -> set[int]:
    """Return the folder depths at which the assignment's files are stored in an nbgrader course.

    For other layouts, the result is empty.
    """
    return {
        path.count("/")
        for path in paths
        if is_in_course(path, assignment) and not MOODLE.search(path)
    }


def of_other_assignments(paths: list[str], assignment: str) -> set[str]:
    """Return the files of other assignments in an nbgrader course.

    These are the files in STUDENT/OTHER if the student also has a folder for this assignment, or if
    the notebook is called OTHER.ipynb.
    """
    depths = course_depths(paths, assignment)
    students = {PurePosixPath(path).parts[:-2] for path in paths if is_in_course(path, assignment)}
    others = set()
    for path in map(PurePosixPath, paths):
        at_depth = len(path.parts) - 1 in depths and not is_in_course(str(path), assignment)
        if at_depth and (path.parts[:-2] in students or path.stem == path.parent.name):
            others.add(str(path))
    return {path for path in others if not MOODLE.search(path)}


def is_handed_in(path: str) -> bool:
    """Return whether a file may be part of a submission.

    Files added by JupyterLab or macOS are excluded.
    """
    parts = PurePosixPath(path).parts
    return not any(part in ADDED or part.startswith("._") for part in parts)


def folder_files(folder: Path) -> Iterator[tuple[str, bytes, str]]:
    """Yield (path, bytes, trouble) for each notebook or design in a folder and its subfolders.

    The path is relative to the folder. `trouble` is a sentence that says why the file was not read,
    or "" if it was read. Students' zip files are searched too.
    """
    for where, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if name not in ADDED)
        for name in sorted(names):
            path = Path(where) / name
            inside = readable(path.relative_to(folder).as_posix())
            if name.endswith((NOTEBOOK, ".safetensors")):
                yield inside, *read_file(path)
            elif name.endswith(ZIP):
                around = PurePosixPath(inside).parent
                files = [str(around / readable(other)) for other in names]
                subfolders = [f"{around / readable(other)}/" for other in folders]
                yield from zip_in_folder(path, stands_for(inside, files + subfolders))


def readable(path: str) -> str:
    """Return the path in a form that can be encoded in UTF-8.

    A name that is not valid UTF-8 is decoded as Latin-1, which older systems used.
    """

    def decoded(name: str) -> str:
        written = os.fsencode(name)
        try:
            return written.decode()
        except UnicodeDecodeError:
            return written.decode("latin-1")

    return "/".join(decoded(name) for name in path.split("/"))


def zip_in_folder(path: Path, home: str) -> Iterator[tuple[str, bytes, str]]:
    """Yield the files in a student's zip file, with paths that begin with the folder `home`."""
    content, trouble = read_file(path)
    if trouble:
        yield f"{home}/unread{NOTEBOOK}", b"", trouble
    else:
        yield from inner_entries(content, home, readable(path.name))


def stands_for(zip_path: str, names: list[str]) -> str:
    """Return the folder to which the files in a student's zip file are assigned.

    This is the folder that contains the zip file if `names` lists no other zip file and no
    subfolder there; otherwise, it is a folder named after the zip file. In `names`, the names of
    folders end with a slash.
    """
    home, own = str(PurePosixPath(zip_path).parent), zip_path.removesuffix(ZIP)
    if home == ".":
        return own
    for name in names:
        inside = name.removeprefix(f"{home}/")
        if inside in (name, "") or name == zip_path:
            continue  # not inside the folder, or the zip file itself
        if "/" in inside or inside.endswith(ZIP):
            return own
    return home


def read_file(path: Path) -> tuple[bytes, str]:
    """Return the bytes of a regular file and "", or b"" and the reason why it was not read."""
    name = readable(path.name)
    limit = limit_of(name)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b"", f"{name} is not a regular file, so it was not read."
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            return b"", f"{name} is not a regular file, so it was not read."
        if about.st_size > limit:
            return b"", f"{name} is larger than {limit // 2**20} MB, so it was not read."
        return file.read(limit), ""


def limit_of(name: str) -> int:
    """Return the maximum size of a file in bytes.

    The size limit for a zip file is large enough for a notebook and a design.
    """
    if name.endswith(NOTEBOOK):
        return MAX_NOTEBOOK
    return MAX_NOTEBOOK + MAX_DESIGN if name.endswith(ZIP) else MAX_DESIGN


def zip_files(path: Path) -> Iterator[tuple[str, bytes, str]]:
    """Yield the files in a zip file, as `folder_files` does for a folder.

    Students' zip files inside it are searched too.
    """
    if path.stat().st_size > MAX_ZIP:
        raise NoSubmissions(
            f"{path.name} is larger than {MAX_ZIP // 2**30} GB. "
            "Unpack the file and pass the folder."
        )
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                top = folder_around(archive, path.stem)
                for name, content, trouble in entries(archive, ""):
                    yield name.removeprefix(top), content, trouble
        except DAMAGED:
            raise NoSubmissions(
                f"{path.name} is not a zip file, or it is damaged. "
                "Pass the folder or zip file with the submissions."
            ) from None


def folder_around(archive: zipfile.ZipFile, stem: str) -> str:
    """Return the top folder of a zip file if it has the zip file's name
    and contains the submissions of a whole class, and "" otherwise.

    Callers remove this folder from the paths, so that `submissions/ada.ipynb` and
    `submissions/bob.ipynb` do not count as two notebooks of a student called submissions. If the
    folder contains only one notebook, the folder's name is the student's name.
    """
    names = [name for name in archive.namelist() if is_handed_in(name)]
    top = f"{stem}/"
    inside = [name.removeprefix(top) for name in names]
    direct = [name for name in inside if "/" not in name and name.endswith(NOTEBOOK)]
    return top if len(direct) > 1 and all(name.startswith(top) for name in names) else ""


def entries(archive: zipfile.ZipFile, above: str) -> Iterator[tuple[str, bytes, str]]:
    """Yield the files in a zip file, as `folder_files` does for a folder.

    The paths begin with `above`.
    """
    for entry in archive.infolist():
        name = entry.filename.replace("\\", "/")
        inner = name.endswith(ZIP) and not above
        if not (name.endswith((NOTEBOOK, ".safetensors")) or inner):
            continue  # also for a folder, whose name ends with a slash
        parts = PurePosixPath(name).parts
        link = stat.S_ISLNK(entry.external_attr >> 16)
        if name.startswith("/") or ".." in parts or link:
            yield (
                above + "/".join(part for part in parts if part not in ("/", "..")),
                b"",
                ("The path of a file in the zip leads outside the zip, so the file was not read."),
            )
            continue
        limit = limit_of(name)
        too_large = f"{parts[-1]} is larger than {limit // 2**20} MB, so it was not read."
        if entry.file_size > limit:
            yield above + name, b"", too_large
            continue
        try:
            with archive.open(entry) as file:
                content = file.read(limit + 1)
        except DAMAGED:
            yield above + name, b"", f"The file {parts[-1]} in the zip is damaged or encrypted."
            continue
        if len(content) > limit:
            yield above + name, b"", too_large
        elif inner:
            yield from inner_entries(content, stands_for(name, archive.namelist()), parts[-1])
        else:
            yield above + name, content, ""


def inner_entries(content: bytes, home: str, name: str) -> Iterator[tuple[str, bytes, str]]:
    """Yield the files in `name`, a student's zip file,
    with their paths relocated to the folder `home`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            refuse_a_class(archive.namelist(), home, name)
            for inside, found, trouble in entries(archive, f"{home}/"):
                if is_handed_in(inside):
                    yield f"{home}/{PurePosixPath(inside).name}", found, trouble
    except DAMAGED:
        yield f"{home}/damaged{NOTEBOOK}", b"", f"{name} is damaged."


def refuse_a_class(entries: list[str], home: str, name: str) -> None:
    """Raise SeveralNotebooks if the zip file called `name` in the folder `home` contains the
    submissions of a whole class.

    Its files would be treated as belonging to a single student. They are not assigned to the
    students whom they name, because the zip file may come from a student, who can choose any names.
    A zip file is accepted if its own name identifies a student in Canvas's format, or if it is in,
    or named like, a student's folder from Moodle.
    """
    of_student = any(MOODLE_FOLDER.fullmatch(part) for part in PurePosixPath(home).parts)
    if of_student or CANVAS.fullmatch(name):
        return
    handed_in = [entry for entry in entries if is_handed_in(entry)]
    moodle = any(MOODLE.search(entry) for entry in handed_in)
    # other files may be named as on Canvas by chance, such as hw_2024_10_final.ipynb
    files = [PurePosixPath(entry).name for entry in handed_in if entry.endswith((NOTEBOOK, ZIP))]
    canvas = {found["id"] for file in files if (found := CANVAS.fullmatch(file))}
    if moodle or len(canvas) > 1:
        raise SeveralNotebooks(
            f"{name} appears to be the zip file with all submissions from "
            f"{'Moodle' if moodle else 'Canvas'}. Pass this zip file itself as --submissions, or "
            "unpack it and pass the folder. If a student handed it in, remove it."
        )


def read_cells(notebook: bytes) -> Cells:
    """Return the code cells of a notebook in order, except those tagged `practice`.

    If the notebook cannot be graded, return only a sentence that says why.
    """
    try:
        document = json.loads(notebook)
        cells = document["cells"]
        code = [cell for cell in cells if cell.get("cell_type") == "code"]
        sources = ["".join(cell["source"]) for cell in code]
        tags = [set(cell.get("metadata", {}).get("tags", [])) for cell in code]
        language = language_of(document)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Cells(refusal="The file cannot be read as a notebook.")
    if language != "python":
        return Cells(refusal="The notebook is not a Python notebook.")
    if len(cells) > MAX_CELLS:
        return Cells(refusal=f"The notebook contains more than {MAX_CELLS:,} cells.")
    if sum(map(len, sources)) > MAX_CODE:
        return Cells(refusal=f"The notebook contains more than {MAX_CODE:,} characters of code.")
    wanted = [
        {"number": number, "source": source}
        for number, (source, tag) in enumerate(zip(sources, tags, strict=True), start=1)
        if "practice" not in tag and source.strip()
    ]
    return Cells(wanted, notes_about(document))


def language_of(document: dict) -> str:
    """Return a notebook's programming language in lower case."""
    about = document.get("metadata", {})
    named = about.get("language_info", {}).get("name")
    return str(named or about.get("kernelspec", {}).get("language") or "python").lower()


def notes_about(document: dict) -> list[str]:
    """Return a note for each grade id shared by several cells, as happens when a cell is copied."""
    ids = [grade_id_of(cell) for cell in document["cells"]]
    twice = {one[:60] for one in ids if one and ids.count(one) > 1}
    return [f"The cell {one!r} appears in the notebook more than once." for one in sorted(twice)]


def grade_id_of(cell: dict) -> str:
    """Return the grade id that nbgrader or `release` gave a cell, or "" if no valid one exists."""
    try:
        name = cell["metadata"]["nbgrader"]["grade_id"]
    except (KeyError, TypeError):
        return ""
    return name if isinstance(name, str) else ""


def source_of(cell: dict) -> str:
    """Return the text of a cell, which is stored as one string or as a list of lines."""
    source = cell.get("source", "")
    if isinstance(source, list):
        return "".join(map(str, source))
    return source if isinstance(source, str) else ""


def holds_half(notebook: bytes, functions: Mapping[str, str]) -> bool:
    """Return whether a notebook contains at least half of an assignment's questions.

    `read_cells` must have accepted the notebook. A question counts as present if the notebook
    contains its cell or defines its function. One question is not enough, because some names occur
    in several assignments. functions: maps each question to the name of its function, or to "" if
    it has none.
    """
    cells = json.loads(notebook)["cells"]
    ids = {grade_id_of(cell) for cell in cells}
    code = "\n".join(source_of(cell) for cell in cells if cell.get("cell_type") == "code")
    found = 0
    for name, function in functions.items():
        if ids & {name, f"answer-{name}"} or (function and defines(code, function)):
            found += 1
    return 2 * found >= len(functions)


def defines(code: str, function: str) -> bool:
    """Return whether the code appears to define a function with this name."""
    return re.search(rf"\bdef\s+{function}\b|\b{function}\s*=(?!=)", code) is not None


def words_of(notebook: bytes, question: str) -> str:
    """Return the written answer to a question.

    The answer is the text of all cells that have the question's grade id.
    """
    cells = json.loads(notebook)["cells"]
    texts = [source_of(cell) for cell in cells if grade_id_of(cell) == question]
    text = "\n\n".join(texts)[:MAX_WORDS].replace("\r\n", "\n").replace("\r", "\n")
    return text.encode("utf-8", "replace").decode()  # JSON may contain surrogates


def is_answered(answer: str) -> bool:
    """Return whether a written answer is neither empty nor the placeholder that `release` wrote."""
    return answer.strip() not in ("", ANSWER_HERE)
