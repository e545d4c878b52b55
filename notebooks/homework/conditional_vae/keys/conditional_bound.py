"""Question 2: the conditional bound with a prior that depends on the label.

log P(x|y) ≥ E_q[log P(x|z, y)] − KL(q(z|x, y) ‖ P(z|y)), where P(z|y) has a location and a width
for each label. Source: Sohn, Lee & Yan 2015, whose prior network computes P(z|y). The KL between
two Laplace distributions is worked out in `laplace_kl`.
"""

from itertools import pairwise

import numpy as np
from scipy.integrate import quad
from scipy.special import expit, gammaln, log_softmax, logsumexp, softmax
from scipy.stats import poisson

from course_lib.grading.question import Mistake, Question, Tolerance, Variant

TOLERANCE = Tolerance(
    2e-4, 2e-5, "float32 sums of a few dozen terms; the largest number decides the rounding"
)


def sizes(case):
    """Images, pixels, dimensions of the code (or number of codes), labels."""
    return {"small": (4, 5, 2, 3), "large": (9, 12, 4, 6), "extreme": (6, 8, 3, 5)}[case]


# ---------------------------------------------------------------- Gaussian codes, Bernoulli pixels


def gaussian_inputs(rng, case):
    n, pixels, d, classes = sizes(case)
    logits = rng.normal(size=(n, pixels)) * 2
    spread = 1.0
    # pixels about which the decoder is certain, and very narrow and very wide codes
    if case == "extreme":
        logits = rng.choice([-2000.0, 2000.0], size=(n, pixels))
        spread = 4.0
    return {
        "x": rng.integers(0, 2, size=(n, pixels)).astype(np.float64),
        "y": rng.integers(0, classes, size=n),
        "logits": logits,
        "mu": rng.normal(size=(n, d)) * spread,
        "logvar": rng.normal(size=(n, d)) * spread - 1,
        "prior_mu": rng.normal(size=(classes, d)) * spread,
        "prior_logvar": rng.normal(size=(classes, d)) * spread,
    }


def pixels_log_p(x, logits):
    """log P(x_i|z, y) of Bernoulli pixels, (N, D)."""
    return x * logits - np.logaddexp(0, logits)


def gaussian_kl(mu, logvar, m, prior_logvar):
    """KL(N(mu, e^logvar) ‖ N(m, e^prior_logvar)), one number per dimension."""
    ratio = (np.exp(logvar) + (mu - m) ** 2) / np.exp(prior_logvar)
    return 0.5 * (prior_logvar - logvar + ratio - 1)


def gaussian_bound(kl=gaussian_kl, log_p=pixels_log_p, over_pixels=np.sum, sign=-1):
    """The answer, or the result with another KL or another likelihood."""

    def function(x, y, logits, mu, logvar, prior_mu, prior_logvar):
        loss = kl(mu, logvar, prior_mu[y], prior_logvar[y]).sum(1)
        return over_pixels(log_p(x, logits), axis=1) + sign * loss

    return function


gaussian_reference = gaussian_bound()


def gaussian_independent(x, y, logits, mu, logvar, prior_mu, prior_logvar):
    import torch  # needed to check the key, but not for grading

    x, logits, mu, logvar = (torch.tensor(a) for a in (x, logits, mu, logvar))
    m, s = torch.tensor(prior_mu[y]), torch.tensor(np.exp(prior_logvar[y] / 2))
    normal, independent = torch.distributions.Normal, torch.distributions.Independent
    q, prior = independent(normal(mu, torch.exp(logvar / 2)), 1), independent(normal(m, s), 1)
    pixels = independent(torch.distributions.Bernoulli(logits=logits), 1)
    return (pixels.log_prob(x) - torch.distributions.kl_divergence(q, prior)).numpy()


def over_batch(table, axis):
    """Mistake: the sum over the pixels of all images."""
    return table.sum()


def mean_kl(kl):
    """Mistake: the mean over the dimensions of the code, written so that the sum gives it."""
    return lambda mu, *others: kl(mu, *others) / mu.shape[1]


