"""Question 3: training objectives other than the plain bound.

Free bits: Kingma et al. 2016, "Improved variational inference with inverse autoregressive flow",
appendix C. Capacity: Burgess et al. 2018, "Understanding disentangling in β-VAE". Importance
weights: Burda et al. 2016, here with counts.
"""

import numpy as np
from scipy.special import gammaln, logsumexp
from scipy.stats import norm, poisson

from course_lib.grading.question import Mistake, Question, Tolerance, Variant


def sizes(case):
    """Numbers of images and of dimensions of the code."""
    return {"small": (5, 3), "large": (12, 6), "extreme": (7, 4)}[case]


def gaussian_kl(mu, logvar):
    """The KL to the standard normal for each image and dimension, (N, d)."""
    return 0.5 * (np.exp(logvar) - 1 - logvar + mu**2)


def kl_by_densities(mu, logvar):
    """The same as E[log q] − E[log p], by Gauss–Hermite quadrature.

    This is exact, because both logarithms are quadratic.
    """
    points, weights = np.polynomial.hermite_e.hermegauss(4)
    weights = weights / weights.sum()
    z = mu[..., None] + np.exp(logvar / 2)[..., None] * points  # (N, d, 4)
    log_q = norm.logpdf(points) - logvar[..., None] / 2
    return ((log_q - norm.logpdf(z)) * weights).sum(-1)


def underflowing_kl(mu, logvar):
    variance = np.exp(logvar)
    return 0.5 * (variance - 1 - np.log(variance) + mu**2)


def codes(rng, case):
    """Codes whose first dimensions carry much information and whose last ones carry little."""
    n, d = sizes(case)
    spread = np.linspace(2.0, 0.1, d)
    mu = rng.normal(size=(n, d)) * spread
    logvar = -spread * rng.uniform(0.6, 1.4, size=(n, d))
    if case == "extreme":
        logvar[:, 1] = rng.uniform(-1000, -800, size=n)  # e^(−800) underflows to 0
    return {"log_p": rng.normal(size=n) * 4 - 20, "mu": mu, "logvar": logvar}


# ---------------------------------------------------------------- free bits

LOSS = Tolerance(2e-4, 2e-5, "float32 means and sums of a few dozen terms")


def free_bits_inputs(rng, case):
    arguments = codes(rng, case)
    each = np.sort(gaussian_kl(arguments["mu"], arguments["logvar"]).mean(0))
    half = len(each) // 2
    between = 0.5 * (each[half - 1] + each[half])  # some KLs are below it
    return {**arguments, "floor": float(between)}


def free_bits(kl, log_p, mu, logvar, floor):
    return -log_p.mean() + np.maximum(kl(mu, logvar).mean(0), floor).sum()


def free_bits_wrong(change):
    """A mistake in the KL term alone, from the KLs (N, d) and the floor."""
    return lambda log_p, mu, logvar, floor: -log_p.mean() + change(gaussian_kl(mu, logvar), floor)


