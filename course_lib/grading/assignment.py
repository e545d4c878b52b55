"""An assignment: a folder with the text of the starter notebook and one key file per question.

    notebooks/homework/NAME/NAME.py          the starter's text; a Markdown cell that contains only
                                             `question: e_step` marks the place of a question
    notebooks/homework/NAME/keys/e_step.py   QUESTION = Question(...), Design(...) or Written(...)

Keys are never given to students or copied into a sandbox. The workers of a cluster receive the keys
as text, so no shared disk is needed.
"""

import hashlib
import hmac
import re
import traceback
import types
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from course_lib.grading.question import (
    CASES,
    GIVEN_AS,
    Arguments,
    Design,
    Question,
    Variant,
    Written,
    fault_of_arguments,
    fault_of_type,
)

HOMEWORK = Path(__file__).resolve().parents[2] / "notebooks" / "homework"
AnyQuestion = Question | Design | Written
HEADING = re.compile(r"#+ +(.+)")  # a Markdown heading in the first line of a question's text
MARK = "question:"
MARKDOWN = re.compile(r"# ?%%.*\[(markdown|md)\]")  # the first line of a Markdown cell
QUOTED = re.compile(r"""r?(?P<quotes>\"{3}|'{3})(?P<text>.*)(?P=quotes)""", re.DOTALL)
# a line of prose may begin with the same word, but a marker ends after the question's name
MARKER = re.compile(r"question:\s*[\w-]+\s*")
ALMOST = re.compile(r"[#\s]*question:\s*(?P<name>[\w-]+)", re.IGNORECASE)


class AssignmentError(Exception):
    """Raised if an assignment is not valid; the message is one sentence that says what is wrong."""


class ArgumentsError(TypeError):
    """Raised if a key's `inputs` returns invalid arguments.

    The message does not end with a full stop.
    """


@dataclass(frozen=True)
class Assignment:
    """An assignment: its name, the text of its starter, and the source code of each question's key.

    sources: each question's name and the source code of its key, in the order in which the
    questions appear in the starter.
    """

    name: str
    starter: str
    sources: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, name: str, homework: Path = HOMEWORK) -> "Assignment":
        """Read the assignment in homework/NAME.

        Raises AssignmentError if the starter or a key is missing, or if the starter asks no
        questions.
        """
        folder = homework / name
        starter = folder / f"{name}.py"
        if not starter.is_file():
            courses_own = homework == HOMEWORK  # the user gave no path, so no message names one
            if folder.is_dir():
                which = name if courses_own else folder
                raise AssignmentError(
                    f"{which} does not contain {name}.py, the text of the starter notebook."
                )
            where = "" if courses_own else f" in {homework}"
            there = sorted(path.parent.name for path in homework.glob("*/keys"))
            own = " For an assignment of your own, add --homework FOLDER." if courses_own else ""
            raise AssignmentError(
                f"There is no assignment {name!r}{where}; the available assignments are: "
                f"{', '.join(there) or 'none'}.{own}"
            )
        text = starter.read_text(encoding="utf-8")
        names = questions_in(f"{name}.py", text)
        sources = []
        for question in names:
            key = folder / "keys" / f"{question}.py"
            if not key.is_file():
                raise AssignmentError(
                    f"{name}.py asks the question {question!r}, but its key, "
                    f"keys/{question}.py, is missing."
                )
            sources.append((question, key.read_text(encoding="utf-8")))
        if not sources:
            raise AssignmentError(
                f"{name}.py contains no questions: none of its Markdown cells consists only of "
                "the line `question: NAME`."
            )
        return cls(name, text, tuple(sources))

    def __getstate__(self) -> dict:
        """Return the fields to send to a worker, which builds the questions from the keys."""
        return {"name": self.name, "starter": self.starter, "sources": self.sources}

    @cached_property
    def questions(self) -> dict[str, AnyQuestion]:
        """A dict of the questions keyed by name, ordered as they appear in the starter."""
        return {name: load_key(name, source) for name, source in self.sources}

    @property
    def functions(self) -> dict[str, str]:
        """The name of the function that each question asks for, or "" if it asks for none."""
        return {
            name: question.function if isinstance(question, Question) else ""
            for name, question in self.questions.items()
        }

    def heading(self, name: str, variant: str = "") -> str:
        """Return the heading of a question as it appears in a student's notebook.

        variant: the name of the student's variant, or "" if it is not known. If the heading cannot
        be determined, return "Question" followed by the question's position in the assignment. If
        the question's text has no heading, return the question's name.
        """
        question = self.questions.get(name)
        if question is None:
            return name
        if isinstance(question, Question):
            chosen = [one for one in question.variants if one.name == variant]
            texts = [one.text for one in chosen or question.variants]
        else:
            texts = [question.text]
        found = {match[1].strip() for text in texts if (match := HEADING.match(text.lstrip()))}
        if len(found) > 1:
            return f"Question {list(self.questions).index(name) + 1}"
        return found.pop() if found else name

    def version_of(self, question: str) -> str:
        """Return a short hash of the source code of the question's key."""
        return hashlib.sha256(dict(self.sources)[question].encode()).hexdigest()[:12]

    @property
    def points(self) -> float:
        """The total points for all questions."""
        return sum(question.points for question in self.questions.values())