def whole(reference, change):
    """Mistake: the right numbers are changed afterwards."""
    return lambda *arguments, **named: change(reference(*arguments, **named))


def afterwards(reference):
    """Mistakes common to all variants: a loss instead of a bound, and the mean over the images."""
    return (
        Mistake(
            "the sign is flipped: return the bound, not a loss.",
            whole(reference, lambda v: -v),
            0.7,
        ),
        Mistake(
            "the mean over the images is taken: return one number per image.",
            whole(reference, np.mean),
            0.7,
        ),
    )


GAUSSIAN = Variant(
    "gaussian",
    """## 2. The bound with a prior for each label

So far, the prior of the code has been N(0, I) for every label. Now each label gets its own prior, with learned
parameters: P(z|y) is a Gaussian with mean `prior_mu[y]` and log-variance `prior_logvar[y]`, diagonal like q(z|x, y).
The derivation in *The evidence lower bound* still holds, line by line:

log P(x|y) ≥ E_q[log P(x|z, y)] − KL(q(z|x, y) ‖ P(z|y)).

Derive the KL between two diagonal Gaussians with different means and variances.

Write the function `conditional_bound(x, y, logits, mu, logvar, prior_mu, prior_logvar)`. Its arguments are pixels x
(N, D), which are 0 or 1, labels y (N,), the decoder's `logits` (N, D) for one draw z per image, the mean `mu` and
log-variance `logvar` (N, d) of q(z|x, y), and the tables `prior_mu` and `prior_logvar` (C, d). The function returns the
bound for each image (N,), in nats, with the reconstruction term estimated from the one draw and the KL in closed form.
Your function must also be correct where logits are ±2000.""",
    '''def conditional_bound(x, y, logits, mu, logvar, prior_mu, prior_logvar):
    """x, logits (N, D), y (N,), mu, logvar (N, d), prior_mu, prior_logvar (C, d) -> the bound, (N,), in nats."""
    raise NotImplementedError''',
    '''def conditional_bound(x, y, logits, mu, logvar, prior_mu, prior_logvar):
    """x, logits (N, D), y (N,), mu, logvar (N, d), prior_mu, prior_logvar (C, d) -> the bound, (N,), in nats."""
    log_p = -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)  # (N,)
    m, log_v = prior_mu[y], prior_logvar[y]  # (N, d) each
    kl = 0.5 * (log_v - logvar + (logvar - log_v).exp() + (mu - m) ** 2 / log_v.exp() - 1).sum(1)
    return log_p - kl''',
    gaussian_inputs,
    gaussian_reference,
    (
        Mistake(
            "the logarithm of 0: σ of a logit of ±2000 is exactly 0 or 1. "
            "Compute log P(x|z, y) from the logits.",
            gaussian_bound(
                log_p=lambda x, logits: (
                    x * np.log(expit(logits)) + (1 - x) * np.log(1 - expit(logits))
                )
            ),
            0.6,
        ),
        Mistake(
            "the prior is N(0, I) for all labels: use the prior of the image's own label.",
            gaussian_bound(lambda mu, logvar, m, v: gaussian_kl(mu, logvar, 0, 0)),
            0.3,
        ),
        Mistake(
            "the KL is the wrong way round: q comes first.",
            gaussian_bound(lambda mu, logvar, m, v: gaussian_kl(m, v, mu, logvar)),
            0.4,
        ),
        Mistake(
            "e^logvar is treated as a standard deviation: it is the variance.",
            gaussian_bound(lambda mu, logvar, m, v: gaussian_kl(mu, 2 * logvar, m, 2 * v)),
            0.5,
        ),
        Mistake(
            "the KL is added: it is subtracted.",
            gaussian_bound(sign=1),
            0.5,
        ),
        Mistake(
            "the mean over the pixels is taken: "
            "for independent pixels the log-probabilities add up.",
            gaussian_bound(over_pixels=np.mean),
            0.4,
        ),
        Mistake(
            "the reconstruction term is summed over the whole batch: each image has its own.",
            gaussian_bound(over_pixels=over_batch),
            0.4,
        ),
        Mistake(
            "the KL is averaged over the dimensions: for independent dimensions the KLs add up.",
            gaussian_bound(mean_kl(gaussian_kl)),
            0.5,
        ),
        Mistake(
            "the factor ½ is missing in the KL.",
            gaussian_bound(lambda *a: 2 * gaussian_kl(*a)),
            0.5,
        ),
        Mistake(
            "the −1 of each dimension is missing in the KL: it must be 0 where q equals the prior.",
            gaussian_bound(lambda *a: gaussian_kl(*a) + 0.5),
            0.6,
        ),
        Mistake(
            "the squared distance between the means is divided by q's variance: "
            "divide it by the prior's.",
            gaussian_bound(
                lambda mu, logvar, m, v: (
                    0.5 * (v - logvar + np.exp(logvar - v) + (mu - m) ** 2 / np.exp(logvar) - 1)
                )
            ),
            0.5,
        ),
        Mistake(
            "the prior's variance is missing: each label has its own, which is not 1.",
            gaussian_bound(lambda mu, logvar, m, v: gaussian_kl(mu, logvar, m, 0)),
            0.4,
        ),
        Mistake(
            "the KL is missing: this is the reconstruction term alone.",
            gaussian_bound(lambda mu, *_: 0 * mu),
            0.2,
        ),
        Mistake(
            "the reconstruction term is a squared error: "
            "the pixels are 0 or 1, and their likelihood is Bernoulli.",
            gaussian_bound(log_p=lambda x, logits: -((x - expit(logits)) ** 2)),
            0.3,
        ),
        *afterwards(gaussian_reference),
    ),
    TOLERANCE,
    independent=gaussian_independent,
    styles=(
        """def conditional_bound(x, y, logits, mu, logvar, prior_mu, prior_logvar):
    q = torch.distributions.Normal(mu, (0.5 * logvar).exp())
    prior = torch.distributions.Normal(prior_mu[y], (0.5 * prior_logvar[y]).exp())
    pixels = torch.distributions.Bernoulli(logits=logits)
    return pixels.log_prob(x).sum(-1) - torch.distributions.kl_divergence(q, prior).sum(-1)""",
        """def conditional_bound(x, y, logits, mu, logvar, prior_mu, prior_logvar):
    result = []
    for n in range(len(x)):
        total = torch.where(x[n] == 1, F.logsigmoid(logits[n]), F.logsigmoid(-logits[n])).sum()
        for i in range(mu.shape[1]):
            m, v = prior_mu[y[n], i], prior_logvar[y[n], i].exp()
            total = total - 0.5 * (torch.log(v) - logvar[n, i])
            total = total - 0.5 * ((logvar[n, i].exp() + (mu[n, i] - m) ** 2) / v - 1)
        result.append(total)
    return torch.stack(result)""",
        """import numpy as np
def conditional_bound(x, y, logits, mu, logvar, prior_mu, prior_logvar):
    x, a, mu, lv, pm, plv = (np.asarray(t, dtype=np.float64) for t in (x, logits, mu, logvar, prior_mu, prior_logvar))
    pm, plv = pm[np.asarray(y)], plv[np.asarray(y)]
    log_p = (x * a - np.logaddexp(0, a)).sum(1)
    precision = np.exp(-plv)
    return log_p + 0.5 * (1 + lv - plv - np.exp(lv) * precision - (mu - pm) ** 2 * precision).sum(1)""",
        """def conditional_bound(x, y, logits, mu, logvar, prior_mu, prior_logvar):
    hot = F.one_hot(y, len(prior_mu)).double()
    m, s = hot @ prior_mu.double(), (hot @ prior_logvar.double() / 2).exp()
    mu, std, logits, x = mu.double(), (logvar.double() / 2).exp(), logits.double(), x.double()
    ratio = (std / s) ** 2
    kl = (ratio - ratio.log() - 1 + ((mu - m) / s) ** 2).sum(1) / 2
    cross_entropy = F.softplus(logits) - x * logits
    return -(cross_entropy.sum(1) + kl)""",
    ),
)

