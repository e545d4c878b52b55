"""What students hand in: found in the layouts of nbgrader, Canvas and Moodle, in folders and zips,
and never trusted.

Nothing is unpacked to disk. A file is read only if it is an ordinary file of a sensible size, and a
zip's entries only if their names stay inside the zip.
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

MAX_NOTEBOOK = 20 * 2**20  # bytes; a notebook with all its pictures has one or two million
MAX_DESIGN = 32 * 2**20
MAX_ZIP = 2 * 2**30
MAX_CELLS = 1_000
MAX_CODE = 2 * 2**20  # characters of code in all cells
ANSWER_HERE = "*Your answer.*"  # stands in the cell for an answer in words
MAX_WORDS = 10_000  # characters of an answer in words
NOTEBOOK, DESIGN, ZIP = ".ipynb", "design.safetensors", ".zip"
# ada_design.safetensors; Canvas makes design-1.safetensors of a file that is handed in again, a browser
# makes design (1).safetensors of one that is downloaded again
A_DESIGN = re.compile(r"(?:(?P<student>.*)_)?design(?:-\d+| ?\(\d+\))?\.safetensors")
# what JupyterLab and macOS add by themselves; a copy in there is not handed in
ADDED = (".ipynb_checkpoints", "__MACOSX", ".DS_Store")
# lastfirst_LATE_12345_67890_name.ipynb
CANVAS = re.compile(r"(?P<student>[^_/]+)(?:_LATE)?_(?P<id>\d+)_\d+_(?P<name>[^/]+)")
# Full Name_12345_assignsubmission_file_/name.ipynb
MOODLE = re.compile(r"(?P<student>[^/]+)_(?P<id>\d+)_assignsubmission_file_?/(?P<name>[^/]+)")
NO_NOTEBOOK = "No notebook was handed in"
SEVERAL = {kind: f"Several {kind}s were handed in: keep one of them." for kind in ("notebook", "design")}
# what Python raises for a zip that is damaged or encrypted, or packed in a way that it does not know
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,  # NotImplementedError is one
    ValueError,  # UnicodeDecodeError is one
    OverflowError,
    LookupError,
    MemoryError,  # packed bytes can ask for gigabytes to be unpacked with
)


class NoSubmissions(Exception):
    """There is nothing to grade, in one sentence."""


class NoNotebook(NoSubmissions):
    """A folder or a zip holds neither a notebook nor a design."""


class SeveralNotebooks(NoSubmissions):
    """A design lies beside several notebooks, and nothing says whose it is."""


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
    """All submissions in a folder or a zip, sorted by student. Raises NoNotebook if there are none, and
    another kind of NoSubmissions if they cannot be read.
    """
    if not place.exists():
        raise NoSubmissions(f"{place} does not exist; name the folder or the zip that holds the submissions.")
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
        raise NoNotebook(f"{place} holds no notebook for {assignment}; see docs/homework.md for the layouts.")
    return submissions


def give_design_to_its_notebook(found: dict[str, dict[str, bytes | str]], place: Path) -> None:
    """A design that lies in no folder belongs to the only notebook, as on Gradescope. Raises
    SeveralNotebooks if there are more.
    """
    loose = found.pop("", None)
    if loose is None:
        return
    if len(found) > 1:
        raise SeveralNotebooks(
            f"{place} holds {DESIGN} beside several notebooks: "
            f"rename it to STUDENT_{DESIGN}, like STUDENT.ipynb, or remove it."
        )
    for mine in found.values():
        mine.update(loose)


def one_submission(student: str, mine: dict) -> Submission:
    """A submission from the files of one student."""
    if "trouble" not in mine and "notebook" not in mine:
        mine["trouble"] = f"{NO_NOTEBOOK}."
    return Submission(student, mine.get("notebook", b""), mine.get("design"), mine.get("trouble", ""))


def students_of(paths: list[str], assignment: str) -> dict[str, tuple[str | None, str]]:
    """For each file the student and the kind, as `whose` says them, but for files in deeper folders.

    A notebook in a folder belongs to the student of the folder's name. That cannot be meant if several
    folders have this name, as in ada/hw1 and bob/hw1, or if some folders lie deeper than others. Then the
    first folder below the one that they all share is the student's.
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
    """The student whose file this is, and whether it is a notebook or a design; None for other
    files. A design that lies in no folder and names nobody has the student "".
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
    for part in reversed(parts[-2:]):  # a zip that a student handed in counts as a folder of its name
        canvas = CANVAS.fullmatch(part)
        if canvas:
            return f"{canvas['student']} {canvas['id']}", kind
    if len(parts) >= 2:
        return parts[-2], kind
    return (design["student"] or "") if design else name.removesuffix(NOTEBOOK), kind


def is_in_course(path: str, assignment: str) -> bool:
    """Whether a file lies as in a course of nbgrader: STUDENT/ASSIGNMENT/ASSIGNMENT.ipynb."""
    parts = PurePosixPath(path).parts
    return len(parts) >= 3 and parts[-2] == assignment


def course_depths(paths: list[str], assignment: str) -> set[int]:
    """How deep the files of this assignment lie in a course of nbgrader; nothing for other layouts."""
    return {path.count("/") for path in paths if is_in_course(path, assignment) and not MOODLE.search(path)}


def of_other_assignments(paths: list[str], assignment: str) -> set[str]:
    """The files of other assignments in a course of nbgrader: those in STUDENT/OTHER, if the student has a
    folder of this assignment too, or if the notebook is called OTHER.ipynb.
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
    """Whether a file may be part of a submission: not one that a program has added by itself."""
    parts = PurePosixPath(path).parts
    return not any(part in ADDED or part.startswith("._") for part in parts)


