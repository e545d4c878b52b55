"""Question 1: the KL divergence in closed form, for codes that are not Gaussian.

Three pairs of distributions from the literature on VAEs: von Mises and uniform, for a code on a
circle (the flat case of Davidson et al. 2018, "Hyperspherical Variational Auto-Encoders"); Weibull
and Gamma, for a positive code (Zhang et al. 2018, "WHAI", appendix); and two Laplace distributions,
given by the logarithms of their scales.
"""

import numpy as np
from scipy.integrate import quad
from scipy.special import gamma, gammaln, i0, i0e, i1, i1e
from scipy.stats import gamma as gamma_distribution
from scipy.stats import weibull_min

from course_lib.grading.question import Mistake, Question, Tolerance, Variant

TOLERANCE = Tolerance(
    5e-4,
    5e-5,
    "float32 differences of terms that are about a hundred times as large as the KL itself",
)


def sizes(case):
    """Numbers of rows and of dimensions of the code."""
    return {"small": (4, 2), "large": (9, 5), "extreme": (6, 3)}[case]


# ---------------------------------------------------------------- von Mises and uniform


def circle_inputs(rng, case):
    n, d = sizes(case)
    kappa = rng.uniform(0.5, 12, size=(n, d))
    if case == "extreme":  # I0 overflows from 89 on in float32 and from 714 on in float64
        kappa = rng.uniform(900, 2500, size=(n, d))
        kappa[:, 1] = 1e-4
    return {"mu": rng.uniform(-3, 3, size=(n, d)), "kappa": kappa}


def circle_reference(mu, kappa):
    return (kappa * (i1e(kappa) / i0e(kappa) - 1) - np.log(i0e(kappa))).sum(1)


def circle_independent(mu, kappa):
    """The integral of q log(q/p) over the circle, as a sum over equally spaced angles."""
    angle = np.linspace(-np.pi, np.pi, 40_001)[:-1]
    step = angle[1] - angle[0]
    result = np.zeros(len(kappa))
    for (n, j), k in np.ndenumerate(kappa):
        shape = np.exp(k * (np.cos(angle - mu[n, j]) - 1))
        q = shape / (shape.sum() * step)
        log_q = k * (np.cos(angle - mu[n, j]) - 1) - np.log(shape.sum() * step)
        result[n] += (q * (log_q + np.log(2 * np.pi))).sum() * step
    return result