# ---------------------------------------------------------------- Laplace codes, Poisson pixels


def laplace_inputs(rng, case):
    n, pixels, d, classes = sizes(case)
    log_rate = rng.normal(size=(n, pixels))
    x = rng.poisson(np.exp(log_rate)).astype(np.float64)
    spread = 1.0
    if case == "extreme":  # pixels that are certainly dark, and very narrow and very wide codes
        dark = rng.uniform(size=(n, pixels)) < 0.5
        dark[:, 0] = True
        log_rate, x = np.where(dark, -2000.0, log_rate), np.where(dark, 0.0, x)
        spread = 2.0
    return {
        "x": x,
        "y": rng.integers(0, classes, size=n),
        "log_rate": log_rate,
        "mu": rng.normal(size=(n, d)) * spread,
        "log_scale": rng.normal(size=(n, d)) * 0.7 * spread - 0.5,
        "prior_mu": rng.normal(size=(classes, d)) * spread,
        "prior_log_scale": rng.normal(size=(classes, d)) * 0.7 * spread,
    }


def stirling(x):
    """What PyTorch's `poisson_nll_loss` adds with `full=True`.

    This is Stirling's approximation of log x! where x > 1, and 0 elsewhere.
    """
    many = np.maximum(x, 2)
    return np.where(x > 1, many * np.log(many) - many + 0.5 * np.log(2 * np.pi * many), 0)


