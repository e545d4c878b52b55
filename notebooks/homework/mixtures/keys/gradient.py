"""Question 4, a derivation: the gradient of a mixture's log-likelihood.

This gradient is a sum weighted by responsibilities.
"""

import numpy as np
from scipy.special import gammaln, softmax

from course_lib.grading.question import Mistake, Question, Tolerance, Variant

TOLERANCE = Tolerance(3e-4, 3e-5, "float32 sums of at most a dozen terms that partly cancel")
NEAR_900 = Tolerance(
    3e-4,
    2.1e-4,
    "float32 rounds log(P(k) P(x|k)) and its logsumexp near −900 by up to 3·10⁻⁵ each, "
    "which moves a responsibility r by up to 3·10⁻⁵ r + 6·10⁻⁵ r(1 − r), at most 3.5·10⁻⁵, "
    "and the sum over six points by six times as much",
)


def sizes(case):
    return {"small": (4, 2), "large": (11, 4), "extreme": (6, 3)}[case]


def slope_by_torch(log_likelihood, parameter):
    """The gradient, computed by automatic differentiation in float64."""
    import torch  # needed to check the key, but not for grading

    parameter = torch.tensor(parameter, dtype=torch.float64, requires_grad=True)
    log_likelihood(parameter).backward()
    return parameter.grad.numpy()


# ---------------------------------------------------------------- the logits of the weights


def logits_inputs(rng, case):
    n, k = sizes(case)
    shift = -900.0 if case == "extreme" else 0.0  # nats: such densities underflow even in float64
    return {"log_p": rng.normal(size=(n, k)) * 2 + shift, "logits": rng.normal(size=k)}


def logits_responsibilities(log_p, logits):
    return softmax(log_p + logits, axis=1)


def logits_reference(log_p, logits):
    return logits_responsibilities(log_p, logits).sum(0) - len(log_p) * softmax(logits)


def logits_independent(log_p, logits):
    import torch  # needed to check the key, but not for grading

    table = torch.tensor(log_p)
    return slope_by_torch(
        lambda s: torch.logsumexp(table + torch.log_softmax(s, 0), 1).sum(), logits
    )


LOGITS = Variant(
    "logits",
    """## 4. Derive a gradient: the weights

Let the weights of a mixture be a softmax of unconstrained numbers s, P(k) = e^(s_k) / Σ_j e^(s_j), and let the
log-likelihood be ℓ(s) = Σ_n log Σ_k P(k) P(x_n | k). Derive ∂ℓ/∂s_k on paper. Use the fact that ∂ log P(j) / ∂s_k =
[j = k] − P(k), where [j = k] is 1 if j = k and 0 otherwise. The responsibilities will appear in the result.

Then write the function `gradient(log_p, logits)`. Its arguments are the table `log_p` (N, K) of log P(x_n | k) and
s = `logits` (K,). The function returns the gradient of ℓ with respect to s, of shape (K,), computed with your formula.
Your function must also be correct where log P(x | k) is −900.""",
    '''def gradient(log_p, logits):
    """Return the gradient of ℓ with respect to the logits (K,) of the weights, for log_p = log P(x|k) (N, K)."""
    raise NotImplementedError''',
    '''def gradient(log_p, logits):
    """Return the gradient of ℓ with respect to the logits (K,) of the weights, for log_p = log P(x|k) (N, K)."""
    r = torch.softmax(log_p + logits, dim=1)  # (N, K), the responsibilities
    return r.sum(0) - len(log_p) * torch.softmax(logits, dim=0)''',
    logits_inputs,
    logits_reference,
    (
        Mistake(
            "the second term is missing: when s_k grows, all the other weights shrink.",
            lambda log_p, logits: logits_responsibilities(log_p, logits).sum(0),
            0.4,
        ),
        Mistake(
            "the result is averaged over the points: ℓ is a sum.",
            lambda log_p, logits: logits_reference(log_p, logits) / len(log_p),
            0.7,
        ),
        Mistake(
            "the sign is wrong: this is the gradient of −ℓ.",
            lambda log_p, logits: -logits_reference(log_p, logits),
            0.7,
        ),
        Mistake(
            "it underflows: you exponentiate log P(x | k) before normalizing. "
            "Work with logarithms and softmax.",
            lambda log_p, logits: (
                (
                    np.exp(log_p)
                    * softmax(logits)
                    / (np.exp(log_p) * softmax(logits)).sum(1, keepdims=True)
                ).sum(0)
                - len(log_p) * softmax(logits)
            ),
            0.6,
        ),
        Mistake(
            "P(k) is subtracted only once: it must be subtracted once for each point.",
            lambda log_p, logits: logits_responsibilities(log_p, logits).sum(0) - softmax(logits),
            0.6,
        ),
        Mistake(
            "this is N_k / P(k), the gradient with respect to the weights themselves: "
            "differentiate with respect to s.",
            lambda log_p, logits: logits_responsibilities(log_p, logits).sum(0) / softmax(logits),
            0.3,
        ),
        Mistake(
            "the weights are missing from the responsibilities.",
            lambda log_p, logits: softmax(log_p, axis=1).sum(0) - len(log_p) * softmax(logits),
            0.4,
        ),
    ),
    NEAR_900,
    independent=logits_independent,
    styles=(
        """def gradient(log_p, logits):
    n, k = log_p.shape
    p = torch.softmax(logits, 0)
    result = torch.zeros(k)
    for i in range(n):
        joint = log_p[i] + p.log()
        r = (joint - torch.logsumexp(joint, 0)).exp()
        for j in range(k):
            result[j] += r[j] - p[j]
    return result""",
        """def gradient(log_p, logits):
    s = logits.clone().requires_grad_()
    value = torch.logsumexp(log_p + torch.log_softmax(s, 0), dim=1).sum()
    return torch.autograd.grad(value, s)[0]""",
        """import numpy as np
def gradient(log_p, logits):
    a, s = np.asarray(log_p, dtype=np.float64), np.asarray(logits, dtype=np.float64)
    joint = a + s
    r = np.exp(joint - joint.max(1, keepdims=True))
    r /= r.sum(1, keepdims=True)
    p = np.exp(s - s.max())
    return (r - p / p.sum()).sum(axis=0)""",
        """def gradient(log_p, logits):
    value = lambda s: torch.logsumexp(log_p.double() + torch.log_softmax(s, 0), 1).sum()
    return torch.func.grad(value)(logits.double())""",
    ),
)