CIRCLE = Variant(
    "circle",
    """## 1. A code on a circle

Some quantities are cyclic: the phase of the moon, or the direction in which a face is turned. Their natural code is an
angle z, with the uniform prior p(z) = 1/(2π) on the circle and, in place of a Gaussian, the von Mises distribution

q(z) = exp(κ cos(z − μ)) / (2π I₀(κ)).

This density has its peak at μ and becomes narrower as κ grows. I₀ and I₁ are modified Bessel functions, available as
`torch.special.i0` and `torch.special.i1`, and the mean of cos(z − μ) under q is I₁(κ)/I₀(κ). Derive KL(q ‖ p) from
these facts.

Write the function `kl(mu, kappa)`. Its arguments are `mu` and `kappa`, both (N, d). The function returns the KL of each
row in nats, of shape (N,), where the d angles of a row are independent. Your function must also be correct for κ near 0
and for κ in the thousands, where I₀(κ) grows almost like e^κ and overflows. The functions `torch.special.i0e` and
`torch.special.i1e` are I₀ and I₁ multiplied by e^(−κ); they do not overflow.""",
    '''def kl(mu, kappa):
    """Return KL(von Mises ‖ uniform) in nats, (N,), for mu and kappa (N, d)."""
    raise NotImplementedError''',
    '''def kl(mu, kappa):
    """Return KL(von Mises ‖ uniform) in nats, (N,), for mu and kappa (N, d)."""
    i0e, i1e = torch.special.i0e(kappa), torch.special.i1e(kappa)  # (N, d) each
    # κ E[cos(z − μ)] − log I0(κ), where log I0(κ) = κ + log i0e(κ); log 2π cancels
    each = kappa * (i1e / i0e - 1) - i0e.log()  # (N, d)
    return each.sum(1)''',
    circle_inputs,
    circle_reference,
    (
        Mistake(
            "it overflows: I₀(κ) is too large to represent. "
            "Use `i0e`, which is I₀(κ) times e^(−κ).",
            lambda mu, kappa: (kappa * i1(kappa) / i0(kappa) - np.log(i0(kappa))).sum(1),
            0.6,
        ),
        Mistake(
            "`i0e` is e^(−κ) I₀(κ), so its logarithm is too small by κ: add κ to it.",
            lambda mu, kappa: (kappa * i1e(kappa) / i0e(kappa) - np.log(i0e(kappa))).sum(1),
            0.6,
        ),
        Mistake(
            "the prior is missing: this is the negative entropy of q. "
            "Subtract log p(z) = −log 2π from it.",
            lambda mu, kappa: circle_reference(mu, kappa) - kappa.shape[1] * np.log(2 * np.pi),
            0.5,
        ),
        Mistake(
            "this is KL(p ‖ q): for KL(q ‖ p), take the mean under q.",
            lambda mu, kappa: (kappa + np.log(i0e(kappa))).sum(1),
            0.3,
        ),
        Mistake(
            "cos(z − μ) is set to 1, its value at the peak: use its mean under q, I₁(κ)/I₀(κ).",
            lambda mu, kappa: -np.log(i0e(kappa)).sum(1),
            0.3,
        ),
        Mistake(
            "the KL is averaged over the d angles: the KLs of independent angles add up.",
            lambda mu, kappa: circle_reference(mu, kappa) / kappa.shape[1],
            0.7,
        ),
        Mistake(
            "the result is summed over the rows: return one number for each row.",
            lambda mu, kappa: circle_reference(mu, kappa).sum(),
            0.7,
        ),
        Mistake(
            "½μ² is added, as for a Gaussian: "
            "on a circle all directions are equivalent, so μ costs nothing.",
            lambda mu, kappa: circle_reference(mu, kappa) + 0.5 * (mu**2).sum(1),
            0.5,
        ),
        Mistake(
            "there is an extra factor cos μ: the mean of cos(z − μ) is I₁(κ)/I₀(κ), whatever μ is.",
            lambda mu, kappa: (
                kappa * (np.cos(mu) * i1e(kappa) / i0e(kappa) - 1) - np.log(i0e(kappa))
            ).sum(1),
            0.5,
        ),
    ),
    TOLERANCE,
    independent=circle_independent,
    styles=(
        """def kl(mu, kappa):
    answers = []
    for row in kappa:
        total = 0.0
        for k in row:
            log_i0 = k + torch.log(torch.special.i0e(k))
            total = total + k * torch.special.i1e(k) / torch.special.i0e(k) - log_i0
        answers.append(total)
    return torch.stack(answers)""",
        """import numpy as np
from scipy import special
def kl(mu, kappa):
    k = np.asarray(kappa, dtype=np.float64)
    ratio = special.ive(1, k) / special.ive(0, k)
    return np.sum(k * ratio - k - np.log(special.ive(0, k)), axis=-1)""",
        """def kl(mu, kappa):
    k = kappa.double()
    log_i0 = lambda t: torch.special.i0e(t).log() + t
    mean_cos = torch.func.vmap(torch.func.grad(log_i0))(k.flatten()).view_as(k)  # the slope of log I0 is I1/I0
    return (k * mean_cos - log_i0(k)).sum(dim=-1)""",
        """def kl(mu, kappa):
    t = torch.linspace(-math.pi, math.pi, 20001, dtype=torch.float64)[:-1]
    log_q = kappa.double()[..., None] * (torch.cos(t) - 1)  # up to a constant, with the peak at 0
    log_q = log_q - torch.logsumexp(log_q, -1, keepdim=True)
    uniform = -math.log(len(t))
    return (log_q.exp() * (log_q - uniform)).sum(-1).sum(-1)""",
        """def kl(mu, kappa):
    q = torch.distributions.VonMises(mu.double(), kappa.double())
    entropy_part = q.log_prob(mu.double())  # log q at the peak, κ − log(2π I0)
    lost = kappa.double() * (1 - torch.special.i1e(kappa.double()) / torch.special.i0e(kappa.double()))
    return torch.einsum("nd->n", entropy_part - lost + math.log(2 * math.pi))""",
    ),
)