def counts_log_p(x, log_rate):
    return x * log_rate - np.exp(log_rate) - gammaln(x + 1)


def laplace_kl(mu, log_scale, m, prior_log_scale):
    """KL(Laplace(mu, b) ‖ Laplace(m, s)) = log(s/b) − 1 + E_q|z − m| / s.

    In this formula, E_q|z − m| = |mu − m| + b·e^(−|mu − m|/b).
    """
    b, s, away = np.exp(log_scale), np.exp(prior_log_scale), np.abs(mu - m)
    return prior_log_scale - log_scale - 1 + (away + b * np.exp(-away / b)) / s


def laplace_bound(kl=laplace_kl, log_p=counts_log_p, over_pixels=np.sum, sign=-1):
    def function(x, y, log_rate, mu, log_scale, prior_mu, prior_log_scale):
        loss = kl(mu, log_scale, prior_mu[y], prior_log_scale[y]).sum(1)
        return over_pixels(log_p(x, log_rate), axis=1) + sign * loss

    return function


laplace_reference = laplace_bound()


def laplace_independent(x, y, log_rate, mu, log_scale, prior_mu, prior_log_scale):
    """The KL by quadrature, with z in units of q's scale, split where the integrand has a kink."""

    def kl(mu, b, m, s):
        def integrand(t):  # of q's density ½ e^(−|t|) with t = (z − mu)/b
            log_q = -np.log(2 * b) - abs(t)
            log_prior = -np.log(2 * s) - abs(mu + b * t - m) / s
            return 0.5 * np.exp(-abs(t)) * (log_q - log_prior)

        kinks = sorted({-60.0, 0.0, float(np.clip((m - mu) / b, -60, 60)), 60.0})
        return sum(
            quad(integrand, low, high, epsabs=1e-13, epsrel=1e-12, limit=200)[0]
            for low, high in pairwise(kinks)
        )

    rate = np.exp(log_rate)
    table = [poisson.logpmf(row, mean).sum() for row, mean in zip(x, rate)]
    losses = [
        sum(
            kl(*four)
            for four in zip(mu[n], np.exp(log_scale[n]), prior_mu[c], np.exp(prior_log_scale[c]))
        )
        for n, c in enumerate(y)
    ]
    return np.array(table) - np.array(losses)