# ---------------------------------------------------------------- the means


def means_inputs(rng, case):
    n, k = sizes(case)
    mean = rng.normal(size=k) * 2
    x = rng.normal(size=n) * 2 + (80.0 if case == "extreme" else 0.0)  # far from all means
    return {"x": x, "weights": rng.dirichlet(np.full(k, 3.0)), "mean": mean}


def means_responsibilities(x, weights, mean):
    return softmax(-0.5 * (x[:, None] - mean) ** 2 + np.log(weights), axis=1)


def means_reference(x, weights, mean):
    return (means_responsibilities(x, weights, mean) * (x[:, None] - mean)).sum(0)


def means_independent(x, weights, mean):
    import torch  # needed to check the key, but not for grading

    x, w = torch.tensor(x), torch.tensor(weights)
    return slope_by_torch(
        lambda m: torch.logsumexp(-0.5 * (x[:, None] - m) ** 2 + w.log(), 1).sum(), mean
    )


MEANS = Variant(
    "means",
    """## 4. Derive a gradient: the means

Let each x_n be a single number, and let P(x | k) be a Gaussian with mean μ_k and variance 1. The log-likelihood is
ℓ(μ) = Σ_n log Σ_k P(k) P(x_n | k). Derive ∂ℓ/∂μ_k on paper. The responsibilities will appear in the result, and setting
the gradient to 0 gives the M-step.

Then write the function `gradient(x, weights, mean)`. Its arguments are x (N,), weights P(k) (K,) and μ = `mean` (K,).
The function returns the gradient of ℓ with respect to μ, of shape (K,), computed with your formula. Your function must
also be correct for points about 80 standard deviations away from every mean.""",
    '''def gradient(x, weights, mean):
    """Return the gradient of ℓ with respect to the means, (K,), for x (N,), weights (K,) and mean (K,)."""
    raise NotImplementedError''',
    '''def gradient(x, weights, mean):
    """Return the gradient of ℓ with respect to the means, (K,), for x (N,), weights (K,) and mean (K,)."""
    away = x[:, None] - mean  # (N, K)
    r = torch.softmax(weights.log() - away**2 / 2, dim=1)  # (N, K), the responsibilities
    return (r * away).sum(0)''',
    means_inputs,
    means_reference,
    (
        Mistake(
            "the responsibilities are missing: a point pulls on mean k in proportion to P(k | x).",
            lambda x, weights, mean: (x[:, None] - mean).sum(0),
            0.2,
        ),
        Mistake(
            "the weights are used in place of the responsibilities: P(k | x) depends on x.",
            lambda x, weights, mean: (weights * (x[:, None] - mean)).sum(0),
            0.3,
        ),
        Mistake(
            "the sign is wrong: a point pulls the mean towards itself.",
            lambda x, weights, mean: -means_reference(x, weights, mean),
            0.7,
        ),
        Mistake(
            "the result is averaged over the points: ℓ is a sum.",
            lambda x, weights, mean: means_reference(x, weights, mean) / len(x),
            0.7,
        ),
        Mistake(
            "it underflows: you compute densities before normalizing. "
            "Work with logarithms and softmax.",
            lambda x, weights, mean: (
                weights
                * np.exp(-0.5 * (x[:, None] - mean) ** 2)
                / (weights * np.exp(-0.5 * (x[:, None] - mean) ** 2)).sum(1, keepdims=True)
                * (x[:, None] - mean)
            ).sum(0),
            0.6,
        ),
        Mistake(
            "you divided by the sum of the responsibilities: "
            "that gives the change of the mean in an M-step, not the gradient.",
            lambda x, weights, mean: (
                means_reference(x, weights, mean) / means_responsibilities(x, weights, mean).sum(0)
            ),
            0.5,
        ),
        Mistake(
            "there is an extra factor of 2: the 2 from differentiating the square cancels the ½.",
            lambda x, weights, mean: 2 * means_reference(x, weights, mean),
            0.7,
        ),
    ),
    TOLERANCE,
    independent=means_independent,
    styles=(
        """def gradient(x, weights, mean):
    result = torch.zeros(len(mean))
    for point in x:
        joint = weights.log() - 0.5 * (point - mean) ** 2
        r = (joint - joint.logsumexp(0)).exp()
        result = result + r * (point - mean)
    return result""",
        """def gradient(x, weights, mean):
    m = mean.clone().requires_grad_()
    log_p = torch.distributions.Normal(m, 1.0).log_prob(x[:, None]) + weights.log()
    return torch.autograd.grad(log_p.logsumexp(1).sum(), m)[0]""",
        """import numpy as np
def gradient(x, weights, mean):
    x, w, m = (np.asarray(a, dtype=np.float64) for a in (x, weights, mean))
    joint = np.log(w) - 0.5 * (x[:, None] - m) ** 2
    r = np.exp(joint - joint.max(1, keepdims=True))
    r /= r.sum(1, keepdims=True)
    return np.einsum("nk,nk->k", r, x[:, None] - m)""",
        """def gradient(x, weights, mean):
    x, w = x.double(), weights.double()
    f = lambda m: torch.logsumexp(w.log() - (x[:, None] - m) ** 2 / 2, 1).sum()
    return torch.func.grad(f)(mean.double())""",
    ),
)