# ---------------------------------------------------------------- Weibull and Gamma


def weibull_inputs(rng, case):
    n, d = sizes(case)
    a, b = rng.uniform(0.6, 3, size=d), rng.uniform(0.5, 2.5, size=d)
    if case == "extreme":  # Γ(a) overflows from 36 on in float32 and from 172 on in float64
        a = rng.uniform(220, 300, size=d)
        b = a * rng.uniform(0.8, 1.2, size=d)
    return {
        "scale": rng.uniform(0.5, 2, size=(n, d)),
        "shape": rng.uniform(1.2, 4, size=(n, d)),
        "a": a,
        "b": b,
    }


def weibull_kl(scale, shape, a, b, log_gamma=None, mean_log=None, mean=None):
    """The KL of each dimension, (N, d); a mistake replaces one of its parts."""
    log_gamma = gammaln(a) if log_gamma is None else log_gamma
    mean_log = np.log(scale) - np.euler_gamma / shape if mean_log is None else mean_log
    mean = scale * gamma(1 + 1 / shape) if mean is None else mean
    log_q = np.log(shape) - shape * np.log(scale) + (shape - 1) * mean_log - 1
    log_p = a * np.log(b) - log_gamma + (a - 1) * mean_log - b * mean
    return log_q - log_p


def weibull_reference(scale, shape, a, b):
    return weibull_kl(scale, shape, a, b).sum(1)


def weibull_independent(scale, shape, a, b):
    """The mean of log q − log p, by quadrature.

    The variable (z / scale)^shape has an exponential distribution, and y is its logarithm.
    """
    y = np.linspace(-50, 5, 20_001)
    density = np.exp(y - np.exp(y)) * (y[1] - y[0])
    z = scale[..., None] * np.exp(y / shape[..., None])  # (N, d, Y)
    log_q = weibull_min.logpdf(z, shape[..., None], scale=scale[..., None])
    log_p = gamma_distribution.logpdf(z, a[:, None], scale=1 / b[:, None])
    return (density * (log_q - log_p)).sum((1, 2))


def weibull_overflowing(scale, shape, a, b):
    mean_log = np.log(scale) - np.euler_gamma / shape
    log_q = np.log(shape) - shape * np.log(scale) + (shape - 1) * mean_log - 1
    log_p = np.log(b**a / gamma(a)) + (a - 1) * mean_log - b * scale * gamma(1 + 1 / shape)
    return (log_q - log_p).sum(1)


