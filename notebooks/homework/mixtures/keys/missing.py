"""Question 3: the log-likelihood of points when some of their coordinates were not measured."""

import numpy as np
from scipy.special import gammaln, logsumexp
from scipy.stats import bernoulli, norm, poisson

from course_lib.grading.question import Mistake, Question, Tolerance, Variant

TOLERANCE = Tolerance(
    2e-4, 1e-4, "float32 logarithms of up to a thousand nats are accurate to a few parts in 10⁵"
)


def common(rng, case):
    """Return sizes, weights and the mask `seen`.

    The extreme case has so many coordinates that densities underflow.
    """
    n, d, k = {"small": (5, 3, 2), "large": (9, 6, 4), "extreme": (4, 4000, 3)}[case]
    seen = (rng.uniform(size=(n, d)) < 0.6).astype(np.float64)
    seen[:, 0] = 1.0  # at least one coordinate of each point was measured
    if case != "small":
        seen[0] = 0.0  # except for one point without any measured coordinate, whose likelihood is 1
    return n, d, k, rng.dirichlet(np.full(k, 3.0)), seen


def likelihood(terms):
    """The answer, from `terms`: the table of log P(x_ni | k), (N, K, d)."""

    def function(x, seen, weights, **parameters):
        joint = (terms(x, **parameters) * seen[:, None]).sum(-1) + np.log(weights)  # (N, K)
        return logsumexp(joint, axis=1)

    return function


def mistakes(terms):
    def joint(x, seen, weights, parameters):
        return (terms(x, **parameters) * seen[:, None]).sum(-1) + np.log(weights)

    def scaled(x, seen, weights, **parameters):
        share = seen.mean(1)[:, None]
        share = np.where(share > 0, share, 1)
        return logsumexp(joint(x, seen, weights, parameters) / share, axis=1)

    return (
        Mistake(
            "it underflows: the densities are multiplied before the logarithm is taken. "
            "Use logsumexp.",
            lambda x, seen, weights, **p: np.log((weights * np.exp(joint(x, seen, 1.0, p))).sum(1)),
            0.6,
        ),
        Mistake(
            "missing entries are counted as if they had been measured: leave them out.",
            lambda x, seen, weights, **p: logsumexp(
                terms(x, **p).sum(-1) + np.log(weights), axis=1
            ),
            0.3,
        ),
        Mistake(
            "the weights are missing: each component's term has the factor P(k).",
            lambda x, seen, weights, **p: logsumexp(joint(x, seen, 1.0, p), axis=1),
            0.4,
        ),
        Mistake(
            "the logarithms are averaged over the components: "
            "the sum over k belongs inside the logarithm.",
            lambda x, seen, weights, **p: (weights * joint(x, seen, 1.0, p)).sum(1),
            0.2,
        ),
        Mistake(
            "the result is summed over the rows: return one number for each row.",
            lambda x, seen, weights, **p: logsumexp(joint(x, seen, weights, p), axis=1).sum(),
            0.7,
        ),
        Mistake(
            "the sign is wrong: return log P(x_seen), not a loss.",
            lambda x, seen, weights, **p: -logsumexp(joint(x, seen, weights, p), axis=1),
            0.7,
        ),
        Mistake(
            "you divided by the fraction that was measured: "
            "missing entries integrate to 1, so do not rescale the result.",
            scaled,
            0.3,
        ),
        Mistake(
            "the logarithms are to base 2: return nats.",
            lambda x, seen, weights, **p: logsumexp(joint(x, seen, weights, p), axis=1) / np.log(2),
            0.7,
        ),
    )


# ---------------------------------------------------------------- Gaussian


def gaussian_inputs(rng, case):
    n, d, k, weights, seen = common(rng, case)
    mean, std = rng.normal(size=(k, d)) * 2, rng.uniform(0.3, 2, size=(k, d))
    pick = rng.integers(k, size=n)
    x = mean[pick] + std[pick] * rng.normal(size=(n, d))
    # missing entries contain an absurd number, as in real tables
    return {
        "x": np.where(seen == 1, x, 99.0),
        "seen": seen,
        "weights": weights,
        "mean": mean,
        "std": std,
    }