LAPLACE = Variant(
    "laplace",
    """## 2. The bound with a prior for each label

In this question the codes are not Gaussian. In each dimension, q(z|x, y) is a Laplace distribution, with the density
e^(−|z − μ|/b) / (2b). The prior P(z|y) is a Laplace distribution as well, with a centre m and a scale s that depend on
the label. The dimensions are independent. The pixels are counts from a Poisson distribution with rate λ_i: P(x_i|z, y)
= λ_i^x_i · e^(−λ_i) / x_i!. As before,

log P(x|y) ≥ E_q[log P(x|z, y)] − KL(q(z|x, y) ‖ P(z|y)).

Derive KL(Laplace(μ, b) ‖ Laplace(m, s)) in one dimension. The only integral that you need is E_q|z − m|; start with
the case μ > m.

Write the function `conditional_bound(x, y, log_rate, mu, log_scale, prior_mu, prior_log_scale)`. Its arguments are
counts x (N, D), stored as floats, labels y (N,), the decoder's `log_rate` (N, D), which is log λ for one draw z per
image, `mu` and `log_scale` (N, d), which are μ and log b, and the tables `prior_mu` and `prior_log_scale` (C, d) of m
and log s. The function returns the bound for each image (N,), in nats, with the reconstruction term estimated from the
one draw and the KL in closed form. Your function must also be correct where a dark pixel has log λ = −2000.""",
    '''def conditional_bound(x, y, log_rate, mu, log_scale, prior_mu, prior_log_scale):
    """x, log_rate (N, D), y (N,), mu, log_scale (N, d), prior_mu, prior_log_scale (C, d) -> the bound, (N,), in nats."""
    raise NotImplementedError''',
    '''def conditional_bound(x, y, log_rate, mu, log_scale, prior_mu, prior_log_scale):
    """x, log_rate (N, D), y (N,), mu, log_scale (N, d), prior_mu, prior_log_scale (C, d) -> the bound, (N,), in nats."""
    log_p = (x * log_rate - log_rate.exp() - torch.lgamma(x + 1)).sum(1)  # (N,)
    b, s = log_scale.exp(), prior_log_scale[y].exp()  # (N, d) each
    away = (mu - prior_mu[y]).abs()
    mean_distance = away + b * torch.exp(-away / b)  # between z and the prior's centre, under q
    kl = (s.log() - b.log() - 1 + mean_distance / s).sum(1)
    return log_p - kl''',
    laplace_inputs,
    laplace_reference,
    (
        Mistake(
            "the logarithm of 0: λ underflows where log λ is −2000. "
            "Use log λ itself, not the logarithm of λ.",
            laplace_bound(log_p=lambda x, a: x * np.log(np.exp(a)) - np.exp(a) - gammaln(x + 1)),
            0.6,
        ),
        Mistake(
            "the prior is Laplace(0, 1) for all labels: use the prior of the image's own label.",
            laplace_bound(lambda mu, b, m, s: laplace_kl(mu, b, 0, 0)),
            0.3,
        ),
        Mistake(
            "the KL is the wrong way round: q comes first.",
            laplace_bound(lambda mu, b, m, s: laplace_kl(m, s, mu, b)),
            0.4,
        ),
        Mistake(
            "E_q|z − m| is replaced by |μ − m|: under q, z also varies around μ.",
            laplace_bound(lambda mu, b, m, s: s - b - 1 + np.abs(mu - m) / np.exp(s)),
            0.4,
        ),
        Mistake(
            "E_q|z − m| is replaced by |μ − m| + b, which is right only where μ = m.",
            laplace_bound(lambda mu, b, m, s: s - b - 1 + (np.abs(mu - m) + np.exp(b)) / np.exp(s)),
            0.5,
        ),
        Mistake(
            "this is the KL between two Gaussians: the codes here have Laplace distributions.",
            laplace_bound(lambda mu, b, m, s: gaussian_kl(mu, 2 * b, m, 2 * s)),
            0.3,
        ),
        Mistake(
            "the reconstruction term is summed over the whole batch: each image has its own.",
            laplace_bound(over_pixels=over_batch),
            0.4,
        ),
        Mistake(
            "the KL is averaged over the dimensions: for independent dimensions the KLs add up.",
            laplace_bound(mean_kl(laplace_kl)),
            0.5,
        ),
        Mistake(
            "log x! is approximated by Stirling's formula, which is not accurate enough: "
            "use the log-gamma function.",
            laplace_bound(log_p=lambda x, a: x * a - np.exp(a) - stirling(x)),
            0.7,
        ),
        Mistake(
            "the term log x! is missing in the likelihood of the counts.",
            laplace_bound(log_p=lambda x, a: x * a - np.exp(a)),
            0.6,
        ),
        Mistake(
            "the KL is added: it is subtracted.",
            laplace_bound(sign=1),
            0.5,
        ),
        Mistake(
            "the mean over the pixels is taken: "
            "for independent pixels the log-probabilities add up.",
            laplace_bound(over_pixels=np.mean),
            0.4,
        ),
        Mistake(
            "the −1 of each dimension is missing in the KL: it must be 0 where q equals the prior.",
            laplace_bound(lambda *a: laplace_kl(*a) + 1),
            0.6,
        ),
        Mistake(
            "the KL is missing: this is the reconstruction term alone.",
            laplace_bound(lambda mu, *_: 0 * mu),
            0.2,
        ),
        *afterwards(laplace_reference),
    ),
    TOLERANCE,
    independent=laplace_independent,
    styles=(
        """def conditional_bound(x, y, log_rate, mu, log_scale, prior_mu, prior_log_scale):
    q = torch.distributions.Laplace(mu, log_scale.exp())
    prior = torch.distributions.Laplace(prior_mu[y], prior_log_scale[y].exp())
    pixels = torch.distributions.Poisson(log_rate.exp())
    return pixels.log_prob(x).sum(-1) - torch.distributions.kl_divergence(q, prior).sum(-1)""",
        """def conditional_bound(x, y, log_rate, mu, log_scale, prior_mu, prior_log_scale):
    result = []
    for n in range(len(x)):
        total = -F.poisson_nll_loss(log_rate[n], x[n], log_input=True, reduction="sum")
        total = total - torch.lgamma(x[n] + 1).sum()
        for i in range(mu.shape[1]):
            b, s = log_scale[n, i].exp(), prior_log_scale[y[n], i].exp()
            away = abs(mu[n, i] - prior_mu[y[n], i])
            total = total - (torch.log(s / b) - 1 + away / s + b / s * torch.exp(-away / b))
        result.append(total)
    return torch.stack(result)""",
        """import numpy as np
from scipy.special import gammaln
def conditional_bound(x, y, log_rate, mu, log_scale, prior_mu, prior_log_scale):
    x, a, mu, lb, m, ls = (np.asarray(t, dtype=np.float64) for t in (x, log_rate, mu, log_scale, prior_mu, prior_log_scale))
    m, ls = m[np.asarray(y)], ls[np.asarray(y)]
    away = np.abs(mu - m)
    entropy = (1 + np.log(2) + lb).sum(1)
    cross = (np.log(2) + ls + (away + np.exp(lb - away * np.exp(-lb))) * np.exp(-ls)).sum(1)
    return (x * a - np.exp(a) - gammaln(x + 1)).sum(1) + entropy - cross""",
        """from scipy import stats
import numpy as np
def conditional_bound(x, y, log_rate, mu, log_scale, prior_mu, prior_log_scale):
    log_p = stats.poisson.logpmf(x.double().numpy(), np.exp(log_rate.double().numpy())).sum(1)
    mu, lb = mu.double(), log_scale.double()
    m, ls = prior_mu.double().index_select(0, y), prior_log_scale.double().index_select(0, y)
    t = (mu - m).abs() / lb.exp()
    kl = ls - lb - 1 + (lb - ls).exp() * (t + torch.exp(-t))
    return torch.tensor(log_p) - kl.sum(1)""",
    ),
)