WEIBULL = Variant(
    "weibull",
    """## 1. A code that is never negative

A code that measures the amount of something cannot be negative. A Gamma prior with shape a and rate b suits it:

p(z) = b^a z^(a−1) e^(−bz) / Γ(a).

For q we take a Weibull distribution with scale λ and shape k, because it is easy to sample from:

q(z) = (k/λ) (z/λ)^(k−1) exp(−(z/λ)^k).

Under q, the mean of z is λ Γ(1 + 1/k), the mean of log z is log λ − γ/k with Euler's constant γ = 0.5772156649, and the
mean of (z/λ)^k is 1. Derive KL(q ‖ p) from these facts.

Write the function `kl(scale, shape, a, b)`. Its arguments are λ = `scale` and k = `shape`, both (N, d), and `a` and
`b`, both (d,). The function returns the KL of each row in nats, of shape (N,), where the d numbers of a row are
independent. Your function must also be correct for a and b around 300, where Γ(a) and b^a overflow. The function
`torch.lgamma` computes log Γ.""",
    '''def kl(scale, shape, a, b):
    """Return KL(Weibull ‖ Gamma) in nats, (N,), for scale and shape (N, d) and Gamma shape a and rate b (d,)."""
    raise NotImplementedError''',
    '''def kl(scale, shape, a, b):
    """Return KL(Weibull ‖ Gamma) in nats, (N,), for scale and shape (N, d) and Gamma shape a and rate b (d,)."""
    mean = scale * torch.lgamma(1 + 1 / shape).exp()  # E[z], (N, d)
    mean_log = scale.log() - 0.5772156649 / shape  # E[log z], (N, d)
    log_q = shape.log() - shape * scale.log() + (shape - 1) * mean_log - 1
    log_p = a * b.log() - torch.lgamma(a) + (a - 1) * mean_log - b * mean
    return (log_q - log_p).sum(1)''',
    weibull_inputs,
    weibull_reference,
    (
        Mistake(
            "it overflows: Γ(a) and b^a are too large to represent. Use a · log b and `lgamma`.",
            weibull_overflowing,
            0.6,
        ),
        Mistake(
            "log Γ(a) is missing: it is part of log p(z).",
            lambda scale, shape, a, b: weibull_kl(scale, shape, a, b, log_gamma=0.0).sum(1),
            0.5,
        ),
        Mistake(
            "b is treated as a scale: it is a rate, and the exponent is −bz.",
            lambda scale, shape, a, b: weibull_kl(scale, shape, a, 1 / b).sum(1),
            0.5,
        ),
        Mistake(
            "the logarithm of the mean of z is used in place of the mean of log z: the two differ.",
            lambda scale, shape, a, b: weibull_kl(
                scale, shape, a, b, mean_log=np.log(scale * gamma(1 + 1 / shape))
            ).sum(1),
            0.4,
        ),
        Mistake(
            "Euler's constant is left out of the mean of log z.",
            lambda scale, shape, a, b: weibull_kl(scale, shape, a, b, mean_log=np.log(scale)).sum(
                1
            ),
            0.5,
        ),
        Mistake(
            "the KL is averaged over the d numbers: the KLs of independent numbers add up.",
            lambda scale, shape, a, b: weibull_kl(scale, shape, a, b).mean(1),
            0.7,
        ),
        Mistake(
            "λ is used as the mean of z: the factor Γ(1 + 1/k) is missing.",
            lambda scale, shape, a, b: weibull_kl(scale, shape, a, b, mean=scale).sum(1),
            0.5,
        ),
        Mistake(
            "the mean of log q is missing: this is the cross-entropy, −E[log p(z)].",
            lambda scale, shape, a, b: (
                weibull_kl(scale, shape, a, b)
                - (np.log(shape / scale) - (shape - 1) * np.euler_gamma / shape - 1)
            ).sum(1),
            0.3,
        ),
        Mistake(
            "the mean of (z/λ)^k is missing: it contributes −1 to the mean of log q.",
            lambda scale, shape, a, b: (weibull_kl(scale, shape, a, b) + 1).sum(1),
            0.6,
        ),
        Mistake(
            "log q contains (k − 1) log(z/λ), not (k − 1) log z.",
            lambda scale, shape, a, b: (
                weibull_kl(scale, shape, a, b) + (shape - 1) * np.log(scale)
            ).sum(1),
            0.6,
        ),
        Mistake(
            "a is used where a − 1 belongs: log p contains (a − 1) log z.",
            lambda scale, shape, a, b: (
                weibull_kl(scale, shape, a, b) - (np.log(scale) - np.euler_gamma / shape)
            ).sum(1),
            0.6,
        ),
    ),
    TOLERANCE,
    independent=weibull_independent,
    styles=(
        """def kl(scale, shape, a, b):
    euler = 0.57721566490153
    result = torch.zeros(len(scale))
    for n in range(scale.shape[0]):
        for j in range(scale.shape[1]):
            lam, k = scale[n, j], shape[n, j]
            result[n] += (euler * a[j] / k - a[j] * lam.log() + k.log()
                          + b[j] * lam * torch.lgamma(1 + 1 / k).exp() - euler - 1
                          - a[j] * b[j].log() + torch.lgamma(a[j]))
    return result""",
        """def kl(scale, shape, a, b):
    scale, shape, a, b = (t.double() for t in (scale, shape, a, b))
    q, p = torch.distributions.Weibull(scale, shape), torch.distributions.Gamma(a, b)
    mean_log = scale.log() - 0.5772156649015329 / shape
    cross = p.concentration * p.rate.log() - torch.lgamma(a) + (a - 1) * mean_log - b * q.mean
    return (-q.entropy() - cross).sum(-1)""",
        """import numpy as np
from scipy import stats
from scipy.special import gammaln
def kl(scale, shape, a, b):
    lam, k, a, b = (np.asarray(t, dtype=np.float64) for t in (scale, shape, a, b))
    entropy = np.euler_gamma * (1 - 1 / k) + np.log(lam / k) + 1
    log_z = np.log(lam) - np.euler_gamma / k
    cross = a * np.log(b) - gammaln(a) + (a - 1) * log_z - b * stats.weibull_min.mean(k, scale=lam)
    return np.einsum("nd->n", -entropy - cross)""",
        """def kl(scale, shape, a, b):
    def one(lam, k):
        log_z = torch.log(lam) - 0.5772156649 / k
        log_q = torch.log(k / lam) + (k - 1) * (log_z - torch.log(lam)) - 1
        log_p = torch.special.xlogy(a, b) - torch.special.gammaln(a) + (a - 1) * log_z - b * lam * torch.exp(torch.lgamma(1 + 1 / k))
        return torch.sum(log_q - log_p)
    return torch.func.vmap(one)(scale, shape)""",
    ),
)

