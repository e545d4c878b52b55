"""What is given out: copies for students, with the variants that the secret chose, and copies for
the instructor.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import numpy as np
from nbformat import NotebookNode

from course_lib.files import write_whole
from course_lib.grading.assignment import (
    AnyQuestion,
    Assignment,
    AssignmentError,
    Secret,
    asked_in,
    draw,
)
from course_lib.grading.judge import reference_of
from course_lib.grading.question import Design, Question, Variant, agree, results_of
from course_lib.grading.submissions import ANSWER_HERE

PUBLIC_SEED = 2014  # of the practice examples, which are no secret
Choose = Callable[[Question], Variant]


def first_variants(question: Question) -> Variant:
    """The choice of the copies that anybody may see: the first variant of each question."""
    return question.variants[0]


def student_notebook(assignment: Assignment, choose: Choose = first_variants) -> NotebookNode:
    """The starter, with the chosen variants' texts and stubs, and no outputs."""
    return build(assignment, choose, solved=False)


def instructor_notebook(assignment: Assignment, choose: Choose = first_variants) -> NotebookNode:
    """The same notebook with model answers in place of the stubs."""
    return build(assignment, choose, solved=True)


def build(assignment: Assignment, choose: Choose, solved: bool) -> NotebookNode:
    """A copy of the starter with the questions' cells in their places."""
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": KERNEL, "language_info": {"name": "python"}})
    for cell in cells_of(assignment):
        name = asked_in_cell(cell)
        new = (
            question_cells(assignment, assignment.questions[name], choose, solved) if name else [plain(cell)]
        )
        notebook.cells += new
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{assignment.name}-{number}"  # the same in every copy, whatever variants it has
    nbformat.validate(notebook)
    return notebook


KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def cells_of(assignment: Assignment) -> list[NotebookNode]:
    """The starter's cells. Raises AssignmentError if jupytext finds other questions than the grader."""
    cells = jupytext.reads(assignment.starter, fmt="py:percent").cells
    found = [name for name in map(asked_in_cell, cells) if name]
    if found != [name for name, _ in assignment.sources]:
        raise AssignmentError(
            f"jupytext does not find the questions of {assignment.name}.py: "
            "begin each cell with a line `# %%` or `# %% [markdown]`."
        )
    return cells


def asked_in_cell(cell: NotebookNode) -> str | None:
    """The question whose place a cell marks."""
    return asked_in(cell.source) if cell.cell_type == "markdown" else None


def plain(cell: NotebookNode) -> NotebookNode:
    """A cell of the starter, with its tags and without an id."""
    tags = cell.metadata.get("tags", [])
    return new_cell(cell.cell_type, cell.source, *tags)


def new_cell(kind: str, source: str, *tags: str, **nbgrader: Any) -> NotebookNode:
    """A cell with tags, and with nbgrader's metadata if any is given."""
    make = nbformat.v4.new_markdown_cell if kind == "markdown" else nbformat.v4.new_code_cell
    cell = make(source)
    if tags:
        cell.metadata["tags"] = list(tags)
    if nbgrader:
        cell.metadata["nbgrader"] = {"schema_version": 3, "task": False, **nbgrader}
    return cell


def question_cells(
    assignment: Assignment, question: AnyQuestion, choose: Choose, solved: bool
) -> list[NotebookNode]:
    """A question's text, the cell for the answer, and a cell that tries it or hands it in."""
    heading = f"({question.points:g} points)"
    answer = {"grade_id": f"answer-{question.name}", "solution": True, "grade": False, "locked": False}
    test = {
        "grade_id": question.name,
        "solution": False,
        "grade": True,
        "locked": True,
        "points": question.points,
    }
    if isinstance(question, Question):
        variant = choose(question)
        return [
            new_cell("markdown", f"{variant.text}\n\n*{heading}*"),
            new_cell("code", variant.solution if solved else variant.stub, **answer),
            new_cell("code", f'practice.check("{question.name}", {question.function})', "practice", **test),
        ]
    if isinstance(question, Design):
        names = ", ".join(f"{name}={name}" for name in question.arrays)
        return [
            new_cell("markdown", f"{question.text}\n\n*{heading}*"),
            new_cell("code", question.solution if solved else "# your design", "practice", **answer),
            new_cell("code", f"# hand_in({names})", "practice", **test),
        ]
    written = {**test, "solution": True, "locked": False}
    text = question.solution if solved else ANSWER_HERE
    return [new_cell("markdown", f"{question.text}\n\n*{heading}*"), new_cell("markdown", text, **written)]


def practice_examples(assignment: Assignment, choose: Choose = first_variants) -> dict[str, Any]:
    """For each question one public example: inputs, right numbers, and what each known mistake
    gives.
    """
    found = {}
    for name, question in assignment.questions.items():
        if not isinstance(question, Question):
            continue
        variant = choose(question)
        arguments = draw(variant, "small", PUBLIC_SEED)
        right = reference_of(variant, arguments)
        gives = {m.sentence: results_of(m.function, arguments, variant.returns) for m in variant.mistakes}
        found[name] = {
            "arguments": {key: as_json(value) for key, value in arguments.items()},
            "given_as": question.given_as,
            "returns": list(variant.returns),
            "right": {key: as_json(value) for key, value in right.items()},
            "mistakes": {
                sentence: {key: as_json(value) for key, value in values.items()}
                for sentence, values in gives.items()
                if values is not None and not agree(values, right, variant.tolerance)
            },
        }
    return found


def as_json(value: Any) -> Any:
    """An argument or a result as a practice file stores it."""
    if isinstance(value, np.ndarray):
        return {"array": value.ravel().tolist(), "shape": list(value.shape), "dtype": str(value.dtype)}
    if isinstance(value, list | tuple):
        return [as_json(part) for part in value]
    return value


def as_bytes(notebook: NotebookNode) -> bytes:
    """A notebook as its file holds it."""
    return (nbformat.writes(notebook) + "\n").encode()


def student_copy(assignment: Assignment, choose: Choose = first_variants) -> dict[str, bytes]:
    """What a student gets, by file name: the notebook and its practice examples."""
    examples = json.dumps(practice_examples(assignment, choose), ensure_ascii=False) + "\n"
    return {
        f"{assignment.name}.ipynb": as_bytes(student_notebook(assignment, choose)),
        f"{assignment.name}.practice.json": examples.encode(),
    }


def write_student_copy(assignment: Assignment, folder: Path, choose: Choose = first_variants) -> None:
    """Write the notebook and its practice examples into a folder."""
    write_all(student_copy(assignment, choose), folder)


def copies(assignment: Assignment, secret: Secret, students: list[str]) -> dict[str, bytes]:
    """Copies for students and for the instructor, and the keys, by their paths in the release.

    With variants per student, each name in `students` gets a folder of its own.
    """
    name = assignment.name
    files = {}
    whom = students if secret.per_student else [""]
    for student in whom:

        def choose(question: Question, student: str = student) -> Variant:
            return secret.variant(name, question, student)

        for file, content in student_copy(assignment, choose).items():
            files[f"students/{student}/{name}/{file}"] = content
        solved = as_bytes(instructor_notebook(assignment, choose))
        files[f"instructor/{student}/{name}/{name}.ipynb"] = solved
    for question, source in assignment.sources:
        files[f"keys/{name}/{question}.py"] = source.encode()
    return files


def write_all(files: Mapping[str, bytes], folder: Path) -> None:
    """Write files, given by their paths in a folder."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_whole(folder / path, content)
