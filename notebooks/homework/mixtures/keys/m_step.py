"""Question 2: the M-step with a prior, that is, maximum a posteriori instead of maximum likelihood.

A Dirichlet prior with concentration a on the weights acts like a − 1 additional points in each
component, and the prior on theta acts like additional data in the same way. Each function returns
weights (K,) and theta (K, d), in this order.
"""

import numpy as np
from scipy.optimize import brentq

from course_lib.grading.question import Mistake, Question, Tolerance, Variant

TOLERANCE = Tolerance(2e-4, 1e-5, "float32 sums of at most a few dozen terms")


def common_inputs(rng, case):
    """Sizes and responsibilities, some of which are sharp and some spread out.

    In the extreme case, one component has almost no points.
    """
    n, d, k = {"small": (5, 3, 2), "large": (12, 4, 3), "extreme": (8, 2, 4)}[case]
    r = rng.dirichlet(np.full(k, 0.7), size=n)
    if case == "extreme":
        r[:, 0] = 1e-30
        r /= r.sum(1, keepdims=True)
    return n, d, k, r


def map_weights(r, a):
    """The mode of the posterior of the weights, (N_k + a − 1) / (N + K(a − 1)).

    Source: Bishop 2006, section 9.3.
    """
    return (r.sum(0) + a - 1) / (len(r) + r.shape[1] * (a - 1))


def independent_weights(r, a):
    """The same weights, (N_k + a − 1) / λ, with the Lagrange multiplier λ found numerically."""
    counts = r.sum(0) + a - 1
    multiplier = brentq(lambda value: (counts / value).sum() - 1, 1e-9, 1e9, xtol=1e-12, rtol=1e-14)
    return counts / multiplier


def weight_mistakes(theta):
    """Mistakes in the weights alone; `theta` computes the right parameters of the components."""
    return (
        Mistake(
            "the prior on the weights is left out: this is maximum likelihood.",
            lambda x, r, a, b: (r.mean(0), theta(x, r, b)),
            0.5,
        ),
        Mistake(
            "the weights do not add up to 1: divide by N + K(a − 1).",
            lambda x, r, a, b: ((r.sum(0) + a - 1) / len(r), theta(x, r, b)),
            0.5,
        ),
        Mistake(
            "you added a instead of a − 1: this gives the posterior mean, "
            "but you need the posterior maximum.",
            lambda x, r, a, b: ((r.sum(0) + a) / (len(r) + r.shape[1] * a), theta(x, r, b)),
            0.6,
        ),
    )


# ---------------------------------------------------------------- Bernoulli with a Beta prior


def bernoulli_inputs(rng, case):
    n, d, _, r = common_inputs(rng, case)
    x = rng.integers(0, 2, size=(n, d)).astype(np.float64)
    return {"x": x, "r": r, "a": float(rng.uniform(1.5, 3)), "b": float(rng.uniform(1.5, 3))}


def bernoulli_theta(x, r, b):
    return (r.T @ x + b - 1) / (r.sum(0)[:, None] + 2 * (b - 1))


def bernoulli_reference(x, r, a, b):
    return map_weights(r, a), bernoulli_theta(x, r, b)


def bernoulli_independent(x, r, a, b):
    """The answer from additional data.

    For each component and pixel, b − 1 white and b − 1 black observations are added.
    """
    white = np.einsum("nk,nd->kd", r, x) + (b - 1)
    black = np.einsum("nk,nd->kd", r, 1 - x) + (b - 1)
    return independent_weights(r, a), white / (white + black)