FREE_BITS = Variant(
    "free_bits",
    """## 3. Another objective: free bits

Early in training, the easiest way to lower the loss is to make the KL 0 and to ignore z. *Free bits* remove this
temptation. In each dimension j of the code, the KL, averaged over the images of the batch, counts as at least λ, the
floor, so nothing is gained by making it smaller than λ:

loss = −(1/N) Σ_n log P(x_n | z_n) + Σ_j max(λ, (1/N) Σ_n KL_nj),

where KL_nj is KL(q ‖ p) in dimension j, with the Gaussian q of image n and a standard normal p.

Write the function `objective(log_p, mu, logvar, floor)`. Its arguments are `log_p` (N,), which is log P(x_n | z_n), the
means `mu` and the logarithms of the *variances* `logvar`, both (N, d), and the number λ = `floor`. The function returns
the loss, one number in nats. Your function must also be correct for a `logvar` of about −1000.""",
    '''def objective(log_p, mu, logvar, floor):
    """Return the loss with free bits, one number in nats, for log_p (N,), mu and logvar (N, d) and a floor."""
    raise NotImplementedError''',
    '''def objective(log_p, mu, logvar, floor):
    """Return the loss with free bits, one number in nats, for log_p (N,), mu and logvar (N, d) and a floor."""
    kl = 0.5 * (logvar.exp() - 1 - logvar + mu**2)  # (N, d)
    per_dimension = kl.mean(0)  # (d,)
    return -log_p.mean() + per_dimension.clamp(min=floor).sum()''',
    free_bits_inputs,
    lambda log_p, mu, logvar, floor: free_bits(gaussian_kl, log_p, mu, logvar, floor),
    (
        Mistake(
            "the floor is applied to each image: average the KL over the images first.",
            free_bits_wrong(lambda kl, floor: np.maximum(kl, floor).mean(0).sum()),
            0.6,
        ),
        Mistake(
            "the floor has no effect: apply it to the KL of each dimension, not to their sum.",
            free_bits_wrong(lambda kl, floor: kl.mean(0).sum()),
            0.3,
        ),
        Mistake(
            "the minimum of the KL and the floor is taken: it should be the maximum.",
            free_bits_wrong(lambda kl, floor: np.minimum(kl.mean(0), floor).sum()),
            0.4,
        ),
        Mistake(
            "the KL is averaged over the dimensions: the KLs of the dimensions add up.",
            free_bits_wrong(lambda kl, floor: np.maximum(kl.mean(0), floor).mean()),
            0.6,
        ),
        Mistake(
            "it underflows: you compute the variance and then take its logarithm. "
            "`logvar` already is that logarithm.",
            lambda log_p, mu, logvar, floor: free_bits(underflowing_kl, log_p, mu, logvar, floor),
            0.7,
        ),
        Mistake(
            "only the part above the floor is counted: use max(λ, KL), not max(0, KL − λ).",
            free_bits_wrong(lambda kl, floor: np.maximum(kl.mean(0) - floor, 0).sum()),
            0.6,
        ),
        Mistake(
            "the sign is wrong: a loss is minimized.",
            lambda log_p, mu, logvar, floor: -free_bits(gaussian_kl, log_p, mu, logvar, floor),
            0.7,
        ),
        Mistake(
            "`logvar` is treated as the logarithm of the standard deviation: "
            "it is the logarithm of the variance.",
            lambda log_p, mu, logvar, floor: free_bits(gaussian_kl, log_p, mu, 2 * logvar, floor),
            0.5,
        ),
        Mistake(
            "the loss is summed over the images: it should be the mean.",
            lambda log_p, mu, logvar, floor: (
                len(mu) * free_bits(gaussian_kl, log_p, mu, logvar, floor)
            ),
            0.7,
        ),
    ),
    LOSS,
    independent=lambda log_p, mu, logvar, floor: (
        sum(max(floor, column.sum() / len(column)) for column in kl_by_densities(mu, logvar).T)
        - log_p.sum() / len(log_p)
    ),
    styles=(
        """def objective(log_p, mu, logvar, floor):
    price = 0.0
    for j in range(mu.shape[1]):
        total = 0.0
        for n in range(mu.shape[0]):
            total += 0.5 * (math.exp(logvar[n, j]) + float(mu[n, j]) ** 2 - 1 - float(logvar[n, j]))
        price += max(floor, total / len(mu))
    return price - float(log_p.mean())""",
        """import numpy as np
def objective(log_p, mu, logvar, floor):
    m, v = np.asarray(mu, dtype=np.float64), np.asarray(logvar, dtype=np.float64)
    kl = -0.5 * (1 + v - m**2 - np.exp(v))
    return np.maximum(kl.mean(axis=0), floor).sum() - np.mean(np.asarray(log_p, dtype=np.float64))""",
        """def objective(log_p, mu, logvar, floor):
    q = torch.distributions.Normal(mu.double(), torch.exp(0.5 * logvar.double()))
    cross = 0.5 * (q.mean**2 + q.stddev**2 + math.log(2 * math.pi))
    entropy = 0.5 * (math.log(2 * math.pi) + 1 + logvar.double())
    kl = torch.einsum("nd->d", cross - entropy) / len(mu)
    return torch.where(kl > floor, kl, torch.full_like(kl, floor)).sum() - log_p.double().mean()""",
        """def objective(log_p, mu, logvar, floor):
    one = lambda m, v: 0.5 * (torch.expm1(v) - v + m.square())
    kl = torch.func.vmap(one)(mu, logvar).mean(dim=0)
    extra = torch.relu(kl - floor)
    return (floor + extra).sum() + torch.mean(-log_p)""",
    ),
)

# ---------------------------------------------------------------- capacity


