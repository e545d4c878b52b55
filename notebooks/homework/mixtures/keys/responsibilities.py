"""Question 1: the E-step of a mixture whose components are not Gaussian.

All three variants build the table log P(k) + log P(x_n | k); they differ only in P(x | k).
"""

import numpy as np
from scipy.special import gammaln, logsumexp, softmax
from scipy.stats import bernoulli, expon, poisson

from course_lib.grading.question import Mistake, Question, Tolerance, Variant

TOLERANCE = Tolerance(
    2e-4, 1e-5, "float32 logarithms of up to a thousand nats are accurate to a few parts in 10⁵"
)


def weights_of(rng, k):
    return rng.dirichlet(np.full(k, 3.0))


def sizes(case):
    """The numbers of rows, dimensions and components.

    In the extreme case, the likelihoods underflow.
    """
    return {"small": (4, 3, 2), "large": (9, 5, 4), "extreme": (6, 1500, 3)}[case]


def no_weights(log_likelihood):
    """Mistake: every component counts equally, whatever its weight."""
    return lambda x, weights, theta: softmax(log_likelihood(x, theta), axis=1)


def over_rows(log_likelihood):
    """Mistake: the result is normalized over the points instead of over the components."""
    return lambda x, weights, theta: softmax(log_likelihood(x, theta) + np.log(weights), axis=0)


def underflowing(log_likelihood):
    """Mistake: the exponentials are taken before the largest logarithm is subtracted."""

    def function(x, weights, theta):
        joint = weights * np.exp(log_likelihood(x, theta))
        return joint / joint.sum(1, keepdims=True)

    return function


def not_normalized(log_likelihood):
    """Mistake: the joint density is returned."""
    return lambda x, weights, theta: weights * np.exp(log_likelihood(x, theta))


def logarithms(log_likelihood):
    """Mistake: the logarithms of the responsibilities are returned."""

    def function(x, weights, theta):
        joint = log_likelihood(x, theta) + np.log(weights)
        return joint - logsumexp(joint, axis=1, keepdims=True)

    return function


def hard(log_likelihood):
    """Mistake: the most probable component gets the responsibility 1."""

    def function(x, weights, theta):
        joint = log_likelihood(x, theta) + np.log(weights)
        return np.eye(len(weights))[joint.argmax(1)]

    return function


def mean_over_dimensions(log_likelihood):
    """Mistake: the mean over the dimensions of x is taken instead of the sum."""
    return lambda x, weights, theta: softmax(
        log_likelihood(x, theta) / x.shape[1] + np.log(weights), axis=1
    )


def mistakes(log_likelihood):
    f = log_likelihood
    return (
        Mistake(
            "it underflows: you divide 0 by 0 where all likelihoods are tiny. "
            "Work with logarithms and softmax.",
            underflowing(f),
            0.6,
        ),
        Mistake("the weights are missing: add log P(k) before normalizing.", no_weights(f), 0.4),
        Mistake(
            "the result is normalized over the points: each row must add up to 1.",
            over_rows(f),
            0.3,
        ),
        Mistake(
            "the rows do not add up to 1: divide by the sum over the components.",
            not_normalized(f),
            0.3,
        ),
        Mistake("these are the logarithms of the responsibilities.", logarithms(f), 0.7),
        Mistake(
            "this is a hard assignment, as in k-means: "
            "responsibilities are probabilities between 0 and 1.",
            hard(f),
            0.2,
        ),
        Mistake(
            "the log-likelihood is averaged over the dimensions: "
            "for independent dimensions the logarithms add up.",
            mean_over_dimensions(f),
            0.4,
        ),
    )


# ---------------------------------------------------------------- Bernoulli


def bernoulli_inputs(rng, case):
    n, d, k = sizes(case)
    p = rng.uniform(0.05, 0.95, size=(k, d))
    x = (rng.uniform(size=(n, d)) < p[rng.integers(k, size=n)]).astype(np.float64)
    return {"x": x, "weights": weights_of(rng, k), "theta": p}


def bernoulli_log_likelihood(x, p):
    return x @ np.log(p).T + (1 - x) @ np.log1p(-p).T  # (N, K)


def bernoulli_reference(x, weights, theta):
    return softmax(bernoulli_log_likelihood(x, theta) + np.log(weights), axis=1)


def bernoulli_independent(x, weights, theta):
    joint = np.stack([bernoulli.logpmf(x, p).sum(1) for p in theta], axis=1) + np.log(weights)
    scaled = np.exp(joint - joint.max(1, keepdims=True))
    return scaled / scaled.sum(1, keepdims=True)


