"""Exercise checks that name the mistake: `checks.responsibilities(my_responsibilities)` shows one line.

It says "Not started", "Correct", or which typical mistake was made and where to look. A check compares known
answers and properties on small inputs, stores no hash of a solution, and never shows a traceback. Reference
solutions, and the wrong answers that each check must name, are in tests/test_checks_*.py.
A new check in five lines (`report.Table`: small input, known answer, what each typical mistake gives):

    @exercise
    def square(student: Student) -> None:
        '''x (N,) to its square (N,).'''  # the praise: "Correct: x (N,) to its square (N,)."
        x = torch.tensor([1.5, -3.0])
        Table({"x": x}, x**2, {"the numbers are doubled, not squared.": 2 * x}).ask(student)
"""

from course_lib.checks.ch00 import binarize, nats_per_image, to_points
from course_lib.checks.ch01 import m_step, responsibilities, sample_mixture
from course_lib.checks.ch02 import importance_weighted_bound, kl_to_standard_normal, lower_bound

__all__ = ["binarize", "importance_weighted_bound", "kl_to_standard_normal", "lower_bound", "m_step"]
__all__ += ["nats_per_image", "responsibilities", "sample_mixture", "to_points"]
