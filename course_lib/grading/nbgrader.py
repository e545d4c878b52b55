"""Show the judge's points and comments in nbgrader's gradebook, formgrader and feedback.

Put this into nbgrader_config.py in the course folder:

    from course_lib.grading.nbgrader import configure

    configure(get_config(), secret="/home/me/grades/secret")

`nbgrader generate_assignment` then hands out the stubs that `release` wrote.
`nbgrader autograde` runs each notebook in the sandbox instead of in a Jupyter kernel. The
judge's points become the partial credit of each question's test cell, and the judge's comment
appears above the points.
"""

from pathlib import Path
from typing import Any

import nbformat
from nbconvert.preprocessors import ClearMetadataPreprocessor
from nbformat import NotebookNode
from nbgrader.converters import GenerateAssignment
from nbgrader.converters.base import NbGraderException
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    ClearSolutions,
    LimitOutput,
    NbGraderPreprocessor,
    SaveAutoGrades,
)
from traitlets import Bool, Unicode

from course_lib.grading.assignment import HOMEWORK, Assignment, Secret, key_in
from course_lib.grading.engine import grade_submission
from course_lib.grading.progress import failures
from course_lib.grading.question import Question
from course_lib.grading.release import untouched_answers
from course_lib.grading.sandbox import check_wall
from course_lib.grading.submissions import DESIGN, Submission, read_file


class KeepStubs(ClearSolutions):
    """A replacement for nbgrader's ClearSolutions that keeps the stubs written by `release`.

    ClearSolutions would replace each of them with a cell that only raises NotImplementedError and
    does not define the function. Cells with solution markers, and the notebooks of other
    assignments, are treated as in ClearSolutions.
    """

    homework = Unicode(
        str(HOMEWORK),
        help="the folder with the assignments and their keys",
    ).tag(config=True)
    secret = Unicode(
        help="the file with the secret that determined the variants, if they are those of a class",
    ).tag(config=True)

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Clear the solutions in one notebook of the source version, but keep the stubs."""
        name, homework = resources["nbgrader"]["assignment"], Path(self.homework)
        self.kept: dict[str, set[str]] = {}
        self.chosen: dict[str, str] = {}
        if (homework / name / f"{name}.py").is_file():
            assignment = Assignment.read(name, homework)
            self.kept = untouched_answers(assignment)
            if self.secret:
                self.chosen = chosen_stubs(assignment, Secret(read_key(self.secret)))
        return super().preprocess(nb, resources)

    def preprocess_cell(
        self, cell: NotebookNode, resources: dict[str, Any], cell_index: int
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Keep a stub, and clear any other cell as nbgrader does.

        Raises NbGraderException if the answer cell of one of our questions contains anything other
        than a stub, because it might contain the solution, or if it contains the stub of a variant
        that the secret does not select, because the answers would be judged as another variant.
        """
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name not in self.kept or self.begin_solution_delimeter in cell.source:
            return super().preprocess_cell(cell, resources, cell_index)
        if cell.source not in self.kept[name]:
            raise NbGraderException(
                f"The cell {name} must contain the stub that `release` wrote, but it contains "
                "something else, possibly a solution. Copy the notebook from release/students into "
                "the folder source again. To change a stub, change it in "
                f"keys/{name.removeprefix('answer-')}.py and run `release` again."
            )
        if cell.source != self.chosen.get(name, cell.source):
            raise NbGraderException(
                f"The cell {name} was not released with the secret in {self.secret}. In "
                "nbgrader_config.py, set `secret` to the file `secret` in the folder to which "
                "the notebook was released."
            )
        return cell, resources


def chosen_stubs(assignment: Assignment, secret: Secret) -> dict[str, str]:
    """Return the stubs of the variants that the secret selects for a class, keyed by grade ID."""
    return {
        f"answer-{name}": secret.variant(assignment.name, question, "").stub
        for name, question in assignment.questions.items()
        if isinstance(question, Question)
    }