# ---------------------------------------------------------------- the logarithms of the rates


def rates_inputs(rng, case):
    n, k = sizes(case)
    high = 300 if case == "extreme" else 9
    x = rng.integers(0, high, size=n).astype(np.float64)
    log_rate = rng.uniform(-1, np.log(high), size=k)
    # one large count and one high rate, for which θ^x e^(−θ) overflows even in float64
    if case == "extreme":
        x[0], log_rate[0] = rng.integers(250, high), np.log(rng.uniform(250, high))
    return {"x": x, "weights": rng.dirichlet(np.full(k, 3.0)), "log_rate": log_rate}


def rates_log_p(x, log_rate):
    return x[:, None] * log_rate - np.exp(log_rate) - gammaln(x[:, None] + 1)


def rates_responsibilities(x, weights, log_rate):
    return softmax(rates_log_p(x, log_rate) + np.log(weights), axis=1)


def rates_reference(x, weights, log_rate):
    return (rates_responsibilities(x, weights, log_rate) * (x[:, None] - np.exp(log_rate))).sum(0)


def rates_independent(x, weights, log_rate):
    import torch  # needed to check the key, but not for grading

    x, w = torch.tensor(x), torch.tensor(weights)
    return slope_by_torch(
        lambda a: torch.logsumexp(
            torch.distributions.Poisson(a.exp()).log_prob(x[:, None]) + w.log(), 1
        ).sum(),
        log_rate,
    )