def folder_files(folder: Path) -> Iterator[tuple[str, bytes, str]]:
    """Each notebook or design below a folder, also in students' zips: its path in it, its bytes, or
    why they were not read.
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
    """A path in characters that every file can hold, where a name in it is not in UTF-8: such names come
    from older systems, which wrote Latin-1.
    """

    def decoded(name: str) -> str:
        written = os.fsencode(name)
        try:
            return written.decode()
        except UnicodeDecodeError:
            return written.decode("latin-1")

    return "/".join(decoded(name) for name in path.split("/"))


def zip_in_folder(path: Path, home: str) -> Iterator[tuple[str, bytes, str]]:
    """The files inside a student's zip, with paths as if they were in the folder `home`."""
    content, trouble = read_file(path)
    if trouble:
        yield f"{home}/unread{NOTEBOOK}", b"", trouble
    else:
        yield from inner_entries(content, home, readable(path.name))


def stands_for(zip_path: str, names: list[str]) -> str:
    """The folder whose files those of a student's zip are: the one that it lies in, if `names` has neither
    another zip nor a folder in it, or else a folder of the zip's own name. Names of folders end with a slash.
    """
    home, own = str(PurePosixPath(zip_path).parent), zip_path.removesuffix(ZIP)
    if home == ".":
        return own
    for name in names:
        inside = name.removeprefix(f"{home}/")
        if inside in (name, "") or name == zip_path:
            continue  # it lies elsewhere
        if "/" in inside or inside.endswith(ZIP):
            return own
    return home


def read_file(path: Path) -> tuple[bytes, str]:
    """The bytes of an ordinary file, or why they were not read."""
    name = readable(path.name)
    limit = limit_of(name)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b"", f"{name} is no ordinary file, so it was not read."
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            return b"", f"{name} is no ordinary file, so it was not read."
        if about.st_size > limit:
            return b"", f"{name} is larger than {limit // 2**20} MB, so it was not read."
        return file.read(limit), ""


def limit_of(name: str) -> int:
    """How many bytes a file of this name may have. A student's zip may hold a notebook and a design."""
    if name.endswith(NOTEBOOK):
        return MAX_NOTEBOOK
    return MAX_NOTEBOOK + MAX_DESIGN if name.endswith(ZIP) else MAX_DESIGN


def zip_files(path: Path) -> Iterator[tuple[str, bytes, str]]:
    """The same for the entries of a zip, and of the zips in it that Canvas or Moodle put there."""
    if path.stat().st_size > MAX_ZIP:
        raise NoSubmissions(
            f"{path.name} is larger than {MAX_ZIP // 2**30} GB; unpack it and name the folder."
        )
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                top = folder_around(archive, path.stem)
                for name, content, trouble in entries(archive, ""):
                    yield name.removeprefix(top), content, trouble
        except DAMAGED:
            raise NoSubmissions(
                f"{path.name} is not a zip, or it is damaged: "
                "name the folder or the zip that holds the submissions."
            ) from None


