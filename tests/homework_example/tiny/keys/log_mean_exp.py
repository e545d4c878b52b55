"""A key for the tests: the logarithm of a mean of exponentials, for each row."""

import numpy as np
from scipy.special import logsumexp

from course_lib.grading.question import Mistake, Question, Tolerance, Variant


def inputs(rng, case):
    n, d = {"small": (3, 4), "large": (7, 11), "extreme": (5, 6)}[case]
    scale = 2000.0 if case == "extreme" else 2.0
    return {"x": rng.normal(size=(n, d)) * scale}


def reference(x):
    return logsumexp(x, axis=1) - np.log(x.shape[1])


def independent(x):
    top = x.max(axis=1, keepdims=True)
    return top[:, 0] + np.log(np.mean(np.exp(x - top), axis=1))


QUESTION = Question(
    "log_mean_exp",
    "log_mean_exp",
    60,
    (
        Variant(
            "rows",
            "Write `log_mean_exp(x)`: for each row of x (N, d) the logarithm of the mean of "
            "exp(x), (N,).",
            "def log_mean_exp(x):\n    raise NotImplementedError",
            "def log_mean_exp(x):\n"
            "    top = x.max(1)\n"
            "    return top + np.log(np.exp(x - top[:, None]).mean(1))",
            inputs,
            reference,
            (
                Mistake(
                    "this is the sum, not the mean: subtract log d.",
                    lambda x: logsumexp(x, axis=1),
                    0.5,
                ),
                Mistake(
                    "exp overflows: subtract each row's maximum first.",
                    lambda x: np.log(np.exp(x).mean(1)),
                    0.6,
                ),
                Mistake(
                    "this is the mean of x: Jensen's inequality stands between the two.",
                    lambda x: x.mean(1),
                ),
                Mistake(
                    "the wrong axis: one number a row is wanted.",
                    lambda x: logsumexp(x, axis=0) - np.log(len(x)),
                ),
                Mistake("the sign is turned.", lambda x: -reference(x)),
            ),
            Tolerance(1e-4, 1e-5, "float32 sums of a dozen terms"),
            independent=independent,
        ),
    ),
    given_as="arrays",
)
