"""What `grade` tells while it works: what is graded again and why, how far it is, and whose points change."""

import sys
import time

from course_lib.grading.assignment import Assignment, Secret
from course_lib.grading.engine import Job, Result, why_everything


def some(names: list[str], most: int = 10) -> str:
    """Names as a sentence lists them, and how many more there are."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def say_what_is_graded_again(assignment: Assignment, jobs: list[Job], secret: Secret) -> None:
    """Say which questions are asked again of submissions that were graded before, or are asked no more,
    and why.
    """
    again = [(job, job.old) for job in jobs if job.old]
    why = {reason for _, old in again for reason in why_everything(old, secret)}
    failed = {name for _, old in again for name in old.faults if name in assignment.questions}
    changed = {name for job, _ in again for name in job.questions} - failed
    gone = {name for _, old in again for name in old.keys if name not in assignment.questions}
    if why:
        print(f"All questions are graded again: {' and '.join(sorted(why))}.")
    elif changed:
        names = ", ".join(name for name in assignment.questions if name in changed)
        print(f"Changed since the last time: {names}. Nothing else is graded again.")
    if failed and not why:
        print(f"Tried again, because the question's key failed last time: {', '.join(sorted(failed))}.")
    if gone:
        are = "is" if len(gone) == 1 else "are"
        print(f"{', '.join(sorted(gone))} {are} no longer asked: points given there no longer count.")


class Progress:
    """One line that says how far grading is and how long it will take, and who changed at the end."""

    def __init__(self, total: int, before: dict[str, float]) -> None:
        self.total, self.before = total, before
        self.count = 0
        self.workers = 1  # how many grade at the same time
        self.start = time.monotonic()
        self.again = 0  # how many had points before
        self.changed: list[str] = []
        self.aside: list[str] = []
        # by question and by how its key failed, the students
        self.faults: dict[tuple[str, str], list[str]] = {}

    def done(self, job: Job, result: Result) -> None:
        """Count one graded submission, and print how far grading is."""
        self.count += 1
        old = self.before.get(result.student)
        self.again += old is not None
        if old is not None and old != result.points:
            self.changed.append(f"{result.student}: {old:g} → {result.points:g}")
        if result.set_aside:
            self.aside.append(result.student)
        for fault in result.faults.items():
            self.faults.setdefault(fault, []).append(result.student)
        line = f"{self.count} of {self.total} graded{self.left()}"
        print(
            f"\r{line:60}" if sys.stdout.isatty() else line,
            end="" if sys.stdout.isatty() else "\n",
            flush=True,
        )

    def left(self) -> str:
        """How long it will take, as far as that can be known: once the last submissions are running, nobody
        knows whether one of them will use its time up.
        """
        left = self.total - self.count
        if left == 0:
            return ""
        if left <= self.workers:
            return ", the last one is running" if left == 1 else f", the last {left} are running"
        return f", about {spell((time.monotonic() - self.start) / self.count * left)} left"

    def end(self) -> None:
        """Print whose points changed, and who needs to be looked at."""
        if self.count and sys.stdout.isatty():
            print()
        if self.changed:
            whom = "1 student" if len(self.changed) == 1 else f"{len(self.changed)} students"
            print(f"Points changed for {whom}:")
            print("\n".join(f"  {line}" for line in sorted(self.changed)))
        elif self.again:
            print("Nobody's points changed.")
        for student in sorted(self.aside):
            print(f"Set aside for a person to look at: {student}")
        for (question, what), students in sorted(self.faults.items()):
            whose = some(sorted(students))
            print(
                f"The question {question} counts 0 so far for {whose}, because its key stops with {what}. "
                "Correct the key, and run the same command again."
            )


def spell(seconds: float) -> str:
    """Seconds as a person says them."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