BERNOULLI = Variant(
    "bernoulli",
    """## 1. The E-step of a Bernoulli mixture

Each row of x contains d pixels, each black (0) or white (1). Component k has weight P(k) = `weights[k]`, and under
component k, pixel i is white with probability `theta[k, i]`, independently of the other pixels.

Write the function `responsibilities(x, weights, theta)`. Its arguments are x (N, d), weights (K,) and theta (K, d). The
function returns the responsibilities P(k | x), of shape (N, K). Your function must also be correct for thousands of
pixels, where every P(x | k) underflows to 0.""",
    '''def responsibilities(x, weights, theta):
    """Return P(k | x), (N, K), for x (N, d) of 0s and 1s, weights (K,) and theta (K, d)."""
    raise NotImplementedError''',
    '''def responsibilities(x, weights, theta):
    """Return P(k | x), (N, K), for x (N, d) of 0s and 1s, weights (K,) and theta (K, d)."""
    log_likelihood = x @ theta.log().T + (1 - x) @ (1 - theta).log().T  # (N, K)
    return torch.softmax(log_likelihood + weights.log(), dim=1)''',
    bernoulli_inputs,
    bernoulli_reference,
    (
        *mistakes(bernoulli_log_likelihood),
        Mistake(
            "black pixels are left out: where x is 0, the term is log(1 − theta).",
            lambda x, weights, theta: softmax(x @ np.log(theta).T + np.log(weights), axis=1),
            0.3,
        ),
    ),
    TOLERANCE,
    independent=bernoulli_independent,
    styles=(
        """def responsibilities(x, weights, theta):
    rows = []
    for row in x:
        joint = []
        for k in range(len(weights)):
            p = torch.where(row == 1, theta[k], 1 - theta[k])
            joint.append(weights[k].log() + p.log().sum())
        joint = torch.stack(joint)
        rows.append((joint - joint.logsumexp(0)).exp())
    return torch.stack(rows)""",
        """def responsibilities(x, weights, theta):
    model = torch.distributions.Bernoulli(probs=theta)
    joint = model.log_prob(x[:, None]).sum(-1) + weights.log()
    return torch.nn.functional.softmax(joint, -1)""",
        """import numpy as np
def responsibilities(x, weights, theta):
    x, w, t = (np.asarray(a, dtype=np.float64) for a in (x, weights, theta))
    joint = np.einsum("nd,kd->nk", x, np.log(t)) + np.einsum("nd,kd->nk", 1 - x, np.log1p(-t)) + np.log(w)
    joint -= joint.max(axis=1, keepdims=True)
    r = np.exp(joint)
    return r / r.sum(axis=1, keepdims=True)""",
        """def responsibilities(x, weights, theta):
    one = lambda row: torch.softmax((row * theta.log() + (1 - row) * torch.log1p(-theta)).sum(1) + weights.log(), 0)
    return torch.func.vmap(one)(x)""",
    ),
)

# ---------------------------------------------------------------- Poisson


def poisson_inputs(rng, case):
    n, d, k = sizes(case)
    rate = rng.uniform(0.5, 8.0, size=(k, d))
    x = rng.poisson(rate[rng.integers(k, size=n)]).astype(np.float64)
    return {"x": x, "weights": weights_of(rng, k), "theta": rate}


def poisson_log_likelihood(x, rate):
    return x @ np.log(rate).T - rate.sum(1) - gammaln(x + 1).sum(1, keepdims=True)


def poisson_reference(x, weights, theta):
    return softmax(poisson_log_likelihood(x, theta) + np.log(weights), axis=1)


def poisson_independent(x, weights, theta):
    joint = np.stack([poisson.logpmf(x, rate).sum(1) for rate in theta], axis=1) + np.log(weights)
    return np.exp(joint - logsumexp(joint, axis=1, keepdims=True))


POISSON = Variant(
    "poisson",
    """## 1. The E-step of a Poisson mixture

Each row of x contains d counts: 0, 1, 2, … Component k has weight P(k) = `weights[k]`, and under component k, count i
follows a Poisson distribution with rate θ = `theta[k, i]`, independently of the other counts: P(x_i | k) = θ^x_i ·
e^(−θ) / x_i!.

Write the function `responsibilities(x, weights, theta)`. Its arguments are x (N, d), weights (K,) and theta (K, d). The
function returns the responsibilities P(k | x), of shape (N, K). Your function must also be correct for thousands of
counts in a row, where every P(x | k) underflows to 0.""",
    '''def responsibilities(x, weights, theta):
    """Return P(k | x), (N, K), for counts x (N, d), weights (K,) and rates theta (K, d)."""
    raise NotImplementedError''',
    '''def responsibilities(x, weights, theta):
    """Return P(k | x), (N, K), for counts x (N, d), weights (K,) and rates theta (K, d)."""
    log_likelihood = x @ theta.log().T - theta.sum(1)  # (N, K); x! is the same for all components and cancels
    return torch.softmax(log_likelihood + weights.log(), dim=1)''',
    poisson_inputs,
    poisson_reference,
    (
        *mistakes(poisson_log_likelihood),
        Mistake(
            "the factor e^(−θ) is missing: it differs between components.",
            lambda x, weights, theta: softmax(x @ np.log(theta).T + np.log(weights), axis=1),
            0.4,
        ),
    ),
    TOLERANCE,
    independent=poisson_independent,
    styles=(
        """def responsibilities(x, weights, theta):
    joint = torch.distributions.Poisson(theta).log_prob(x[:, None]).sum(-1) + weights.log()
    return (joint - joint.logsumexp(1, keepdim=True)).exp()""",
        """def responsibilities(x, weights, theta):
    result = torch.empty(len(x), len(weights))
    for n in range(len(x)):
        for k in range(len(weights)):
            terms = torch.special.xlogy(x[n], theta[k]) - theta[k] - torch.lgamma(x[n] + 1)
            result[n, k] = torch.log(weights[k]) + terms.sum()
    return result.softmax(1)""",
        """from scipy import stats
import numpy as np
def responsibilities(x, weights, theta):
    x, w, t = (np.asarray(a, dtype=np.float64) for a in (x, weights, theta))
    joint = stats.poisson.logpmf(x[:, None], t[None]).sum(-1) + np.log(w)
    top = joint.max(1, keepdims=True)
    return np.exp(joint - top) / np.exp(joint - top).sum(1, keepdims=True)""",
        """def responsibilities(x, weights, theta):
    x, weights, theta = x.double(), weights.double(), theta.double()
    joint = torch.einsum("nd,kd->nk", x, theta.log()) - theta.sum(-1) + weights.log()
    return torch.exp(joint - torch.logsumexp(joint, dim=1)[:, None])""",
    ),
)

