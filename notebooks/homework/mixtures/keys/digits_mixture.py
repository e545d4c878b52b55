"""Question 5, a design: a Bernoulli mixture of small digits, judged on unseen digits.

The mixture is handed in as arrays. The digits are the 8×8 digits from UCI that come with
scikit-learn. A pixel is white if its grey level is at least 8 of 16. Students use the first 1,437
digits; the judge computes the score on the last 360. These are public too, so a guard rejects a
mixture that fits them much better than the students' own digits. The thresholds of the score were
set after trying 1 to 200 components and four priors. A single component reaches −24.8; sensible
choices, made on digits held out from the students' own, reach −18.4.
"""

import numpy as np
from scipy.special import logsumexp
from sklearn.datasets import load_digits

from course_lib.grading.question import Design

HELD_OUT = 360
MOST_COMPONENTS = 200
# Nats. A mixture that was not fitted to the judge's digits, which are slightly easier, does at most
# 1.1 better on them.
MOST_BETTER = 2.0


def digits():
    """Return the students' digits (1437, 64) and the judge's digits (360, 64), as 0s and 1s."""
    x = (load_digits().data >= 8).astype(np.float64)
    return x[:-HELD_OUT], x[-HELD_OUT:]


def measure(arrays):
    """The mean log-likelihood of the held-out digits, in nats per digit."""
    return log_likelihood(arrays, digits()[1])


def log_likelihood(arrays, x):
    weights, p = arrays["weights"].astype(np.float64), arrays["p"].astype(np.float64)
    joint = x @ np.log(p).T + (1 - x) @ np.log1p(-p).T + np.log(weights)
    return float(logsumexp(joint, axis=1).mean())


def guard(arrays):
    """Return the reason why these arrays are not a valid mixture, or an empty string."""
    weights, p = arrays["weights"], arrays["p"]
    if len(weights) != len(p):
        return "`weights` (K,) and `p` (K, 64) must have the same number of components."
    if not 1 <= len(weights) <= MOST_COMPONENTS:
        return f"The mixture must have 1 to {MOST_COMPONENTS} components."
    if (weights <= 0).any() or abs(float(weights.sum()) - 1) > 1e-3:
        return "The weights must be positive and add up to 1."
    if (p <= 0).any() or (p >= 1).any():
        return "Each probability in `p` must be strictly between 0 and 1: which prior ensures this?"
    own, judges = (log_likelihood(arrays, x) for x in digits())
    if judges - own > MOST_BETTER:
        return (
            "This mixture fits the judge's digits better than your own digits: "
            "fit it to the first 1,437 digits only."
        )
    return ""


QUESTION = Design(
    "digits_mixture",
    15,
    """## 5. Design a mixture

Fit a Bernoulli mixture to the small digits below, without using any others, and hand it in. The score is the mean
log-likelihood, in nats per digit, of 360 other digits that are kept for the judge. It is up to you to find a good
number of components, a good prior and a good number of restarts. Compare your choices on digits that you hold out
yourself.

```python
from sklearn.datasets import load_digits

x = torch.tensor(load_digits().data[:1437] >= 8).float()  # (1437, 64), of 0s and 1s
```

Hand in the `weights` (K,) and the probabilities `p` (K, 64) that a pixel is white (1), both float32, with at most 200
components. The weights must be positive and add up to 1, and each element of `p` must be strictly between 0 and 1. A
single component reaches −24.8, which earns no points. From there, the points rise linearly to full points at −18.6 and
above.""",
    {"weights": ("float32", (-1,)), "p": ("float32", (-1, 64))},
    measure,
    guard,
    none_at=-24.8,
    full_at=-18.6,
    unit="nats per digit",
    solution="""from sklearn.datasets import load_digits

x = torch.tensor(load_digits().data[:1437] >= 8).double()  # (N, 64)
torch.manual_seed(0)
components, prior = 60, 1.3  # chosen by holding out the last 300 of these digits
p = (x[torch.randperm(len(x))[:components]] + 0.5) / 2
weights = torch.full((components,), 1 / components).double()
for _ in range(60):
    joint = x @ p.log().T + (1 - x) @ (1 - p).log().T + weights.log()
    r = torch.softmax(joint, 1)
    points = r.sum(0)
    weights = (points + 1) / (points + 1).sum()
    p = (r.T @ x + prior - 1) / (points[:, None] + 2 * (prior - 1))
weights, p = weights.float(), p.float()""",
    most=MOST_COMPONENTS,
)