def capacity_inputs(rng, case):
    arguments = codes(rng, case)
    totals = gaussian_kl(arguments["mu"], arguments["logvar"]).sum(1)
    mean, largest, smallest = totals.mean(), totals.max(), totals.min()
    # the KL is below its target in the small case, else above; single images are on either side
    end = largest if case == "small" else smallest
    return {
        **arguments,
        "gamma": float(rng.uniform(3, 9)),
        "capacity": float(mean + rng.uniform(0.3, 0.6) * (end - mean)),
    }


def with_capacity(kl, log_p, mu, logvar, gamma, capacity):
    return -log_p.mean() + gamma * abs(kl(mu, logvar).sum(1).mean() - capacity)


def capacity_wrong(change):
    """A mistake in the KL term alone, from the KLs (N, d), γ and the target."""
    return lambda log_p, mu, logvar, gamma, capacity: (
        -log_p.mean() + change(gaussian_kl(mu, logvar), gamma, capacity)
    )


CAPACITY = Variant(
    "capacity",
    """## 3. Another objective: a target for the KL

A large β makes the code tidy but poor in information. One way out is to specify how many nats the code should carry,
and to raise this capacity C slowly during training. The average KL of the batch is pulled towards C from both sides,
with a weight γ:

loss = −(1/N) Σ_n log P(x_n | z_n) + γ · |(1/N) Σ_n KL_n − C|,

where KL_n is KL(q ‖ p), summed over the dimensions, with the Gaussian q of image n and a standard normal p.

Write the function `objective(log_p, mu, logvar, gamma, capacity)`. Its arguments are `log_p` (N,), which is log
P(x_n | z_n), the means `mu` and the logarithms of the *variances* `logvar`, both (N, d), and the numbers γ = `gamma`
and C = `capacity`. The function returns the loss, one number in nats. Your function must also be correct for a `logvar`
of about −1000.""",
    '''def objective(log_p, mu, logvar, gamma, capacity):
    """Return the loss with a target for the KL, one number, for log_p (N,), mu and logvar (N, d), γ and C."""
    raise NotImplementedError''',
    '''def objective(log_p, mu, logvar, gamma, capacity):
    """Return the loss with a target for the KL, one number, for log_p (N,), mu and logvar (N, d), γ and C."""
    kl = 0.5 * (logvar.exp() - 1 - logvar + mu**2).sum(1)  # (N,)
    return -log_p.mean() + gamma * (kl.mean() - capacity).abs()''',
    capacity_inputs,
    lambda log_p, mu, logvar, gamma, capacity: with_capacity(
        gaussian_kl, log_p, mu, logvar, gamma, capacity
    ),
    (
        Mistake(
            "the difference from C is computed for each image: "
            "average the KL over the images first.",
            capacity_wrong(lambda kl, gamma, c: gamma * np.abs(kl.sum(1) - c).mean()),
            0.6,
        ),
        Mistake(
            "a KL below the target costs nothing: it should be pulled up as well.",
            capacity_wrong(lambda kl, gamma, c: gamma * max(kl.sum(1).mean() - c, 0)),
            0.5,
        ),
        Mistake(
            "the absolute value is missing: a KL below the target must cost something.",
            capacity_wrong(lambda kl, gamma, c: gamma * (kl.sum(1).mean() - c)),
            0.5,
        ),
        Mistake(
            "the difference from C is squared: take its absolute value.",
            capacity_wrong(lambda kl, gamma, c: gamma * (kl.sum(1).mean() - c) ** 2),
            0.5,
        ),
        Mistake(
            "the weight γ is missing.",
            capacity_wrong(lambda kl, gamma, c: abs(kl.sum(1).mean() - c)),
            0.5,
        ),
        Mistake(
            "the KL is averaged over the dimensions: the KLs of the dimensions add up.",
            capacity_wrong(lambda kl, gamma, c: gamma * abs(kl.mean() - c)),
            0.6,
        ),
        Mistake(
            "it underflows: you compute the variance and then take its logarithm. "
            "`logvar` already is that logarithm.",
            lambda log_p, mu, logvar, gamma, capacity: with_capacity(
                underflowing_kl, log_p, mu, logvar, gamma, capacity
            ),
            0.7,
        ),
        Mistake(
            "the target is not used: this is a β-VAE.",
            capacity_wrong(lambda kl, gamma, c: gamma * kl.sum(1).mean()),
            0.3,
        ),
        Mistake(
            "each dimension has its own target, C/d: "
            "only the sum over the dimensions has a target, C.",
            capacity_wrong(lambda kl, gamma, c: gamma * np.abs(kl.mean(0) - c / kl.shape[1]).sum()),
            0.5,
        ),
        Mistake(
            "`logvar` is treated as the logarithm of the standard deviation: "
            "it is the logarithm of the variance.",
            lambda log_p, mu, logvar, gamma, capacity: with_capacity(
                gaussian_kl, log_p, mu, 2 * logvar, gamma, capacity
            ),
            0.5,
        ),
        Mistake(
            "log P(x | z) has the wrong sign: the loss contains −log P(x | z).",
            lambda log_p, mu, logvar, gamma, capacity: (
                with_capacity(gaussian_kl, log_p, mu, logvar, gamma, capacity) + 2 * log_p.mean()
            ),
            0.6,
        ),
    ),
    LOSS,
    independent=lambda log_p, mu, logvar, gamma, capacity: (
        gamma * np.sqrt((kl_by_densities(mu, logvar).sum() / len(mu) - capacity) ** 2)
        - log_p.sum() / len(log_p)
    ),
    styles=(
        """def objective(log_p, mu, logvar, gamma, capacity):
    total = 0.0
    for m, v in zip(mu, logvar):
        for j in range(len(m)):
            total += 0.5 * (math.exp(v[j]) + float(m[j]) ** 2 - 1 - float(v[j]))
    return gamma * abs(total / len(mu) - capacity) - float(log_p.mean())""",
        """import numpy as np
def objective(log_p, mu, logvar, gamma, capacity):
    m, v = np.asarray(mu, dtype=np.float64), np.asarray(logvar, dtype=np.float64)
    kl = -0.5 * np.sum(1 + v - m**2 - np.exp(v), axis=1)
    return gamma * np.abs(np.mean(kl) - capacity) - np.mean(np.asarray(log_p, dtype=np.float64))""",
        """def objective(log_p, mu, logvar, gamma, capacity):
    m, v = mu.double(), logvar.double()
    cross = 0.5 * torch.einsum("nd,nd->", m, m) + 0.5 * v.exp().sum()
    kl = (cross - 0.5 * (1 + v).sum()) / len(m)
    away = torch.maximum(kl - capacity, capacity - kl)
    return away * gamma + log_p.double().neg().mean()""",
        """def objective(log_p, mu, logvar, gamma, capacity):
    one = lambda m, v: 0.5 * (torch.expm1(v) - v + m.square()).sum()
    kl = torch.func.vmap(one)(mu, logvar)
    return torch.nn.functional.l1_loss(kl.mean(), torch.tensor(capacity)) * gamma - log_p.mean()""",
    ),
)