BERNOULLI = Variant(
    "bernoulli",
    """## 2. An M-step with a prior

Maximum likelihood breaks down when a component owns no points. A prior prevents this. In a Bernoulli mixture, pixel i
is white (1) under component k with probability `theta[k, i]`, independently of the other pixels. Let the weights w have
a Dirichlet prior proportional to Π_k w_k^(a−1), and let each θ = `theta[k, i]` have a Beta prior proportional to
θ^(b−1) (1−θ)^(b−1).

Write the function `m_step(x, r, a, b)`. Its arguments are x (N, d) of 0s and 1s, responsibilities r (N, K) and numbers
a, b > 1. The function returns the weights (K,) and theta (K, d) that maximize the expected log-likelihood Σ_n Σ_k r_nk
log(w_k P(x_n | k)) plus the logarithm of the prior. Your function must also be correct when a component owns almost no
points.""",
    '''def m_step(x, r, a, b):
    """Return weights (K,) and theta (K, d) for x (N, d) of 0s and 1s, r (N, K) and numbers a and b."""
    raise NotImplementedError''',
    '''def m_step(x, r, a, b):
    """Return weights (K,) and theta (K, d) for x (N, d) of 0s and 1s, r (N, K) and numbers a and b."""
    points = r.sum(0)  # (K,), how many points each component owns
    weights = (points + a - 1) / (points + a - 1).sum()
    theta = (r.T @ x + b - 1) / (points[:, None] + 2 * (b - 1))
    return weights, theta''',
    bernoulli_inputs,
    bernoulli_reference,
    (
        *weight_mistakes(bernoulli_theta),
        Mistake(
            "the prior on theta is left out: this is maximum likelihood.",
            lambda x, r, a, b: (map_weights(r, a), (r.T @ x) / r.sum(0)[:, None]),
            0.5,
        ),
        Mistake(
            "no prior is used at all: this is maximum likelihood.",
            lambda x, r, a, b: (r.mean(0), (r.T @ x) / r.sum(0)[:, None]),
            0.3,
        ),
        Mistake(
            "theta is divided by the number of all points, N: "
            "divide by the number of points that the component owns.",
            lambda x, r, a, b: (map_weights(r, a), (r.T @ x + b - 1) / (len(x) + 2 * (b - 1))),
            0.4,
        ),
        Mistake(
            "the prior's factor (1 − θ)^(b−1) is missing: "
            "the denominator grows by 2(b − 1), not by b − 1.",
            lambda x, r, a, b: (map_weights(r, a), (r.T @ x + b - 1) / (r.sum(0)[:, None] + b - 1)),
            0.5,
        ),
    ),
    TOLERANCE,
    returns=("weights", "theta"),
    independent=bernoulli_independent,
    styles=(
        """def m_step(x, r, a, b):
    n, k = r.shape
    weights = torch.empty(k)
    theta = torch.empty(k, x.shape[1])
    for j in range(k):
        own = r[:, j].sum()
        weights[j] = (own + a - 1) / (n + k * (a - 1))
        for i in range(x.shape[1]):
            theta[j, i] = ((r[:, j] * x[:, i]).sum() + (b - 1)) / (own + 2 * b - 2)
    return weights, theta""",
        """def m_step(x, r, a, b):
    white = torch.einsum("nk,nd->kd", r, x) + (b - 1)
    black = torch.einsum("nk,nd->kd", r, 1 - x) + (b - 1)
    counts = r.sum(0) + (a - 1)
    return torch.nn.functional.normalize(counts, p=1, dim=0), white / (white + black)""",
        """import numpy as np
def m_step(x, r, a, b):
    x, r = np.asarray(x, dtype=np.float64), np.asarray(r, dtype=np.float64)
    own = r.sum(axis=0)
    w = own + a - 1
    return w / w.sum(), (r.T.dot(x) + (b - 1)) / (own + 2 * (b - 1))[:, None]""",
        """def m_step(x, r, a, b):
    x, r = x.double(), r.double()
    imagined = torch.cat([torch.ones(1, x.shape[1]), torch.zeros(1, x.shape[1])]).double()
    rows = torch.cat([x, imagined])
    mass = torch.cat([r, torch.full((2, r.shape[1]), b - 1).double()])
    theta = (mass[:, :, None] * rows[:, None, :]).sum(0) / mass.sum(0)[:, None]
    weights = (r.sum(0) + a - 1) / (len(r) + r.shape[1] * (a - 1))
    return [weights, theta]""",
    ),
)

# ---------------------------------------------------------------- Poisson with a Gamma prior


def poisson_inputs(rng, case):
    n, d, _, r = common_inputs(rng, case)
    x = rng.poisson(rng.uniform(1, 9, size=(n, d))).astype(np.float64)
    return {"x": x, "r": r, "a": float(rng.uniform(1.5, 3)), "b": float(rng.uniform(1.5, 3))}


def poisson_theta(x, r, b):
    """The Gamma prior θ^(b−1) e^(−bθ) adds b − 1 to the count and b to the exposure."""
    return (r.T @ x + b - 1) / (r.sum(0)[:, None] + b)


def poisson_reference(x, r, a, b):
    return map_weights(r, a), poisson_theta(x, r, b)


def poisson_independent(x, r, a, b):
    """The root of the derivative (S + b − 1)/θ − (N_k + b), found numerically."""
    total, own = np.einsum("nk,nd->kd", r, x), r.sum(0)
    theta = np.empty_like(total)
    for (k, i), count in np.ndenumerate(total):
        slope = lambda value, count=count, k=k: (count + b - 1) / value - (own[k] + b)
        theta[k, i] = brentq(slope, 1e-9, 1e6, xtol=1e-13, rtol=1e-14)
    return independent_weights(r, a), theta


