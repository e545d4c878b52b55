"""Create the files for a release: the students' copies, the instructor's copies and the keys.

The instructor's secret determines which variant of each question is used.
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
    told,
)
from course_lib.grading.judge import reference_of
from course_lib.grading.question import Design, Question, Variant, agree, results_of
from course_lib.grading.submissions import ANSWER_HERE

PUBLIC_SEED = 2014  # for the practice examples, which are not secret
HAND_IN_HERE = "# When your design is ready, remove the # from the next line to hand it in:"
POINTS_HERE = "# If your course uses nbgrader, your points for the design appear below this cell."
Choose = Callable[[Question], Variant]


def first_variants(question: Question) -> Variant:
    """Return the first variant of a question, for copies that anybody may see."""
    return question.variants[0]


def student_notebook(assignment: Assignment, choose: Choose = first_variants) -> NotebookNode:
    """Return the starter notebook without outputs, with the texts and stubs
    of the chosen variants.
    """
    return build(assignment, choose, solved=False)


def instructor_notebook(assignment: Assignment, choose: Choose = first_variants) -> NotebookNode:
    """Return the student's notebook with model answers in place of the stubs."""
    return build(assignment, choose, solved=True)


def build(assignment: Assignment, choose: Choose, solved: bool) -> NotebookNode:
    """Return a copy of the starter with the cells of each question in place of its marker."""
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": KERNEL, "language_info": {"name": "python"}}
    )
    for cell in cells_of(assignment):
        name = asked_in_cell(cell)
        if name:
            question = assignment.questions[name]
            notebook.cells += question_cells(assignment, question, choose, solved)
        else:
            notebook.cells.append(plain(cell))
    for number, cell in enumerate(notebook.cells):
        # the same number in every copy, whichever variants it contains
        cell["id"] = f"{assignment.name}-{number}"
    nbformat.validate(notebook)
    return notebook


KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def cells_of(assignment: Assignment) -> list[NotebookNode]:
    """Return the starter's cells.

    Raises AssignmentError if jupytext does not find the same questions as `questions_in`.
    """
    cells = jupytext.reads(assignment.starter, fmt="py:percent").cells
    found = [name for name in map(asked_in_cell, cells) if name]
    if found != [name for name, _ in assignment.sources]:
        raise AssignmentError(
            f"jupytext cannot find the questions in {assignment.name}.py. "
            "Begin each cell with a `# %%` or `# %% [markdown]` line."
        )
    return cells


def asked_in_cell(cell: NotebookNode) -> str | None:
    """Return the name of the question that a cell marks, or None if it marks no question."""
    return asked_in(cell.source) if cell.cell_type == "markdown" else None


def plain(cell: NotebookNode) -> NotebookNode:
    """Return a copy of a starter cell, with its tags but without its ID."""
    tags = cell.metadata.get("tags", [])
    return new_cell(cell.cell_type, cell.source, *tags)


def new_cell(kind: str, source: str, *tags: str, **nbgrader: Any) -> NotebookNode:
    """Return a new cell with these tags and this metadata for nbgrader."""
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
    """Return a question's cells: its text, the answer, and a cell for the points.

    In nbgrader, students cannot edit the third cell, which receives the points. If the question
    asks for a function, this cell also tries the function on the public example. A question that is
    answered in words has no third cell.
    """
    heading = f"({question.points:g} points)"
    answer = {
        "grade_id": f"answer-{question.name}",
        "solution": True,
        "grade": False,
        "locked": False,
    }
    test = {
        "grade_id": question.name,
        "solution": False,
        "grade": True,
        "locked": True,
        "points": question.points,
    }
    if isinstance(question, Question):
        variant = choose(question)
        check = f'practice.check("{question.name}", {question.function})'
        return [
            new_cell("markdown", f"{variant.text}\n\n*{heading}*"),
            new_cell("code", variant.solution if solved else variant.stub, **answer),
            new_cell("code", check, "practice", **test),
        ]
    if isinstance(question, Design):
        return [
            new_cell("markdown", f"{question.text}\n\n*{heading}*"),
            new_cell("code", design_cell(question, solved), "practice", **answer),
            new_cell("code", POINTS_HERE, "practice", **test),
        ]
    written = {**test, "solution": True, "locked": False}
    text = question.solution if solved else ANSWER_HERE
    return [
        new_cell("markdown", f"{question.text}\n\n*{heading}*"),
        new_cell("markdown", text, **written),
    ]