# ---------------------------------------------------------------- exponential


def exponential_inputs(rng, case):
    n, d, k = sizes(case)
    scale = rng.uniform(0.3, 4.0, size=(k, d))
    x = rng.exponential(scale[rng.integers(k, size=n)])
    return {"x": x, "weights": weights_of(rng, k), "theta": scale}


def exponential_log_likelihood(x, scale):
    return -x @ (1 / scale).T - np.log(scale).sum(1)


def exponential_reference(x, weights, theta):
    return softmax(exponential_log_likelihood(x, theta) + np.log(weights), axis=1)


def exponential_independent(x, weights, theta):
    log_p = [expon.logpdf(x, scale=scale).sum(1) for scale in theta]
    joint = np.stack(log_p, axis=1) + np.log(weights)
    return np.exp(joint - logsumexp(joint, axis=1, keepdims=True))


EXPONENTIAL = Variant(
    "exponential",
    """## 1. The E-step of a mixture of exponentials

Each row of x contains d waiting times. Component k has weight P(k) = `weights[k]`, and under component k, time i
follows an exponential distribution with mean θ = `theta[k, i]`, independently of the other times: P(x_i | k) =
e^(−x_i/θ) / θ.

Write the function `responsibilities(x, weights, theta)`. Its arguments are x (N, d), weights (K,) and theta (K, d). The
function returns the responsibilities P(k | x), of shape (N, K). Your function must also be correct for thousands of
times in a row, where every P(x | k) underflows to 0.""",
    '''def responsibilities(x, weights, theta):
    """Return P(k | x), (N, K), for waiting times x (N, d), weights (K,) and means theta (K, d)."""
    raise NotImplementedError''',
    '''def responsibilities(x, weights, theta):
    """Return P(k | x), (N, K), for waiting times x (N, d), weights (K,) and means theta (K, d)."""
    log_likelihood = -x @ (1 / theta).T - theta.log().sum(1)  # (N, K)
    return torch.softmax(log_likelihood + weights.log(), dim=1)''',
    exponential_inputs,
    exponential_reference,
    (
        *mistakes(exponential_log_likelihood),
        Mistake(
            "the factor 1/θ is missing: it differs between components.",
            lambda x, weights, theta: softmax(-x @ (1 / theta).T + np.log(weights), axis=1),
            0.4,
        ),
        Mistake(
            "θ is treated as a rate: here it is the mean, so the exponent is −x/θ.",
            lambda x, weights, theta: softmax(
                -x @ theta.T + np.log(theta).sum(1) + np.log(weights), axis=1
            ),
            0.5,
        ),
    ),
    TOLERANCE,
    independent=exponential_independent,
    styles=(
        """def responsibilities(x, weights, theta):
    joint = torch.distributions.Exponential(1 / theta).log_prob(x[:, None]).sum(-1) + weights.log()
    return joint.softmax(-1)""",
        """def responsibilities(x, weights, theta):
    columns = []
    for k in range(weights.numel()):
        columns.append(weights[k].log() - (x / theta[k] + theta[k].log()).sum(1))
    joint = torch.stack(columns, 1)
    joint = joint - joint.amax(1, keepdim=True)
    return joint.exp() / joint.exp().sum(1, keepdim=True)""",
        """import numpy as np
def responsibilities(x, weights, theta):
    x, w, t = (np.asarray(a, dtype=np.float64) for a in (x, weights, theta))
    joint = np.log(w) - (x[:, None, :] / t + np.log(t)).sum(2)
    r = np.exp(joint - joint.max(1)[:, None])
    return torch.tensor(r / r.sum(1)[:, None])""",
        """def responsibilities(x, weights, theta):
    def row(one):
        joint = weights.log() - (one / theta + theta.log()).sum(1)
        return torch.exp(joint - torch.logsumexp(joint, 0))
    return torch.stack([row(one) for one in x])""",
    ),
)

QUESTION = Question("responsibilities", "responsibilities", 20, (BERNOULLI, POISSON, EXPONENTIAL))