# ---------------------------------------------------------------- importance weights and counts


def importance_inputs(rng, case):
    shapes = {"small": (3, 4, 5, 2), "large": (8, 6, 9, 3), "extreme": (5, 3, 900, 2)}
    k, n, pixels, d = shapes[case]
    mu, logvar = rng.normal(size=(n, d)), rng.normal(size=(n, d)) * 0.5 - 1
    z = mu + np.exp(logvar / 2) * rng.normal(size=(k, n, d))
    log_rate = rng.normal(size=(n, pixels)) * 0.5 + 1 + 0.1 * rng.normal(size=(k, n, pixels))
    x = rng.poisson(np.exp(log_rate.mean(0))).astype(np.float64)
    return {"x": x, "log_rate": log_rate, "z": z, "mu": mu, "logvar": logvar}


def poisson_terms(x, log_rate):
    return (x * log_rate - np.exp(log_rate) - gammaln(x + 1)).sum(-1)  # (K, N)


def log_prior(z):
    return -0.5 * (z**2 + np.log(2 * np.pi)).sum(-1)


def log_posterior(z, mu, logvar):
    return -0.5 * ((z - mu) ** 2 * np.exp(-logvar) + logvar + np.log(2 * np.pi)).sum(-1)


def log_weights(x, log_rate, z, mu, logvar):
    return poisson_terms(x, log_rate) + log_prior(z) - log_posterior(z, mu, logvar)


def log_mean_exp(log_w):
    return logsumexp(log_w, axis=0) - np.log(len(log_w))