# ---------------------------------------------------------------- two Laplace distributions


def laplace_inputs(rng, case):
    n, d = sizes(case)
    log_q, log_p = rng.normal(size=(n, d)) * 0.7, rng.normal(size=d) * 0.7
    if case == "extreme":  # exp overflows above 709 even in float64, and vanishes below −745
        log_q[:, 0] += 800
        log_p[0] += 800
        log_q[:, 1] -= 800
    return {
        "mean_q": rng.normal(size=(n, d)) * 1.5,
        "log_scale_q": log_q,
        "mean_p": rng.normal(size=d) * 1.5,
        "log_scale_p": log_p,
    }


def laplace_kl(mean_q, log_scale_q, mean_p, log_scale_p):
    """The KL of each dimension, (N, d): log(b_p/b_q) + (|Δ| + b_q e^(−|Δ|/b_q)) / b_p − 1."""
    away = np.abs(mean_q - mean_p)
    tail = np.exp(log_scale_q - log_scale_p - away * np.exp(-log_scale_q))
    return log_scale_p - log_scale_q + away * np.exp(-log_scale_p) + tail - 1


def laplace_reference(mean_q, log_scale_q, mean_p, log_scale_p):
    return laplace_kl(mean_q, log_scale_q, mean_p, log_scale_p).sum(1)


def laplace_independent(mean_q, log_scale_q, mean_p, log_scale_p):
    """The KL by quadrature over t = (z − m_q) / b_q, which has the density ½ e^(−|t|).

    Only E|z − m_p| / b_p needs quadrature.
    """
    result = np.zeros(len(mean_q))
    for (n, j), log_scale in np.ndenumerate(log_scale_q):
        ratio = np.exp(log_scale - log_scale_p[j])  # b_q / b_p
        shift = abs(mean_q[n, j] - mean_p[j]) * np.exp(-log_scale_p[j])  # |Δ| / b_p
        both = lambda t, r=ratio, s=shift: 0.5 * np.exp(-t) * (abs(s + r * t) + abs(s - r * t))
        kink = min(shift / ratio if ratio > 0 else np.inf, 60.0)  # beyond 60, e^(−t) is negligible
        parts = quad(both, 0, kink, epsabs=1e-13)[0] + quad(both, kink, kink + 60, epsabs=1e-13)[0]
        result[n] += log_scale_p[j] - log_scale - 1 + parts  # E[log q] = −log 2b_q − 1
    return result