POISSON = Variant(
    "poisson",
    """## 2. An M-step with a prior

Maximum likelihood breaks down when a component owns no points. A prior prevents this. In a Poisson mixture, count i
under component k has the rate θ = `theta[k, i]`, independently of the other counts: P(x_i | k) = θ^x_i · e^(−θ) / x_i!.
Let the weights w have a Dirichlet prior proportional to Π_k w_k^(a−1), and let each rate θ have a Gamma prior
proportional to θ^(b−1) e^(−bθ).

Write the function `m_step(x, r, a, b)`. Its arguments are counts x (N, d), responsibilities r (N, K) and numbers a,
b > 1. The function returns the weights (K,) and the rates theta (K, d) that maximize the expected log-likelihood Σ_n
Σ_k r_nk log(w_k P(x_n | k)) plus the logarithm of the prior. Your function must also be correct when a component owns
almost no points.""",
    '''def m_step(x, r, a, b):
    """Return weights (K,) and rates theta (K, d) for counts x (N, d), r (N, K) and numbers a and b."""
    raise NotImplementedError''',
    '''def m_step(x, r, a, b):
    """Return weights (K,) and rates theta (K, d) for counts x (N, d), r (N, K) and numbers a and b."""
    points = r.sum(0)  # (K,), how many points each component owns
    weights = (points + a - 1) / (points + a - 1).sum()
    theta = (r.T @ x + b - 1) / (points[:, None] + b)
    return weights, theta''',
    poisson_inputs,
    poisson_reference,
    (
        *weight_mistakes(poisson_theta),
        Mistake(
            "the prior on theta is left out: this is maximum likelihood.",
            lambda x, r, a, b: (map_weights(r, a), (r.T @ x) / r.sum(0)[:, None]),
            0.5,
        ),
        Mistake(
            "no prior is used at all: this is maximum likelihood.",
            lambda x, r, a, b: (r.mean(0), (r.T @ x) / r.sum(0)[:, None]),
            0.3,
        ),
        Mistake(
            "theta is divided by the number of all points, N: "
            "divide by the number of points that the component owns.",
            lambda x, r, a, b: (map_weights(r, a), (r.T @ x + b - 1) / (len(x) + b)),
            0.4,
        ),
        Mistake(
            "the prior's factor e^(−bθ) is missing: it adds b to the denominator.",
            lambda x, r, a, b: (map_weights(r, a), (r.T @ x + b - 1) / r.sum(0)[:, None]),
            0.5,
        ),
    ),
    TOLERANCE,
    returns=("weights", "theta"),
    independent=poisson_independent,
    styles=(
        """def m_step(x, r, a, b):
    n, k = r.shape
    weights, theta = [], []
    for j in range(k):
        own = r[:, j].sum()
        weights.append((own + a - 1) / (n + k * (a - 1)))
        theta.append((r[:, j, None] * x).sum(0).add(b - 1).div(own + b))
    return torch.stack(weights), torch.stack(theta)""",
        """def m_step(x, r, a, b):
    counts = torch.einsum("nk,nd->kd", r, x)
    w = r.sum(0) + a - 1
    return w / w.sum(), (counts + b - 1) / (r.sum(0) + b).unsqueeze(1)""",
        """import numpy as np
def m_step(x, r, a, b):
    x, r = np.asarray(x, dtype=np.float64), np.asarray(r, dtype=np.float64)
    own = r.sum(axis=0)
    w = own + a - 1
    return w / w.sum(), (r.T.dot(x) + (b - 1)) / (own + b)[:, None]""",
        """def m_step(x, r, a, b):
    x, r = x.double(), r.double()
    rate = torch.func.vmap(lambda column: ((column @ x) + b - 1) / (column.sum() + b), in_dims=1)(r)
    own = r.sum(dim=0)
    return {"weights": (own + a - 1) / (r.shape[0] + r.shape[1] * (a - 1)), "theta": rate}""",
    ),
)

# ---------------------------------------------------------------- exponential, inverse-Gamma prior


def exponential_inputs(rng, case):
    n, d, _, r = common_inputs(rng, case)
    x = rng.exponential(rng.uniform(0.5, 4, size=(n, d)))
    return {"x": x, "r": r, "a": float(rng.uniform(1.5, 3)), "b": float(rng.uniform(1.5, 3))}


def exponential_theta(x, r, b):
    """The inverse-Gamma prior θ^(−b−1) e^(−b/θ) adds b to the total time and b + 1 to the count."""
    return (r.T @ x + b) / (r.sum(0)[:, None] + b + 1)


def exponential_reference(x, r, a, b):
    return map_weights(r, a), exponential_theta(x, r, b)