# ---------------------------------------------------------------- a code that is one of K values


def codes_inputs(rng, case):
    n, _, k, classes = sizes(case)
    k += 2
    q_logits, log_px = rng.normal(size=(n, k)), rng.normal(size=(n, k)) * 2 - 9
    if case == "extreme":  # an encoder that is certain, and images of many pixels
        q_logits = q_logits * 2
        q_logits[:, 0] -= 3000.0
        log_px = log_px * 3 - 2000
    return {
        "log_px": log_px,
        "y": rng.integers(0, classes, size=n),
        "q_logits": q_logits,
        "prior_logits": rng.normal(size=(classes, k)),
    }


def codes_terms(log_px, y, q_logits, prior_logits):
    """log P(x|k, y), log P(k|y) and log q(k|x, y), (N, K) each."""
    return log_px, log_softmax(prior_logits, axis=1)[y], log_softmax(q_logits, axis=1)


def codes_bound(combine):
    """The answer if the three terms are combined in another way."""
    return lambda log_px, y, q_logits, prior_logits: combine(
        *codes_terms(log_px, y, q_logits, prior_logits)
    )


def at_most_probable(log_p, prior, q):
    """Mistake: the term of q's most probable style instead of the mean of all terms."""
    best = q.argmax(1)[:, None]
    return np.take_along_axis(log_p + prior - q, best, axis=1)[:, 0]