def read_key(path: str) -> bytes:
    """Return the instructor's secret.

    Raises NbGraderException if the file cannot be read or does not contain a valid secret.
    """
    try:
        return key_in(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NbGraderException(
            f"The file {path!r} cannot be read or does not contain a valid secret. In "
            "nbgrader_config.py, set `secret` to the file `secret` that `release` wrote."
        ) from error


class Judge(NbGraderPreprocessor):
    """A replacement for nbgrader's Execute that writes points and comments
    into the notebook's cells.
    """

    secret = Unicode(
        help="the file with the instructor's secret, written by `release`",
    ).tag(config=True)
    homework = Unicode(
        str(HOMEWORK),
        help="the folder with the assignments and their keys",
    ).tag(config=True)
    per_student = Bool(
        False,
        help="whether each student gets their own variants",
    ).tag(config=True)

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Grade one submission. The folder of the notebook may also contain design.safetensors."""
        about = resources["nbgrader"]
        assignment = Assignment.read(about["assignment"], Path(self.homework))
        key = read_key(self.secret)
        check_wall()
        submission = Submission(
            about["student"],
            nbformat.writes(nb).encode(),
            self.design(Path(resources["metadata"]["path"])),
        )
        result = grade_submission(assignment, submission, Secret(key, self.per_student))
        regrade = f"run `nbgrader autograde {assignment.name} --force`"
        for sentence in failures([result], assignment, regrade):
            self.log.error(sentence)
        for cell in nb.cells:
            if cell.cell_type != "code":
                continue
            name = cell.metadata.get("nbgrader", {}).get("grade_id")
            is_test = name in result.verdicts and cell.metadata.nbgrader.grade
            cell.outputs = outputs(result.verdicts[name]) if is_test else []
        self.note(nb, assignment, result.notes)
        return nb, resources

    def design(self, folder: Path) -> bytes | None:
        """Return the bytes of design.safetensors in a folder,
        or None if the file is missing or unreadable.
        """
        path = folder / DESIGN
        if not path.exists():
            return None
        content, trouble = read_file(path)
        return None if trouble else content

    def note(self, nb: NotebookNode, assignment: Assignment, notes: list[str]) -> None:
        """Insert notes about the run above the other outputs of the points cell
        for the first question that asks for a function.
        """
        first = next(
            name
            for name, question in assignment.questions.items()
            if isinstance(question, Question)
        )
        for cell in nb.cells:
            if notes and cell.metadata.get("nbgrader", {}).get("grade_id") == first:
                cell.outputs.insert(
                    0, nbformat.v4.new_output("stream", name="stdout", text="\n".join(notes) + "\n")
                )


def outputs(verdict: dict[str, Any]) -> list[NotebookNode]:
    """Return two cell outputs: the sentence that nbgrader shows,
    and the points as partial credit.
    """
    sentence = nbformat.v4.new_output("stream", name="stdout", text=verdict["sentence"] + "\n")
    points = nbformat.v4.new_output(
        "execute_result", {"text/plain": repr(float(verdict["points"] or 0))}, execution_count=1
    )
    return [sentence, points]


def configure(
    config: Any, secret: str | Path, per_student: bool = False, homework: str | Path = HOMEWORK
) -> None:
    """Make nbgrader keep the stubs and use the judge to execute notebooks.

    The rest of nbgrader is unchanged.
    """
    config.GenerateAssignment.preprocessors = [
        KeepStubs if step is ClearSolutions else step
        for step in GenerateAssignment.preprocessors.default()
    ]
    config.KeepStubs.homework = str(homework)
    config.KeepStubs.secret = "" if per_student else str(secret)
    config.Autograde.autograde_preprocessors = [
        Judge,
        ClearMetadataPreprocessor,
        LimitOutput,
        SaveAutoGrades,
        AssignLatePenalties,
        CheckCellMetadata,
    ]
    config.ClearMetadataPreprocessor.preserve_cell_metadata_mask = [("nbgrader",), ("tags",)]
    config.Judge.secret = str(secret)
    config.Judge.homework = str(homework)
    config.Judge.per_student = per_student
