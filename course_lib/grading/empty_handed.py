"""Find students who handed in something other than a notebook, such as a PDF or an empty folder."""

import os
import zipfile
from pathlib import Path, PurePosixPath

from course_lib.grading.submissions import (
    CANVAS,
    MOODLE_FOLDER,
    NO_NOTEBOOK,
    NOTEBOOK,
    ZIP,
    Submission,
    folder_around,
    is_handed_in,
    stands_for,
    students_of,
    whose,
)


def without_notebook(
    place: Path, assignment: str, found: list[Submission]
) -> tuple[list[Submission], list[str]]:
    """Return submissions for students who handed in no notebook,
    and the files that cannot be matched to a student.

    Each student who handed in only other files or an empty folder gets a submission in which
    `trouble` says so. found: the submissions from `find_submissions`.
    """
    names = [name for name in names_in(place) if is_handed_in(name)]
    students = {submission.student for submission in found}
    homes, above = folders_of_students(names, assignment, students)
    others: dict[str, list[str]] = {}
    loose = []
    for name in names:
        student = whose_other(name, assignment, homes, above)
        if student is not None and student not in students:
            theirs = others.setdefault(student, [])
            if not name.endswith("/"):
                theirs.append(PurePosixPath(name).name)
        elif student is None and "/" not in name and whose(name, assignment)[0] is None:
            loose.append(name)
    empty_handed = []
    for student, files in sorted(others.items()):
        only = f", only {files[0][:60]}" if files else ""
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        empty_handed.append(Submission(student, trouble=f"{NO_NOTEBOOK}{only}{more}."))
    return empty_handed, loose


def names_in(place: Path) -> list[str]:
    """Return the paths of all files and folders in a folder or zip file.

    Folder paths end with a slash.
    """
    if place.is_file():
        with zipfile.ZipFile(place) as archive:
            top = folder_around(archive, place.stem)
            names = [name.replace("\\", "/").removeprefix(top) for name in archive.namelist()]
        return [
            name
            for name in names
            if name and not name.startswith("/") and ".." not in name.split("/")
        ]
    names = []
    for where, folders, files in os.walk(place, followlinks=False):
        inside = Path(where).relative_to(place)
        names += [f"{(inside / folder).as_posix()}/" for folder in sorted(folders)]
        names += [(inside / file).as_posix() for file in sorted(files)]
    return names


def folders_of_students(
    names: list[str], assignment: str, students: set[str]
) -> tuple[set[PurePosixPath], set[PurePosixPath]]:
    """Return the folders of students whose notebook or design was found,
    and all parents of these folders.
    """
    homes: set[PurePosixPath] = set()
    above: set[PurePosixPath] = set()
    by_file = students_of(names, assignment)
    for name in names:
        path = PurePosixPath(name)
        if name.endswith(ZIP):
            home = PurePosixPath(stands_for(name, names))
            if home in path.parents and is_of(home, assignment, students):
                homes.add(home)
            if is_of(home, assignment, students):
                above.update(home.parents)
        elif by_file[name][0] in students:
            named_so = (folder for folder in path.parents if folder.name == by_file[name][0])
            home = next(named_so, path.parent)
            homes.add(home)
            above.update(home.parents)
    return homes, above


def is_of(folder: PurePosixPath, assignment: str, students: set[str]) -> bool:
    """Return whether a notebook in this folder would belong to one of the students."""
    return whose(f"{folder}/any{NOTEBOOK}", assignment)[0] in students


def whose_other(
    name: str, assignment: str, homes: set[PurePosixPath], above: set[PurePosixPath]
) -> str | None:
    """Return the student who submitted a given folder,
    or a given file that is neither a notebook nor a design.

    Return None if the student cannot be identified, or if the path is in the folder of a student
    whose notebook was found.
    """
    path = PurePosixPath(name)
    folder = PurePosixPath()
    for part in path.parts if name.endswith("/") else path.parts[:-1]:
        folder /= part
        if folder in homes:
            return None
        # the first folder on the path that contains no notebook at any depth
        if folder not in above:
            parent = folder.parent.name
            return named_in(part) or (parent if part == assignment and parent else part)
    return named_in(path.name) or (path.stem if name.endswith(ZIP) else None)


def named_in(part: str) -> str | None:
    """Return the student named in a folder or file name from Canvas or Moodle,
    or None for other names.
    """
    found = MOODLE_FOLDER.fullmatch(part) or CANVAS.fullmatch(part)
    return f"{found['student']} {found['id']}" if found else None