codes_reference = codes_bound(lambda log_p, prior, q: (np.exp(q) * (log_p + prior - q)).sum(1))


def codes_independent(log_px, y, q_logits, prior_logits):
    """log P(x|y) − KL(q(k|x, y) ‖ P(k|x, y)): the bound in its other form."""
    import torch  # needed to check the key, but not for grading

    prior = torch.distributions.Categorical(logits=torch.tensor(prior_logits)[torch.tensor(y)])
    joint = torch.tensor(log_px) + prior.logits  # (N, K)
    q = torch.distributions.Categorical(logits=torch.tensor(q_logits))
    posterior = torch.distributions.Categorical(logits=joint)
    return (joint.logsumexp(1) - torch.distributions.kl_divergence(q, posterior)).numpy()


CODES = Variant(
    "codes",
    """## 2. The bound with a prior for each label

Instead of a vector, let the code be one of K values, k = 1, …, K: a *style* picked from a list. Each label has its own
prior over the styles: P(k|y) is the softmax of row y of `prior_logits`. The encoder's q(k|x, y) is the softmax of the
image's row of `q_logits`. There is no need to draw k, because the mean over q is a sum of K terms:

log P(x|y) ≥ Σ_k q(k|x, y) · [ log P(x|k, y) + log P(k|y) − log q(k|x, y) ].

Write the function `conditional_bound(log_px, y, q_logits, prior_logits)`. Its arguments are the table `log_px` (N, K)
of log P(x|k, y), each image with its own label, labels y (N,), the encoder's `q_logits` (N, K) and `prior_logits`
(C, K). The function returns the bound for each image (N,), in nats. Your function must also be correct where q(k|x, y)
underflows to 0. What does q·log q tend to there?""",
    '''def conditional_bound(log_px, y, q_logits, prior_logits):
    """log P(x|k, y) (N, K), y (N,), q_logits (N, K), prior_logits (C, K) -> the bound, (N,), in nats."""
    raise NotImplementedError''',
    '''def conditional_bound(log_px, y, q_logits, prior_logits):
    """log P(x|k, y) (N, K), y (N,), q_logits (N, K), prior_logits (C, K) -> the bound, (N,), in nats."""
    log_q = torch.log_softmax(q_logits, dim=1)  # (N, K)
    log_prior = torch.log_softmax(prior_logits, dim=1)[y]  # (N, K)
    return (log_q.exp() * (log_px + log_prior - log_q)).sum(1)''',
    codes_inputs,
    codes_reference,
    (
        Mistake(
            "0 times the logarithm of 0: q underflows, and its logarithm is −∞. "
            "Get log q from a log-softmax.",
            codes_bound(
                lambda log_p, prior, q: (np.exp(q) * (log_p + prior - np.log(np.exp(q)))).sum(1)
            ),
            0.6,
        ),
        Mistake(
            "all styles have the prior 1/K: use the prior of the image's own label.",
            codes_bound(
                lambda log_p, prior, q: (np.exp(q) * (log_p - np.log(q.shape[1]) - q)).sum(1)
            ),
            0.3,
        ),
        Mistake(
            "the prior is missing: log P(k|y) belongs inside the sum.",
            codes_bound(lambda log_p, prior, q: (np.exp(q) * (log_p - q)).sum(1)),
            0.4,
        ),
        Mistake(
            "log q is missing: without it the bound is too low by q's entropy.",
            codes_bound(lambda log_p, prior, q: (np.exp(q) * (log_p + prior)).sum(1)),
            0.4,
        ),
        Mistake(
            "log q is added: it is subtracted.",
            codes_bound(lambda log_p, prior, q: (np.exp(q) * (log_p + prior + q)).sum(1)),
            0.5,
        ),
        Mistake(
            "the prior's logits are used as log-probabilities: normalize them with a log-softmax.",
            lambda log_px, y, q_logits, prior_logits: (
                softmax(q_logits, axis=1)
                * (log_px + prior_logits[y] - log_softmax(q_logits, axis=1))
            ).sum(1),
            0.5,
        ),
        Mistake(
            "the KL is the wrong way round: "
            "log P(k|y) − log q is averaged over q, not over the prior.",
            codes_bound(
                lambda log_p, prior, q: (np.exp(q) * log_p - np.exp(prior) * (prior - q)).sum(1)
            ),
            0.4,
        ),
        Mistake(
            "only q's most probable style is used: the bound is a mean over all of them.",
            codes_bound(at_most_probable),
            0.3,
        ),
        Mistake(
            "this is log P(x|y) itself: return the bound for the given q.",
            codes_bound(lambda log_p, prior, q: logsumexp(log_p + prior, axis=1)),
            0.3,
        ),
        Mistake(
            "the logarithm is taken outside the sum over k: "
            "this is the log of the mean of P(x|k, y) under q, not the bound.",
            codes_bound(lambda log_p, prior, q: logsumexp(log_p + q, axis=1)),
            0.2,
        ),
        Mistake(
            "all styles get the same weight: weight style k by q(k|x, y).",
            codes_bound(lambda log_p, prior, q: (log_p + prior - q).mean(1)),
            0.2,
        ),
        Mistake(
            "the prior's softmax runs over the labels: "
            "for each label, the styles' probabilities must add up to 1.",
            lambda log_px, y, q_logits, prior_logits: (
                softmax(q_logits, axis=1)
                * (log_px + log_softmax(prior_logits, axis=0)[y] - log_softmax(q_logits, axis=1))
            ).sum(1),
            0.5,
        ),
        *afterwards(codes_reference),
    ),
    TOLERANCE,
    independent=codes_independent,
    styles=(
        """def conditional_bound(log_px, y, q_logits, prior_logits):
    q = torch.distributions.Categorical(logits=q_logits)
    prior = torch.distributions.Categorical(logits=prior_logits[y])
    reconstruction = (q.probs * log_px).sum(-1)
    return reconstruction - torch.distributions.kl_divergence(q, prior)""",
        """def conditional_bound(log_px, y, q_logits, prior_logits):
    result = []
    for n in range(len(y)):
        log_q = q_logits[n] - torch.logsumexp(q_logits[n], 0)
        row = prior_logits[y[n]]
        log_prior = row - torch.logsumexp(row, 0)
        total = 0.0
        for k in range(len(row)):
            total = total + log_q[k].exp() * (log_px[n, k] + log_prior[k] - log_q[k])
        result.append(total)
    return torch.stack(result)""",
        """import numpy as np
from scipy.special import softmax, log_softmax, xlogy
def conditional_bound(log_px, y, q_logits, prior_logits):
    a, s, t = (np.asarray(v, dtype=np.float64) for v in (log_px, q_logits, prior_logits))
    q = softmax(s, axis=1)
    return np.einsum("nk,nk->n", q, a + log_softmax(t, axis=1)[np.asarray(y)]) - xlogy(q, q).sum(1)""",
        """def conditional_bound(log_px, y, q_logits, prior_logits):
    log_px, q_logits, prior_logits = log_px.double(), q_logits.double(), prior_logits.double()
    joint = log_px + F.log_softmax(prior_logits, -1)[y]
    q = F.softmax(q_logits, -1)
    entropy = torch.special.entr(q).sum(-1)
    return torch.linalg.vecdot(q, joint) + entropy""",
    ),
)

QUESTION = Question("conditional_bound", "conditional_bound", 18, (GAUSSIAN, LAPLACE, CODES))