def folder_around(archive: zipfile.ZipFile, stem: str) -> str:
    """The folder that became a zip of the same name, when it holds a whole class; "" otherwise.

    Without it `submissions/ada.ipynb` and `submissions/bob.ipynb` would be two notebooks of a student
    called submissions. A single notebook in such a folder belongs to the student of the folder's name.
    """
    names = [name for name in archive.namelist() if is_handed_in(name)]
    top = f"{stem}/"
    inside = [name.removeprefix(top) for name in names]
    direct = [name for name in inside if "/" not in name and name.endswith(NOTEBOOK)]
    return top if len(direct) > 1 and all(name.startswith(top) for name in names) else ""


def entries(archive: zipfile.ZipFile, above: str) -> Iterator[tuple[str, bytes, str]]:
    """The files of a zip: path, bytes, and a sentence for one that is not read."""
    for entry in archive.infolist():
        name = entry.filename.replace("\\", "/")
        inner = name.endswith(ZIP) and not above
        if not (name.endswith((NOTEBOOK, ".safetensors")) or inner):  # a folder's name ends with a slash
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
        limit = limit_of(name)
        if entry.file_size > limit:
            yield above + name, b"", f"{parts[-1]} is larger than {limit // 2**20} MB, so it was not read."
            continue
        try:
            with archive.open(entry) as file:
                content = file.read(limit + 1)
        except DAMAGED:
            yield above + name, b"", f"{parts[-1]} in the zip is damaged or encrypted."
            continue
        if len(content) > limit:
            yield above + name, b"", f"{parts[-1]} is larger than {limit // 2**20} MB, so it was not read."
        elif inner:
            yield from inner_entries(content, stands_for(name, archive.namelist()), parts[-1])
        else:
            yield above + name, content, ""


def inner_entries(content: bytes, home: str, name: str) -> Iterator[tuple[str, bytes, str]]:
    """The files of a zip of this name that a student handed in, as if they lay in the folder `home`."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for inside, found, trouble in entries(archive, f"{home}/"):
                if is_handed_in(inside):
                    yield f"{home}/{PurePosixPath(inside).name}", found, trouble
    except DAMAGED:
        yield f"{home}/damaged{NOTEBOOK}", b"", f"{name} is damaged."


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
    ids = [grade_id_of(cell) for cell in document["cells"]]
    twice = {one[:60] for one in ids if one and ids.count(one) > 1}
    return [f"The cell {one!r} stands in the notebook more than once." for one in sorted(twice)]


def grade_id_of(cell: dict) -> str:
    """The name that nbgrader, or `release`, gave a cell; "" for other cells, and whatever a student made of
    it.
    """
    try:
        name = cell["metadata"]["nbgrader"]["grade_id"]
    except (KeyError, TypeError):
        return ""
    return name if isinstance(name, str) else ""


def source_of(cell: dict) -> str:
    """The text of a cell, which is stored as one string or as a list of lines."""
    source = cell.get("source", "")
    if isinstance(source, list):
        return "".join(map(str, source))
    return source if isinstance(source, str) else ""


def holds_half(notebook: bytes, functions: Mapping[str, str]) -> bool:
    """Whether a notebook that `read_cells` can read holds at least half of an assignment's questions: their
    cells, or definitions of their functions. Half, because assignments have some names in common.
    `functions`: by question; "" where a question asks for none.
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
    """Whether code looks as if it defined a function of this name."""
    return re.search(rf"\bdef\s+{function}\b|\b{function}\s*=(?!=)", code) is not None


def words_of(notebook: bytes, question: str) -> str:
    """The answer in words to a question: the text of the cells that carry its name; "" if there are none."""
    cells = json.loads(notebook)["cells"]
    texts = [source_of(cell) for cell in cells if grade_id_of(cell) == question]
    text = "\n\n".join(texts)[:MAX_WORDS].replace("\r\n", "\n").replace("\r", "\n")
    return text.encode("utf-8", "replace").decode()  # JSON can spell characters that no file can hold


def is_answered(answer: str) -> bool:
    """Whether an answer in words is more than what `release` wrote into its cell."""
    return answer.strip() not in ("", ANSWER_HERE)
