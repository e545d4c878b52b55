"""A key for the tests: weights in, weights out."""

from course_lib.grading.question import Mistake, Question, Tolerance, Variant


def inputs(rng, case):
    n = {"small": 2, "large": 9, "extreme": 4}[case]
    scale = 1e6 if case == "extreme" else 1.0
    return {
        "weights": rng.normal(size=n),
        "gradient": rng.normal(size=n) * scale,
        "rate": float(rng.uniform(0.1, 1)),
    }


def reference(weights, gradient, rate):
    return weights - rate * gradient


QUESTION = Question(
    "sgd_step",
    "sgd_step",
    40,
    (
        Variant(
            "plain",
            "Write `sgd_step(weights, gradient, rate)`: the weights (n,) after one step down the "
            "gradient.",
            "def sgd_step(weights, gradient, rate):\n    raise NotImplementedError",
            "def sgd_step(weights, gradient, rate):\n    return weights - rate * gradient",
            inputs,
            reference,
            (
                Mistake(
                    "the step goes up.",
                    lambda weights, gradient, rate: weights + rate * gradient,
                    0.5,
                ),
                Mistake(
                    "the rate is missing.", lambda weights, gradient, rate: weights - gradient, 0.5
                ),
                Mistake(
                    "this is the step, not the weights after it.",
                    lambda weights, gradient, rate: -rate * gradient,
                    0.3,
                ),
            ),
            Tolerance(1e-4, 1e-5, "one product and one difference in float32"),
        ),
    ),
    given_as="arrays",
)