def design_cell(design: Design, solved: bool) -> str:
    """Return the code of the cell in which students answer a design question.

    The cell ends with a commented-out call that hands in the arrays, so that the notebook can be
    run before there is a design.
    """
    names = ", ".join(f"{name}={name}" for name in design.arrays)
    code = design.solution if solved else "# your design"
    return f"{code}\n\n{HAND_IN_HERE}\n# hand_in({names})"


def untouched_answers(assignment: Assignment) -> dict[str, set[str]]:
    """Return what the answer cells of a student's copy may contain, as a dict keyed by grade ID.

    For a question that asks for a function, these are the stubs of all variants.
    """
    found = {}
    for name, question in assignment.questions.items():
        if isinstance(question, Question):
            found[f"answer-{name}"] = {variant.stub for variant in question.variants}
        elif isinstance(question, Design):
            found[f"answer-{name}"] = {design_cell(question, solved=False)}
        else:
            found[name] = {ANSWER_HERE}
    return found


def practice_examples(assignment: Assignment, choose: Choose = first_variants) -> dict[str, Any]:
    """Return a public example for each question that asks for a function.

    Raises AssignmentError if a key fails with an error.
    """
    found = {}
    for name, question in assignment.questions.items():
        if not isinstance(question, Question):
            continue
        file = f"keys/{name}.py"
        try:
            found[name] = practice_example(question, choose(question))
        except Exception as error:
            raise AssignmentError(f"{file} fails with {told(error, file)}.") from error
    return found


def practice_example(question: Question, variant: Variant) -> dict[str, Any]:
    """Return a public example: inputs, the right results, and the results of known mistakes."""
    arguments = draw(variant, "small", PUBLIC_SEED)
    right = reference_of(variant, arguments)
    gives = {
        mistake.sentence: results_of(mistake.function, arguments, variant.returns)
        for mistake in variant.mistakes
    }
    return {
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


def as_json(value: Any) -> Any:
    """Convert an argument or a result to the form in which a practice file stores it."""
    if isinstance(value, np.ndarray):
        return {
            "array": value.ravel().tolist(),
            "shape": list(value.shape),
            "dtype": str(value.dtype),
        }
    if isinstance(value, list | tuple):
        return [as_json(part) for part in value]
    return value


def as_bytes(notebook: NotebookNode) -> bytes:
    """Return a notebook as the bytes of an .ipynb file."""
    return (nbformat.writes(notebook) + "\n").encode()


def student_copy(assignment: Assignment, choose: Choose = first_variants) -> dict[str, bytes]:
    """Return the files that a student receives, as a dict keyed by name:
    the notebook and its practice examples.
    """
    examples = json.dumps(practice_examples(assignment, choose), ensure_ascii=False) + "\n"
    return {
        f"{assignment.name}.ipynb": as_bytes(student_notebook(assignment, choose)),
        f"{assignment.name}.practice.json": examples.encode(),
    }


def write_student_copy(
    assignment: Assignment, folder: Path, choose: Choose = first_variants
) -> None:
    """Write a student's notebook and its practice examples to a folder."""
    write_all(student_copy(assignment, choose), folder)


def copies(assignment: Assignment, secret: Secret, students: list[str]) -> dict[str, bytes]:
    """Return the files of a release as a dict keyed by path.

    These are the students' copies, the instructor's copies and the keys. If the secret sets
    `per_student`, each student in `students` gets a separate folder.
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
    """Write files to a folder.

    files: maps the path of each file within the folder to the file's contents.
    """
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_whole(folder / path, content)