def markdown_cells(starter: str) -> list[str]:
    """Return the texts of a starter's Markdown cells, without using jupytext.

    Importing and running jupytext would take ten times as long as the rest of `report`. `release`
    does use jupytext, and raises an error if jupytext finds different questions.
    """
    cells = []
    for part in re.split(r"^(?=# ?%%)", starter, flags=re.MULTILINE):
        header, _, body = part.partition("\n")
        if not MARKDOWN.match(header):
            continue
        quoted = QUOTED.fullmatch(body.strip())
        lines = body.strip().splitlines()
        text = quoted["text"] if quoted else "\n".join(re.sub("^# ?", "", line) for line in lines)
        cells.append(text.strip())
    return cells


def asked_in(text: str) -> str | None:
    """Return the name of the question that a Markdown cell with this text marks,
    or None if it marks no question.
    """
    text = text.strip()
    alone = text.startswith(MARK) and "\n" not in text
    return text.removeprefix(MARK).strip() if alone else None


def questions_in(file: str, starter: str) -> list[str]:
    """Return the names of the questions in a starter notebook, in order.

    Raises AssignmentError if a question is asked twice, or if a cell looks like a marker but is not
    a valid one.
    """
    names: list[str] = []
    for text in markdown_cells(starter):
        name = asked_in(text)
        if name in names:
            raise AssignmentError(f"{file} asks `{name}` twice.")
        if name is None:
            refuse_what_is_meant(file, text)
        else:
            names.append(name)
    return names


def refuse_what_is_meant(file: str, text: str) -> None:
    """Raise AssignmentError if a Markdown cell marks no question but was probably meant to."""
    almost = ALMOST.fullmatch(text)
    if almost:
        raise AssignmentError(
            f"{file}: `{text}` does not mark a question; write `{MARK} {almost['name']}` instead."
        )
    lines = text.splitlines()
    markers = [line for line in lines if MARKER.fullmatch(line)]
    if text.startswith(MARK):
        markers.insert(0, lines[0])
    if markers:
        raise AssignmentError(
            f"{file}: a cell contains `{markers[0].strip()}` and other text. "
            "Move this line to a cell of its own."
        )