def importance_wrong(change):
    """A mistake in one part of the weights, added to their logarithms."""

    def function(x, log_rate, z, mu, logvar):
        log_w = log_weights(x, log_rate, z, mu, logvar)
        return log_mean_exp(log_w + change(x, log_rate, z, mu, logvar))

    return function


def importance_independent(x, log_rate, z, mu, logvar):
    log_w = poisson.logpmf(x, np.exp(log_rate)).sum(-1) + norm.logpdf(z).sum(-1)
    log_w = log_w - norm.logpdf(z, mu, np.exp(logvar / 2)).sum(-1)
    top = log_w.max(0)
    return top + np.log(np.exp(log_w - top).mean(0))


IMPORTANCE = Variant(
    "importance",
    """## 3. Another objective: importance weights, for counts

With K draws z_1 … z_K from q(z | x) for each x, the bound

L_K = log (1/K) Σ_k w_k, where w_k = P(z_k) P(x | z_k) / q(z_k | x),

is on average closer to log P(x) than the plain one. Here, x contains counts, not pixels: given z, its D counts are
independent Poisson variables, P(x_i | z) = θ_i^x_i · e^(−θ_i) / x_i!, and the decoder gives log θ_i. The prior is a
standard normal, and q is a Gaussian with independent dimensions.

Write the function `objective(x, log_rate, z, mu, logvar)`. Its arguments are counts `x` (N, D), the decoder's log
θ = `log_rate` (K, N, D) at the draws `z` (K, N, d), and the means `mu` and the logarithms of the *variances* `logvar`
of q, both (N, d). The function returns L_K in nats for each x, of shape (N,). Your function must also be correct for
about a thousand counts, where log w is around −2000.""",
    '''def objective(x, log_rate, z, mu, logvar):
    """Return L_K in nats, (N,), for x (N, D), log_rate (K, N, D), draws z (K, N, d), mu and logvar (N, d)."""
    raise NotImplementedError''',
    '''def objective(x, log_rate, z, mu, logvar):
    """Return L_K in nats, (N,), for x (N, D), log_rate (K, N, D), draws z (K, N, d), mu and logvar (N, d)."""
    log_p_x = (x * log_rate - log_rate.exp() - torch.lgamma(x + 1)).sum(-1)  # (K, N)
    log_p_z = -0.5 * (z**2).sum(-1)  # the terms with log 2π in the prior and in q cancel
    log_q = -0.5 * ((z - mu) ** 2 * torch.exp(-logvar) + logvar).sum(-1)
    log_w = log_p_x + log_p_z - log_q
    return torch.logsumexp(log_w, dim=0) - math.log(len(z))''',
    importance_inputs,
    lambda x, log_rate, z, mu, logvar: log_mean_exp(log_weights(x, log_rate, z, mu, logvar)),
    (
        Mistake(
            "this is the mean of log w, the plain bound averaged over K draws: "
            "take the logarithm of the mean of w.",
            lambda x, log_rate, z, mu, logvar: log_weights(x, log_rate, z, mu, logvar).mean(0),
            0.4,
        ),
        Mistake(
            "the prior and q are swapped: w is P(z) P(x | z) divided by q(z | x).",
            importance_wrong(
                lambda x, log_rate, z, mu, logvar: 2 * (log_posterior(z, mu, logvar) - log_prior(z))
            ),
            0.4,
        ),
        Mistake(
            "the KL in closed form is subtracted: "
            "inside the logarithm each draw needs its own P(z) / q(z | x).",
            lambda x, log_rate, z, mu, logvar: (
                log_mean_exp(poisson_terms(x, log_rate)) - gaussian_kl(mu, logvar).sum(1)
            ),
            0.4,
        ),
        Mistake(
            "1/K is missing: average the weights over the K draws instead of summing them.",
            importance_wrong(lambda x, log_rate, z, mu, logvar: np.log(len(z))),
            0.6,
        ),
        Mistake(
            "it underflows: you compute the weights themselves before taking the logarithm. "
            "Use `torch.logsumexp`.",
            lambda x, log_rate, z, mu, logvar: np.log(
                np.exp(log_weights(x, log_rate, z, mu, logvar)).mean(0)
            ),
            0.6,
        ),
        Mistake(
            "−log x! is missing: it is part of log P(x | z).",
            importance_wrong(lambda x, log_rate, z, mu, logvar: gammaln(x + 1).sum(-1)),
            0.6,
        ),
        Mistake(
            "the prior P(z) is missing from the weights.",
            importance_wrong(lambda x, log_rate, z, mu, logvar: -log_prior(z)),
            0.4,
        ),
        Mistake(
            "q(z | x) is missing from the weights.",
            importance_wrong(lambda x, log_rate, z, mu, logvar: log_posterior(z, mu, logvar)),
            0.4,
        ),
        Mistake(
            "`logvar` is treated as the logarithm of the standard deviation: "
            "it is the logarithm of the variance.",
            importance_wrong(
                lambda x, log_rate, z, mu, logvar: (
                    log_posterior(z, mu, logvar) - log_posterior(z, mu, 2 * logvar)
                )
            ),
            0.5,
        ),
        Mistake(
            "the normalization of q is missing: log q contains −½ logvar in each dimension.",
            importance_wrong(lambda x, log_rate, z, mu, logvar: -0.5 * logvar.sum(-1)),
            0.5,
        ),
        Mistake(
            "the term −θ is missing from log P(x | z): the probability contains e^(−θ).",
            importance_wrong(lambda x, log_rate, z, mu, logvar: np.exp(log_rate).sum(-1)),
            0.5,
        ),
        Mistake(
            "log P(x | z) is averaged over the counts: "
            "for independent counts the logarithms add up.",
            importance_wrong(
                lambda x, log_rate, z, mu, logvar: (1 / x.shape[1] - 1) * poisson_terms(x, log_rate)
            ),
            0.5,
        ),
        Mistake(
            "the result is averaged over the rows: return one number for each x.",
            lambda x, log_rate, z, mu, logvar: log_mean_exp(
                log_weights(x, log_rate, z, mu, logvar)
            ).mean(),
            0.7,
        ),
    ),
    Tolerance(2e-4, 2e-5, "float32 sums of a thousand terms are accurate to a few parts in 10⁵"),
    independent=importance_independent,
    styles=(
        """def objective(x, log_rate, z, mu, logvar):
    d = torch.distributions
    log_w = d.Poisson(log_rate.exp()).log_prob(x).sum(-1)
    log_w = log_w + d.Normal(0.0, 1.0).log_prob(z).sum(-1) - d.Normal(mu, (0.5 * logvar).exp()).log_prob(z).sum(-1)
    return log_w.logsumexp(0) - math.log(log_w.shape[0])""",
        """def objective(x, log_rate, z, mu, logvar):
    K, N, D = log_rate.shape
    answers = []
    for n in range(N):
        log_w = []
        for k in range(K):
            value = (x[n] * log_rate[k, n] - log_rate[k, n].exp() - torch.lgamma(x[n] + 1)).sum()
            value = value - 0.5 * (z[k, n] ** 2).sum()
            value = value + 0.5 * ((z[k, n] - mu[n]) ** 2 / logvar[n].exp() + logvar[n]).sum()
            log_w.append(value)
        top = max(log_w)
        answers.append(top + torch.stack([(v - top).exp() for v in log_w]).mean().log())
    return torch.stack(answers)""",
        """import numpy as np
from scipy import stats
from scipy.special import logsumexp
def objective(x, log_rate, z, mu, logvar):
    x, log_rate, z, mu, logvar = (np.asarray(t, dtype=np.float64) for t in (x, log_rate, z, mu, logvar))
    log_w = stats.poisson.logpmf(x, np.exp(log_rate)).sum(-1)
    log_w += stats.norm.logpdf(z).sum(-1) - stats.norm.logpdf(z, mu, np.exp(logvar / 2)).sum(-1)
    return logsumexp(log_w, axis=0, b=1 / len(log_w))""",
        """def objective(x, log_rate, z, mu, logvar):
    def one(rate, code):  # one draw for all rows
        log_p = -torch.nn.functional.poisson_nll_loss(rate, x, log_input=True, full=False, reduction="none").sum(1)
        eps = (code - mu) * torch.exp(-logvar / 2)
        return log_p - 0.5 * torch.einsum("nd,nd->n", code, code) + 0.5 * (eps * eps + logvar).sum(1)
    log_w = torch.func.vmap(one)(log_rate.double(), z.double())
    return torch.logsumexp(log_w, 0) - math.log(len(log_w)) - torch.lgamma(x.double() + 1).sum(1)""",
    ),
)

QUESTION = Question("objective", "objective", 15, (FREE_BITS, CAPACITY, IMPORTANCE))