def gaussian_terms(x, mean, std):
    return -0.5 * ((x[:, None] - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)


def gaussian_independent(x, seen, weights, mean, std):
    table = norm.logpdf(x[:, None], mean, std)
    kept = np.where(seen[:, None] == 1, table, 0.0).sum(-1) + np.log(weights)
    top = kept.max(1)
    return top + np.log(np.exp(kept - top[:, None]).sum(1))


GAUSSIAN = Variant(
    "gaussian",
    """## 3. Missing measurements

In a table of measurements, some entries are missing. If the missing values do not influence which entries are missing,
they are simply integrated out: log P(x_seen) is the logarithm of the sum over k of P(k) · Π_(i seen) P(x_i | k).

Component k of a mixture of diagonal Gaussians has weight P(k) = `weights[k]`, means `mean[k]` and standard deviations
`std[k]`. Write the function `log_likelihood(x, seen, weights, mean, std)`. Its arguments are x and `seen` (N, d),
weights (K,), and `mean` and `std` (K, d), where `seen` is 1 for an entry that was measured and 0 for one that is
missing. The function returns log P(x_seen) in nats for each row, of shape (N,). Where `seen` is 0, x contains a
meaningless number. For a row in which nothing was measured, the answer is 0. Your function must also be correct for
thousands of columns, where every P(x_seen | k) underflows.""",
    '''def log_likelihood(x, seen, weights, mean, std):
    """Return log P(x_seen) in nats, (N,), for x and seen (N, d), weights (K,), mean and std (K, d)."""
    raise NotImplementedError''',
    '''def log_likelihood(x, seen, weights, mean, std):
    """Return log P(x_seen) in nats, (N,), for x and seen (N, d), weights (K,), mean and std (K, d)."""
    terms = -0.5 * ((x[:, None] - mean) / std) ** 2 - std.log() - 0.5 * math.log(2 * math.pi)  # (N, K, d)
    joint = (terms * seen[:, None]).sum(-1) + weights.log()  # (N, K)
    return torch.logsumexp(joint, dim=1)''',
    gaussian_inputs,
    likelihood(gaussian_terms),
    (
        *mistakes(gaussian_terms),
        Mistake(
            "the constant −½ log 2π is missing: it occurs once for each entry that was measured.",
            lambda x, seen, weights, **p: (
                likelihood(gaussian_terms)(x, seen, weights, **p)
                + 0.5 * np.log(2 * np.pi) * seen.sum(1)
            ),
            0.6,
        ),
        Mistake(
            "−log std is missing: it differs between components.",
            lambda x, seen, weights, mean, std: likelihood(
                lambda x, mean, std: gaussian_terms(x, mean, std) + np.log(std)
            )(x, seen, weights, mean=mean, std=std),
            0.4,
        ),
        Mistake(
            "missing entries are set to 0 and still counted: leave out their terms.",
            lambda x, seen, weights, mean, std: logsumexp(
                gaussian_terms(x * seen, mean, std).sum(-1) + np.log(weights), axis=1
            ),
            0.3,
        ),
    ),
    TOLERANCE,
    independent=gaussian_independent,
    styles=(
        """def log_likelihood(x, seen, weights, mean, std):
    table = torch.distributions.Normal(mean, std).log_prob(x[:, None])
    return torch.where(seen[:, None] == 1, table, torch.zeros(())).sum(-1).add(weights.log()).logsumexp(-1)""",
        """def log_likelihood(x, seen, weights, mean, std):
    answers = []
    for row, mask in zip(x, seen):
        chosen = mask.bool()
        joint = []
        for k in range(len(weights)):
            normal = torch.distributions.Normal(mean[k][chosen], std[k][chosen])
            joint.append(weights[k].log() + normal.log_prob(row[chosen]).sum())
        answers.append(torch.logsumexp(torch.stack(joint), 0))
    return torch.stack(answers)""",
        """import numpy as np
from scipy import stats
from scipy.special import logsumexp
def log_likelihood(x, seen, weights, mean, std):
    x, seen, w, m, s = (np.asarray(a, dtype=np.float64) for a in (x, seen, weights, mean, std))
    return logsumexp((stats.norm.logpdf(x[:, None], m, s) * seen[:, None]).sum(-1), axis=1, b=w)""",
        """def log_likelihood(x, seen, weights, mean, std):
    x, seen, weights, mean, std = (a.double() for a in (x, seen, weights, mean, std))
    square = torch.einsum("nd,nkd->nk", seen, ((x[:, None] - mean) / std) ** 2)
    scale = seen @ (std.log() + 0.5 * math.log(2 * math.pi)).T
    joint = weights.log() - 0.5 * square - scale
    top = joint.max(1, keepdim=True).values
    return (top + (joint - top).exp().sum(1, keepdim=True).log()).squeeze(1)""",
    ),
)

# ---------------------------------------------------------------- Bernoulli


def bernoulli_inputs(rng, case):
    n, d, k, weights, seen = common(rng, case)
    p = rng.uniform(0.05, 0.95, size=(k, d))
    x = (rng.uniform(size=(n, d)) < p[rng.integers(k, size=n)]).astype(np.float64)
    return {"x": np.where(seen == 1, x, 1.0), "seen": seen, "weights": weights, "p": p}


def bernoulli_terms(x, p):
    return x[:, None] * np.log(p) + (1 - x[:, None]) * np.log1p(-p)


def bernoulli_independent(x, seen, weights, p):
    table = bernoulli.logpmf(x[:, None].astype(int), p)
    kept = np.where(seen[:, None] == 1, table, 0.0).sum(-1) + np.log(weights)
    top = kept.max(1)
    return top + np.log(np.exp(kept - top[:, None]).sum(1))


BERNOULLI = Variant(
    "bernoulli",
    """## 3. Missing pixels

In a picture, some pixels are missing. If the missing values do not influence which pixels are missing, they are simply
summed out: log P(x_seen) is the logarithm of the sum over k of P(k) · Π_(i seen) P(x_i | k).

Component k of a Bernoulli mixture has weight P(k) = `weights[k]`, and under component k, pixel i is white (1) with
probability `p[k, i]`. Write the function `log_likelihood(x, seen, weights, p)`. Its arguments are x (N, d) of 0s and
1s, `seen` (N, d), weights (K,) and `p` (K, d), where `seen` is 1 for a pixel that was seen and 0 for one that is
missing. The function returns log P(x_seen) in nats for each picture, of shape (N,). Where `seen` is 0, the value of x
is meaningless. For a picture in which nothing was seen, the answer is 0. Your function must also be correct for
thousands of pixels, where every P(x_seen | k) underflows.""",
    '''def log_likelihood(x, seen, weights, p):
    """Return log P(x_seen) in nats, (N,), for x and seen (N, d), weights (K,) and p (K, d)."""
    raise NotImplementedError''',
    '''def log_likelihood(x, seen, weights, p):
    """Return log P(x_seen) in nats, (N,), for x and seen (N, d), weights (K,) and p (K, d)."""
    white, black = x * seen, (1 - x) * seen  # (N, d) each
    joint = white @ p.log().T + black @ (1 - p).log().T + weights.log()  # (N, K)
    return torch.logsumexp(joint, dim=1)''',
    bernoulli_inputs,
    likelihood(bernoulli_terms),
    (
        *mistakes(bernoulli_terms),
        Mistake(
            "missing pixels are counted as black: leave out their terms.",
            lambda x, seen, weights, p: logsumexp(
                bernoulli_terms(x * seen, p).sum(-1) + np.log(weights), axis=1
            ),
            0.3,
        ),
        Mistake(
            "black pixels that were seen are left out: where x is 0, the term is log(1 − p).",
            lambda x, seen, weights, p: logsumexp(
                (x * seen) @ np.log(p).T + np.log(weights), axis=1
            ),
            0.3,
        ),
    ),
    TOLERANCE,
    independent=bernoulli_independent,
    styles=(
        """def log_likelihood(x, seen, weights, p):
    table = torch.distributions.Bernoulli(probs=p).log_prob(x[:, None])
    return ((table * seen[:, None]).sum(-1) + weights.log()).logsumexp(1)""",
        """def log_likelihood(x, seen, weights, p):
    answers = torch.zeros(len(x))
    for n in range(len(x)):
        joint = torch.zeros(len(weights))
        for k in range(len(weights)):
            q = torch.where(x[n] == 1, p[k], 1 - p[k])
            joint[k] = weights[k].log() + q[seen[n] == 1].log().sum()
        answers[n] = joint.logsumexp(0)
    return answers""",
        """import numpy as np
from scipy.special import logsumexp
def log_likelihood(x, seen, weights, p):
    x, seen, w, p = (np.asarray(a, dtype=np.float64) for a in (x, seen, weights, p))
    joint = (x * seen) @ np.log(p).T + ((1 - x) * seen) @ np.log1p(-p).T
    return logsumexp(joint, axis=1, b=w)""",
        """def log_likelihood(x, seen, weights, p):
    def one(row, mask):
        log_p = torch.special.xlogy(row, p) + torch.special.xlogy(1 - row, 1 - p)
        return torch.logsumexp((log_p * mask).sum(1) + weights.log(), 0)
    return torch.func.vmap(one)(x, seen)""",
    ),
)

# ---------------------------------------------------------------- Poisson


def poisson_inputs(rng, case):
    n, d, k, weights, seen = common(rng, case)
    rate = rng.uniform(0.5, 8, size=(k, d))
    x = rng.poisson(rate[rng.integers(k, size=n)]).astype(np.float64)
    return {"x": np.where(seen == 1, x, 77.0), "seen": seen, "weights": weights, "rate": rate}


def poisson_terms(x, rate):
    return x[:, None] * np.log(rate) - rate - gammaln(x[:, None] + 1)


def poisson_independent(x, seen, weights, rate):
    table = poisson.logpmf(x[:, None], rate)
    kept = np.where(seen[:, None] == 1, table, 0.0).sum(-1) + np.log(weights)
    top = kept.max(1)
    return top + np.log(np.exp(kept - top[:, None]).sum(1))


POISSON = Variant(
    "poisson",
    """## 3. Missing counts

In a table of counts, some entries are missing. If the missing values do not influence which entries are missing, they
are simply summed out: log P(x_seen) is the logarithm of the sum over k of P(k) · Π_(i seen) P(x_i | k).

Component k of a Poisson mixture has weight P(k) = `weights[k]`, and under component k, count i has the rate
θ = `rate[k, i]`, so that P(x_i | k) = θ^x_i · e^(−θ) / x_i!. Write the function
`log_likelihood(x, seen, weights, rate)`. Its arguments are counts x and `seen` (N, d), weights (K,) and `rate` (K, d),
where `seen` is 1 for a count that was taken and 0 for one that is missing. The function returns log P(x_seen) in nats
for each row, of shape (N,). Where `seen` is 0, x contains a meaningless number. For a row in which nothing was counted,
the answer is 0. Your function must also be correct for thousands of columns, where every P(x_seen | k) underflows.""",
    '''def log_likelihood(x, seen, weights, rate):
    """Return log P(x_seen) in nats, (N,), for counts x and seen (N, d), weights (K,) and rate (K, d)."""
    raise NotImplementedError''',
    '''def log_likelihood(x, seen, weights, rate):
    """Return log P(x_seen) in nats, (N,), for counts x and seen (N, d), weights (K,) and rate (K, d)."""
    terms = x[:, None] * rate.log() - rate - torch.lgamma(x[:, None] + 1)  # (N, K, d)
    joint = (terms * seen[:, None]).sum(-1) + weights.log()  # (N, K)
    return torch.logsumexp(joint, dim=1)''',
    poisson_inputs,
    likelihood(poisson_terms),
    (
        *mistakes(poisson_terms),
        Mistake(
            "missing counts are counted as 0: leave out their terms.",
            lambda x, seen, weights, rate: logsumexp(
                poisson_terms(x * seen, rate).sum(-1) + np.log(weights), axis=1
            ),
            0.3,
        ),
        Mistake(
            "−log x! is missing: it is part of log P(x | k).",
            lambda x, seen, weights, rate: (
                likelihood(poisson_terms)(x, seen, weights, rate=rate)
                + (gammaln(x + 1) * seen).sum(1)
            ),
            0.6,
        ),
    ),
    TOLERANCE,
    independent=poisson_independent,
    styles=(
        """def log_likelihood(x, seen, weights, rate):
    table = torch.distributions.Poisson(rate).log_prob(x[:, None])
    return ((table * seen[:, None]).sum(-1) + weights.log()).logsumexp(1)""",
        """def log_likelihood(x, seen, weights, rate):
    answers = []
    for n in range(len(x)):
        mask = seen[n].bool()
        row = x[n][mask]
        joint = [weights[k].log() + (row * rate[k][mask].log() - rate[k][mask] - torch.lgamma(row + 1)).sum()
                 for k in range(len(weights))]
        answers.append(torch.stack(joint).logsumexp(0))
    return torch.stack(answers)""",
        """import numpy as np
from scipy import stats
from scipy.special import logsumexp
def log_likelihood(x, seen, weights, rate):
    x, seen, w, rate = (np.asarray(a, dtype=np.float64) for a in (x, seen, weights, rate))
    return logsumexp((stats.poisson.logpmf(x[:, None], rate) * seen[:, None]).sum(-1), axis=1, b=w)""",
        """def log_likelihood(x, seen, weights, rate):
    x, seen, weights, rate = x.double(), seen.double(), weights.double(), rate.double()
    joint = (x * seen) @ rate.log().T - seen @ rate.T + weights.log()
    own = (torch.lgamma(x + 1) * seen).sum(1)
    return torch.logsumexp(joint, 1) - own""",
    ),
)

QUESTION = Question("missing", "log_likelihood", 20, (GAUSSIAN, BERNOULLI, POISSON))