@lru_cache(maxsize=64)
def load_key(name: str, source: str) -> AnyQuestion:
    """Execute the source code of a key, which the instructor wrote, and return its QUESTION.

    Raises AssignmentError if the code fails or does not define a valid question with this name.
    """
    module = types.ModuleType(f"key_{name}")
    file = f"keys/{name}.py"
    try:
        exec(compile(source, file, "exec"), module.__dict__)
    except Exception as error:
        raise AssignmentError(f"{file} fails with {told(error, file)}.") from error
    question = getattr(module, "QUESTION", None)
    if not isinstance(question, Question | Design | Written):
        raise AssignmentError(
            f"keys/{name}.py must define QUESTION as an instance of Question, Design or Written."
        )
    if question.name != name:
        raise AssignmentError(
            f"keys/{name}.py defines a question named {question.name!r}, "
            f"but its name must be {name!r}."
        )
    fault = fault_of_type(question)
    if fault:
        raise AssignmentError(f"{file}: {fault}.")
    if question.points < 0:
        raise AssignmentError(f"{file}: `points` cannot be negative.")
    if isinstance(question, Question) and question.given_as not in GIVEN_AS:
        raise AssignmentError(f"keys/{name}.py: given_as must be one of {', '.join(GIVEN_AS)}.")
    return question


def told(error: Exception, file: str, of: str = "") -> str:
    """Describe an error in an author's code by type, line and message: "NameError in line 3 (…)".

    file: the file to which the line number refers. of: text to insert after the line number, such
    as " of its code".
    """
    if isinstance(error, SyntaxError):
        line, what = error.lineno, error.msg
    else:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == file]
        line, what = lines[-1] if lines else None, str(error)
    where = f" in line {line}{of}" if line else ""
    why = f" ({what.splitlines()[0].strip().removesuffix('.')})" if what else ""
    return f"{type(error).__name__}{where}{why}"


def key_in(text: str) -> bytes:
    """Return the key that a file with a secret contains.

    Raises ValueError if the text does not have at least 32 hexadecimal digits.
    """
    key = bytes.fromhex(text.strip())
    if len(key) < 16:
        raise ValueError("a secret has at least 32 hexadecimal digits")
    return key


@dataclass(frozen=True)
class Secret:
    """The instructor's secret, without which nobody can predict the variants or the inputs.

    per_student: whether variants are chosen for each student rather than for the whole class.
    """

    key: bytes
    per_student: bool = False

    def number(self, *parts: str) -> int:
        """Return a number that depends on `parts` and cannot be guessed without the secret."""
        message = "\0".join(parts).encode()
        return int.from_bytes(hmac.digest(self.key, message, "sha256")[:8], "big")

    @property
    def id(self) -> str:
        """An identifier derived from the key and `per_student` that does not reveal the key."""
        mode = "student" if self.per_student else "class"
        return hashlib.sha256(b"id of " + self.key + mode.encode()).hexdigest()[:8]

    def variant(self, assignment: str, question: Question, student: str) -> Variant:
        """Return the variant of a question for the class or, if `per_student` is True,
        for one student.
        """
        if not question.variants:
            raise ValueError("`variants` is empty")
        whom = [student] if self.per_student else []
        chosen = self.number("variant", assignment, question.name, *whom) % len(question.variants)
        return question.variants[chosen]

    def inputs(
        self, assignment: str, question: Question, variant: Variant, submission: str
    ) -> Mapping[str, Arguments]:
        """Draw the inputs for each case. Different submissions get different inputs."""
        words = ("inputs", assignment, question.name, variant.name, submission)
        return {case: draw(variant, case, self.number(*words, case)) for case in CASES}


def draw(variant: Variant, case: str, seed: int) -> Arguments:
    """Draw a variant's inputs for one case.

    Floating-point arrays are converted to float32, the dtype of the students' tensors. Raises
    ArgumentsError if an argument cannot be sent to a sandbox.
    """

    def narrowed(value):
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            return value.astype(np.float32)
        if isinstance(value, list | tuple):
            return [narrowed(part) for part in value]
        return value.item() if isinstance(value, np.generic) else value

    drawn = variant.inputs(np.random.default_rng(seed), case)
    arguments = {name: narrowed(value) for name, value in drawn.items()}
    fault = fault_of_arguments(arguments)
    if fault:
        raise ArgumentsError(fault)
    return arguments
