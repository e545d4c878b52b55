"""Question 5, a design: the best Bernoulli mixture of small digits, handed in as arrays, judged on digits not seen.

The digits are UCI's 8×8 ones, which come with scikit-learn. A pixel is white if its grey level is at least 8 of 16.
Students get the first 1,437; the judge measures on the last 360. These are public too, so a guard refuses a mixture
that knows them better than it knows the students' own digits. The two marks were set after trying 1 to 200 components
and four priors: a single component reaches −24.8, and sensible choices, made on digits held out by oneself, −18.4.
"""

import numpy as np
from scipy.special import logsumexp
from sklearn.datasets import load_digits

from course_lib.grading.question import Design

HELD_OUT = 360
MOST_COMPONENTS = 200


# nats: an honest mixture of any size is at most 1.1 better on the judge's digits, which are a little easier
MOST_BETTER = 2.0


def digits():
    """The students' digits and the judge's, (1437, 64) and (360, 64) of 0 and 1."""
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
    """Why these arrays are no mixture, or an empty string."""
    weights, p = arrays["weights"], arrays["p"]
    if len(weights) != len(p):
        return "`weights` (K,) and `p` (K, 64) must have the same number of components."
    if not 1 <= len(weights) <= MOST_COMPONENTS:
        return f"A mixture of 1 to {MOST_COMPONENTS} components is wanted."
    if (weights <= 0).any() or abs(float(weights.sum()) - 1) > 1e-3:
        return "The weights must be above 0 and add up to 1."
    if (p <= 0).any() or (p >= 1).any():
        return "Each probability in `p` must lie strictly between 0 and 1: what helps against 0 and 1?"
    own, judges = (log_likelihood(arrays, x) for x in digits())
    if judges - own > MOST_BETTER:
        return (
            "This mixture knows the judge's digits better than yours: fit it to the first 1,437 digits only."
        )
    return ""


QUESTION = Design(
    "digits_mixture",
    15,
    """## 5. Design a mixture

Fit a Bernoulli mixture to small digits and hand it in. The score is the mean log-likelihood, in nats per digit, of 360
digits that you do not have. How many components, which prior, how many starts: that is for you to find out, on digits
that you hold out yourself.

```python
from sklearn.datasets import load_digits

x = torch.tensor(load_digits().data[:1437] >= 8).float()  # (1437, 64), of 0 and 1
```

Hand in `weights` (K,) and `p` (K, 64), both float32, with at most 200 components. A single component reaches
−24.8 and gives no points; all points are given from −18.6 on.""",
    {"weights": ("float32", (-1,)), "p": ("float32", (-1, 64))},
    measure,
    guard,
    none_at=-24.8,
    full_at=-18.6,
    unit="nats per digit",
    solution="""from sklearn.datasets import load_digits

x = torch.tensor(load_digits().data[:1437] >= 8).double()  # (N, 64)
torch.manual_seed(0)
components, prior = 60, 1.3  # chosen on the last 300 of these digits
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