def laplace_overflowing(mean_q, log_scale_q, mean_p, log_scale_p):
    away, b_q, b_p = np.abs(mean_q - mean_p), np.exp(log_scale_q), np.exp(log_scale_p)
    return (np.log(b_p / b_q) + away / b_p + b_q / b_p * np.exp(-away / b_q) - 1).sum(1)


def laplace_wrong(change):
    """A mistake, from (|Δ|, log b_q, log b_p) to the KL of each dimension."""
    return lambda mean_q, log_scale_q, mean_p, log_scale_p: change(
        np.abs(mean_q - mean_p), log_scale_q, log_scale_p
    ).sum(1)


LAPLACE = Variant(
    "laplace",
    """## 1. A code with heavier tails

A Laplace distribution with mean m and scale b has the density e^(−|z − m|/b) / (2b). It has a sharper peak and heavier
tails than a Gaussian. Let both q and the prior p be Laplace distributions. With Δ = m_q − m_p,

E_q |z − m_q| = b_q and E_q |z − m_p| = |Δ| + b_q e^(−|Δ|/b_q).

Derive KL(q ‖ p) from these facts.

As in a VAE, the encoder gives the *logarithm* of the scale. Write the function
`kl(mean_q, log_scale_q, mean_p, log_scale_p)`. Its arguments are `mean_q` and `log_scale_q`, both (N, d), and `mean_p`
and `log_scale_p`, both (d,). The function returns the KL of each row in nats, of shape (N,), where the d numbers of a
row are independent. Your function must also be correct for log-scales of about ±800, where e^800 overflows and e^(−800)
underflows to 0.""",
    '''def kl(mean_q, log_scale_q, mean_p, log_scale_p):
    """Return KL(q ‖ p) in nats, (N,), for Laplace means and log-scales, (N, d) for q and (d,) for p."""
    raise NotImplementedError''',
    '''def kl(mean_q, log_scale_q, mean_p, log_scale_p):
    """Return KL(q ‖ p) in nats, (N,), for Laplace means and log-scales, (N, d) for q and (d,) for p."""
    away = (mean_q - mean_p).abs()  # (N, d)
    # b_q/b_p · exp(−|Δ|/b_q) as one exponential, so that no intermediate result overflows
    tail = torch.exp(log_scale_q - log_scale_p - away * torch.exp(-log_scale_q))
    each = log_scale_p - log_scale_q + away * torch.exp(-log_scale_p) + tail - 1
    return each.sum(1)''',
    laplace_inputs,
    laplace_reference,
    (
        Mistake(
            "it overflows: the scales are computed before their ratio. "
            "Subtract the logarithms first.",
            laplace_overflowing,
            0.6,
        ),
        Mistake(
            "E_q |z − m_p| is taken to be |Δ| + b_q: the factor e^(−|Δ|/b_q) is missing.",
            laplace_wrong(lambda away, q, p: p - q + away * np.exp(-p) + np.exp(q - p) - 1),
            0.5,
        ),
        Mistake(
            "E_q |z − m_p| is taken to be |Δ|: the width of q is ignored.",
            laplace_wrong(lambda away, q, p: p - q + away * np.exp(-p) - 1),
            0.4,
        ),
        Mistake(
            "this is KL(p ‖ q): for KL(q ‖ p), take the mean under q.",
            laplace_wrong(
                lambda away, q, p: q - p + away * np.exp(-q) + np.exp(p - q - away * np.exp(-p)) - 1
            ),
            0.4,
        ),
        Mistake(
            "`log_scale` is treated as the logarithm of b²: "
            "b is e^(log_scale), without a factor ½.",
            laplace_wrong(
                lambda away, q, p: (
                    (p - q) / 2
                    + away * np.exp(-p / 2)
                    + np.exp((q - p) / 2 - away * np.exp(-q / 2))
                    - 1
                )
            ),
            0.5,
        ),
        Mistake(
            "the −1 is missing: E_q[log q] is −log 2b_q − 1.",
            laplace_wrong(
                lambda away, q, p: p - q + away * np.exp(-p) + np.exp(q - p - away * np.exp(-q))
            ),
            0.5,
        ),
        Mistake(
            "this is the formula for two Gaussians.",
            laplace_wrong(
                lambda away, q, p: p - q + (np.exp(2 * q) + away**2) / (2 * np.exp(2 * p)) - 0.5
            ),
            0.2,
        ),
        Mistake(
            "the KL is averaged over the d numbers: the KLs of independent numbers add up.",
            lambda mean_q, log_scale_q, mean_p, log_scale_p: laplace_kl(
                mean_q, log_scale_q, mean_p, log_scale_p
            ).mean(1),
            0.7,
        ),
        Mistake(
            "the exponent contains the scale of the prior: it is −|Δ|/b_q.",
            laplace_wrong(
                lambda away, q, p: p - q + away * np.exp(-p) + np.exp(q - p - away * np.exp(-p)) - 1
            ),
            0.5,
        ),
        Mistake(
            "the logarithm has the wrong sign: the KL contains log b_p − log b_q.",
            laplace_wrong(
                lambda away, q, p: q - p + away * np.exp(-p) + np.exp(q - p - away * np.exp(-q)) - 1
            ),
            0.5,
        ),
    ),
    TOLERANCE,
    independent=laplace_independent,
    styles=(
        """def kl(mean_q, log_scale_q, mean_p, log_scale_p):
    result = torch.zeros(len(mean_q))
    for n in range(mean_q.shape[0]):
        for j in range(mean_q.shape[1]):
            lq, lp = log_scale_q[n, j], log_scale_p[j]
            away = abs(mean_q[n, j] - mean_p[j])
            result[n] += lp - lq - 1 + away / lp.exp() + (lq - lp).exp() * (-away / lq.exp()).exp()
    return result""",
        """import numpy as np
def kl(mean_q, log_scale_q, mean_p, log_scale_p):
    mq, lq, mp, lp = (np.asarray(t, dtype=np.float64) for t in (mean_q, log_scale_q, mean_p, log_scale_p))
    away, log_ratio = np.abs(mq - mp), lq - lp
    with np.errstate(over="ignore"):
        inner = away * np.exp(-lp) + np.exp(log_ratio) * np.exp(-away * np.exp(-lq))
    return np.sum(inner - log_ratio - 1, axis=1)""",
        """def kl(mean_q, log_scale_q, mean_p, log_scale_p):
    def one(m, s):
        log_away = (m - mean_p).abs().log()
        tail = torch.exp(s - log_scale_p - torch.exp(log_away - s))
        return (log_scale_p - s + torch.exp(log_away - log_scale_p) + tail - 1.0).sum()
    return torch.func.vmap(one)(mean_q, log_scale_q)""",
        """def kl(mean_q, log_scale_q, mean_p, log_scale_p):
    # measured in units of the prior's scale, p is a standard Laplace
    away = (mean_q - mean_p).abs().double() * torch.exp(-log_scale_p.double())
    log_b = log_scale_q.double() - log_scale_p.double()
    q = torch.distributions.Laplace(torch.zeros_like(log_b), torch.ones_like(log_b))
    entropy = q.entropy() + log_b
    cross = math.log(2) + away + torch.exp(log_b - away * torch.exp(-log_b))
    return torch.einsum("nd->n", cross - entropy)""",
    ),
)

QUESTION = Question("kl", "kl", 15, (CIRCLE, WEIBULL, LAPLACE))
