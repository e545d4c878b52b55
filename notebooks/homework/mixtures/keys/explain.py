"""Question 6, answered in words and marked by a person."""

from course_lib.grading.question import Written

QUESTION = Written(
    "explain",
    10,
    """## 6. In words

A classmate fits a Gaussian mixture with full covariances and no regularization. After 40 steps of EM, the
log-likelihood shoots up to infinity. In at most five sentences: What has happened? Why is it not a bug in the program?
What would a prior on the covariances, in the spirit of question 2, do about it, and what does scikit-learn's
`reg_covar` do?""",
    """A component has collapsed onto a single point, or onto points in a hyperplane, and its variance goes to 0 in at
least one direction. The density at these points then grows without bound. This is not a bug, because the likelihood has
no maximum: each step of EM correctly increases it. A prior on the covariances makes the posterior density go to 0 at
singular covariances, so that the posterior has a maximum, just as the prior of question 2 keeps the parameters of an
empty component well defined. `reg_covar` adds a small number to each variance at every M-step, which bounds the
density. Such a step no longer maximizes the log-likelihood exactly, but it keeps EM away from the singularity.""",
)