RATES = Variant(
    "log_rates",
    """## 4. Derive a gradient: the rates

Let each x_n be a single count, and let P(x | k) be a Poisson distribution with rate e^(a_k), so that log P(x | k) =
x·a_k − e^(a_k) − log x!. The log-likelihood is ℓ(a) = Σ_n log Σ_k P(k) P(x_n | k). Derive ∂ℓ/∂a_k on paper. The
responsibilities will appear in the result, and setting the gradient to 0 gives the M-step.

Then write the function `gradient(x, weights, log_rate)`. Its arguments are counts x (N,), weights P(k) (K,) and
a = `log_rate` (K,). The function returns the gradient of ℓ with respect to a, of shape (K,), computed with your
formula. Your function must also be correct for counts and rates in the hundreds.""",
    '''def gradient(x, weights, log_rate):
    """Return the gradient of ℓ with respect to log_rate, (K,), for counts x (N,), weights (K,), log_rate (K,)."""
    raise NotImplementedError''',
    '''def gradient(x, weights, log_rate):
    """Return the gradient of ℓ with respect to log_rate, (K,), for counts x (N,), weights (K,), log_rate (K,)."""
    rate = log_rate.exp()  # (K,)
    r = torch.softmax(x[:, None] * log_rate - rate + weights.log(), dim=1)  # (N, K); x! cancels
    return (r * (x[:, None] - rate)).sum(0)''',
    rates_inputs,
    rates_reference,
    (
        Mistake(
            "the responsibilities are missing: a point pulls on rate k in proportion to P(k | x).",
            lambda x, weights, log_rate: (x[:, None] - np.exp(log_rate)).sum(0),
            0.2,
        ),
        Mistake(
            "the weights are used in place of the responsibilities: P(k | x) depends on x.",
            lambda x, weights, log_rate: (weights * (x[:, None] - np.exp(log_rate))).sum(0),
            0.3,
        ),
        Mistake(
            "the sign is wrong: a large count pulls the rate up.",
            lambda x, weights, log_rate: -rates_reference(x, weights, log_rate),
            0.7,
        ),
        Mistake(
            "the result is averaged over the points: ℓ is a sum.",
            lambda x, weights, log_rate: rates_reference(x, weights, log_rate) / len(x),
            0.7,
        ),
        Mistake(
            "this is the gradient with respect to the rate: "
            "the chain rule gives one more factor, the rate itself.",
            lambda x, weights, log_rate: rates_reference(x, weights, log_rate) / np.exp(log_rate),
            0.5,
        ),
        Mistake(
            "you took the derivative of e^a to be 1: it is e^a.",
            lambda x, weights, log_rate: (
                rates_responsibilities(x, weights, log_rate) * (x[:, None] - 1)
            ).sum(0),
            0.4,
        ),
        Mistake(
            "it underflows or overflows: you compute P(x | k) before normalizing. Use softmax.",
            lambda x, weights, log_rate: (
                weights
                * np.exp(x[:, None] * log_rate - np.exp(log_rate))
                / (weights * np.exp(x[:, None] * log_rate - np.exp(log_rate))).sum(1, keepdims=True)
                * (x[:, None] - np.exp(log_rate))
            ).sum(0),
            0.6,
        ),
    ),
    TOLERANCE,
    independent=rates_independent,
    styles=(
        """def gradient(x, weights, log_rate):
    result = torch.zeros(len(log_rate))
    for count in x:
        joint = weights.log() + count * log_rate - log_rate.exp()
        r = (joint - joint.logsumexp(0)).exp()
        result += r * (count - log_rate.exp())
    return result""",
        """def gradient(x, weights, log_rate):
    a = log_rate.clone().requires_grad_()
    table = torch.distributions.Poisson(a.exp()).log_prob(x[:, None]) + weights.log()
    return torch.autograd.grad(table.logsumexp(1).sum(), a)[0]""",
        """import numpy as np
from scipy import stats
def gradient(x, weights, log_rate):
    x, w, a = (np.asarray(v, dtype=np.float64) for v in (x, weights, log_rate))
    joint = stats.poisson.logpmf(x[:, None], np.exp(a)) + np.log(w)
    r = np.exp(joint - joint.max(1, keepdims=True))
    r /= r.sum(1, keepdims=True)
    return r.T @ x - r.sum(0) * np.exp(a)""",
        """def gradient(x, weights, log_rate):
    x, w = x.double(), weights.double()
    f = lambda a: torch.logsumexp(x[:, None] * a - a.exp() + w.log(), 1).sum()
    return torch.func.grad(f)(log_rate.double())""",
    ),
)

QUESTION = Question("gradient", "gradient", 15, (LOGITS, MEANS, RATES))
