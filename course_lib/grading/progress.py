"""What `grade` prints: which questions are regraded and why,
the progress, and the students whose points changed.
"""

import sys
import time

from course_lib.grading.assignment import Assignment, Secret
from course_lib.grading.engine import FAILED, NO_DESIGN, Job, Result, why_everything
from course_lib.grading.question import Written


def some(names: list[str], most: int = 10) -> str:
    """Join names with commas.
    After the first `most` names, give only the number of remaining names.
    """
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def say_what_is_graded_again(assignment: Assignment, jobs: list[Job], secret: Secret) -> None:
    """Print which questions are graded again for submissions that already have a result, and why.

    Also print which questions are no longer part of the assignment.
    """
    again = [(job, job.old) for job in jobs if job.old]
    why = {reason for _, old in again for reason in why_everything(old, secret)}
    failed = {name for _, old in again for name in old.faults if name in assignment.questions}
    changed = {name for job, _ in again for name in job.questions} - failed
    gone = {name for _, old in again for name in old.keys if name not in assignment.questions}
    if why:
        print(f"Regrading all questions because {' and '.join(sorted(why))}.")
    elif changed:
        names = ", ".join(name for name in assignment.questions if name in changed)
        print(f"Regrading only the changed questions: {names}.")
    if failed and not why:
        print(f"Regrading because the key failed last time: {', '.join(sorted(failed))}.")
    if gone:
        are = "this question is" if len(gone) == 1 else "these questions are"
        names = ", ".join(sorted(gone))
        print(f"Points for {names} no longer count because {are} no longer part of the assignment.")


def failures(results: list[Result], assignment: Assignment, then: str) -> list[str]:
    """Return a sentence for each error in a key, naming the question, the students and the error.

    then: what the instructor must do after correcting the key.
    """
    whose: dict[tuple[str, str], list[str]] = {}
    for result in results:
        for name, what in result.faults.items():
            if name in assignment.questions:
                whose.setdefault((name, what), []).append(result.student)
    return [
        f"The question {name} earns 0 points for {some(sorted(students))}, because its key failed "
        f"with {what}. Correct the key, and {then}."
        for (name, what), students in sorted(whose.items())
    ]


class Progress:
    """The progress of grading: the number done, the time left and, at the end,
    whose points have changed.
    """

    def __init__(self, assignment: Assignment, total: int, before: dict[str, Result]) -> None:
        self.assignment, self.total, self.before = assignment, total, before
        self.count = 0
        self.workers = 1  # the number of submissions graded at the same time
        self.start = time.monotonic()
        self.again = 0  # the number of students who already had a result
        self.changed: list[str] = []
        self.aside: list[str] = []
        self.failed: list[Result] = []  # the results for which a key failed

    def done(self, job: Job, result: Result) -> None:
        """Record that one more submission has been graded,
        and print the number done and the time left.
        """
        self.count += 1
        old = self.before.get(result.student)
        if old is not None:
            self.again += 1
            change = change_of_points(old, result)
            if change:
                missing = "; the new submission lacks design.safetensors"
                without = missing if lost_its_design(old, result) else ""
                self.changed.append(f"{result.student}: {change}{without}")
        if result.set_aside:
            self.aside.append(result.student)
        if result.faults:
            self.failed.append(result)
        line = f"{self.count} of {self.total} graded{self.left()}"
        print(
            f"\r{line:60}" if sys.stdout.isatty() else line,
            end="" if sys.stdout.isatty() else "\n",
            flush=True,
        )

    def left(self) -> str:
        """Return an estimate of the time left, as text.

        No estimate is given once only the last submissions are running, because any of them may
        take the maximum time.
        """
        left = self.total - self.count
        if left == 0:
            return ""
        if left <= self.workers:
            last = "one" if left == 1 else str(left)
            return f", the last {last} still running"
        return f", about {spell((time.monotonic() - self.start) / self.count * left)} left"

    def end(self) -> None:
        """Print the students whose points have changed,
        and the submissions and keys that need to be checked manually.
        """
        if self.count and sys.stdout.isatty():
            print()
        if self.changed:
            whom = "1 student" if len(self.changed) == 1 else f"{len(self.changed)} students"
            questions = self.assignment.questions.values()
            written = any(isinstance(question, Written) for question in questions)
            without = " (not counting the marks for written answers)" if written else ""
            print(f"Points changed for {whom}{without}:")
            print("\n".join(f"  {line}" for line in sorted(self.changed)))
        elif self.again:
            print("Nobody's points changed.")
        for student in sorted(self.aside):
            print(f"The submission of {student} was set aside for a person to look at.")
        for sentence in failures(self.failed, self.assignment, "run the same command again"):
            print(sentence)


def change_of_points(old: Result, new: Result) -> str:
    """Describe the changes in a student's points, or return "" if no question's points changed."""
    if old.points != new.points:
        return f"{old.points:g} → {new.points:g}"
    pairs = {
        name: (old.verdicts[name]["points"] or 0, verdict["points"] or 0)
        for name, verdict in new.verdicts.items()
        if name in old.verdicts
    }
    changes = [
        f"{name} {before:g} → {now:g}" for name, (before, now) in pairs.items() if before != now
    ]
    return f"{', '.join(changes)}; the total is still {new.points:g}" if changes else ""


def lost_its_design(old: Result, new: Result) -> bool:
    """Return whether a student handed in a design earlier but none with the new submission."""
    if old.refusal:
        return False  # it is not known what the old submission contained
    return any(
        verdict.get("sentence") == NO_DESIGN
        and old.verdicts.get(name, {}).get("sentence") not in (None, NO_DESIGN, FAILED)
        for name, verdict in new.verdicts.items()
    )


def spell(seconds: float) -> str:
    """Format a duration in seconds as minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