def exponential_independent(x, r, a, b):
    """The root of the derivative (S + b)/θ² − (N_k + b + 1)/θ, found numerically in 1/θ."""
    total, own = np.einsum("nk,nd->kd", r, x), r.sum(0)
    theta = np.empty_like(total)
    for (k, i), time in np.ndenumerate(total):
        slope = lambda rate, time=time, k=k: (own[k] + b + 1) / rate - (time + b)
        theta[k, i] = 1 / brentq(slope, 1e-9, 1e6, xtol=1e-13, rtol=1e-14)
    return independent_weights(r, a), theta


EXPONENTIAL = Variant(
    "exponential",
    """## 2. An M-step with a prior

Maximum likelihood breaks down when a component owns no points. A prior prevents this. In a mixture of exponentials,
waiting time i under component k has the mean θ = `theta[k, i]`, independently of the other times: P(x_i | k) =
e^(−x_i/θ) / θ. Let the weights w have a Dirichlet prior proportional to Π_k w_k^(a−1), and let each mean θ have an
inverse-Gamma prior proportional to θ^(−b−1) e^(−b/θ).

Write the function `m_step(x, r, a, b)`. Its arguments are times x (N, d), responsibilities r (N, K) and numbers a,
b > 1. The function returns the weights (K,) and the means theta (K, d) that maximize the expected log-likelihood Σ_n
Σ_k r_nk log(w_k P(x_n | k)) plus the logarithm of the prior. Your function must also be correct when a component owns
almost no points.""",
    '''def m_step(x, r, a, b):
    """Return weights (K,) and means theta (K, d) for times x (N, d), r (N, K) and numbers a and b."""
    raise NotImplementedError''',
    '''def m_step(x, r, a, b):
    """Return weights (K,) and means theta (K, d) for times x (N, d), r (N, K) and numbers a and b."""
    points = r.sum(0)  # (K,), how many points each component owns
    weights = (points + a - 1) / (points + a - 1).sum()
    theta = (r.T @ x + b) / (points[:, None] + b + 1)
    return weights, theta''',
    exponential_inputs,
    exponential_reference,
    (
        *weight_mistakes(exponential_theta),
        Mistake(
            "the prior on theta is left out: this is maximum likelihood.",
            lambda x, r, a, b: (map_weights(r, a), (r.T @ x) / r.sum(0)[:, None]),
            0.5,
        ),
        Mistake(
            "no prior is used at all: this is maximum likelihood.",
            lambda x, r, a, b: (r.mean(0), (r.T @ x) / r.sum(0)[:, None]),
            0.3,
        ),
        Mistake(
            "theta is divided by the number of all points, N: "
            "divide by the number of points that the component owns.",
            lambda x, r, a, b: (map_weights(r, a), (r.T @ x + b) / (len(x) + b + 1)),
            0.4,
        ),
        Mistake(
            "the prior's exponent −b−1 is treated as −b: the denominator grows by b + 1, not by b.",
            lambda x, r, a, b: (map_weights(r, a), (r.T @ x + b) / (r.sum(0)[:, None] + b)),
            0.6,
        ),
    ),
    TOLERANCE,
    returns=("weights", "theta"),
    independent=exponential_independent,
    styles=(
        """def m_step(x, r, a, b):
    n, k = r.shape
    weights = torch.tensor([float(r[:, j].sum() + a - 1) / (n + k * (a - 1)) for j in range(k)])
    theta = torch.stack([((r[:, j] @ x) + b) / (r[:, j].sum() + b + 1) for j in range(k)])
    return weights, theta""",
        """def m_step(x, r, a, b):
    total = torch.einsum("nk,nd->kd", r, x)
    w = r.sum(0) + a - 1
    return w / w.sum(), (total + b) / (r.sum(0) + b + 1).unsqueeze(1)""",
        """import numpy as np
def m_step(x, r, a, b):
    x, r = np.asarray(x, dtype=np.float64), np.asarray(r, dtype=np.float64)
    own = r.sum(axis=0)
    w = own + a - 1
    return w / w.sum(), (r.T.dot(x) + b) / (own + b + 1)[:, None]""",
        """def m_step(x, r, a, b):
    x, r = x.double(), r.double()
    theta = torch.func.vmap(lambda column: (column @ x + b) / (column.sum() + b + 1), in_dims=1)(r)
    own = r.sum(dim=0)
    return (own + a - 1) / (r.shape[0] + r.shape[1] * (a - 1)), theta""",
    ),
)

QUESTION = Question("m_step", "m_step", 20, (BERNOULLI, POISSON, EXPONENTIAL))
