"""Question 6, in words: a person reads and marks it."""

from course_lib.grading.question import Written

QUESTION = Written(
    "explain",
    10,
    """## 6. In words

A classmate fits a Gaussian mixture with full covariances and no regularization. After 40 steps of EM the log-likelihood
jumps to infinity. In five sentences at most: what has happened, why is it not a fault of the program, and what do the
prior of question 2 and scikit-learn's `reg_covar` each do about it?""",
    """A component has settled on a single point, or on points that lie in a plane, and its variance across goes to 0. The
density at the point then grows without bound, so the likelihood has no maximum: the program follows the mathematics. A
prior on the variance makes the posterior's density fall to 0 there, so that its maximum exists, and in question 2 the
prior does the same for empty components. `reg_covar` adds a small number to each variance at every M-step, which
bounds the density. It maximizes nothing exactly, but it keeps EM from the edge.""",
)
