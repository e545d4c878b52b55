"""Question 5, a derivation: where the bound is highest, in three models that can be solved by hand.

Mean field: Bishop 2006, section 10.1.2. The decoder's best variance: Lucas et al. 2019, "Don't
blame the ELBO!", and Rybkin et al. 2021, "Simple and effective VAE training with calibrated
decoders". The tempered posterior is what the β of Higgins et al. 2017 gives in a conjugate model.
"""

import numpy as np
from scipy import stats

from course_lib.grading.question import Mistake, Question, Tolerance, Variant

TOLERANCE = Tolerance(
    2e-3, 1e-4, "float32 linear systems with condition numbers of up to a few thousand"
)


# ---------------------------------------------------------------- mean field


def mean_field_inputs(rng, case):
    n, pixels, d = {"small": (4, 5, 2), "large": (7, 9, 4), "extreme": (3, 3, 5)}[case]
    # the extreme case also has more code dimensions than pixels
    variance = 0.02 if case == "extreme" else float(rng.uniform(0.3, 0.8))
    w = rng.normal(size=(pixels, d))
    x = rng.normal(size=(n, d)) @ w.T + np.sqrt(variance) * rng.normal(size=(n, pixels))
    return {"x": x, "w": w, "variance": variance}


def mean_field_mean(x, w, variance):
    return np.linalg.solve(np.eye(w.shape[1]) + w.T @ w / variance, w.T @ x.T / variance).T


def mean_field_variance(w, variance):
    return 1 / (1 + (w**2).sum(0) / variance)


def mean_field_reference(x, w, variance):
    return mean_field_mean(x, w, variance), mean_field_variance(w, variance)


def mean_field_independent(x, w, variance):
    """The posterior means, and the variance of each z_j given x and all the other z.

    Both are computed from the joint covariance of z and x.
    """
    d = w.shape[1]
    gain = w.T @ np.linalg.inv(w @ w.T + variance * np.eye(len(w)))  # (d, D)
    posterior = np.eye(d) - gain @ w
    best = np.empty(d)
    for j in range(d):
        rest = np.delete(np.arange(d), j)
        across = posterior[j, rest]
        best[j] = posterior[j, j] - across @ np.linalg.solve(posterior[np.ix_(rest, rest)], across)
    return x @ gain.T, best


MEAN_FIELD = Variant(
    "mean_field",
    """## 5. Derive an optimum: the best encoder

In a linear VAE, z has d dimensions and a standard normal prior, and x given z is Gaussian with mean W z and independent
noise of variance s² in each of its D pixels. The posterior P(z | x) is Gaussian, but in general, the dimensions of z
are correlated. An encoder gives a Gaussian q(z | x) *without* correlations, with mean m and variances v_1 … v_d. Write
down the bound for one x as a function of m and v. It has a single maximum: find it by setting the derivatives to 0.

Then write the function `optimum(x, w, variance)`. Its arguments are x (N, D), W = `w` (D, d) and the number
s² = `variance`. The function returns the best means (N, d), one row for each x, and the best variances (d,), which are
the same for all x. Use your formula instead of iterating. Your function must also be correct if the code has more
dimensions than there are pixels, d > D.""",
    '''def optimum(x, w, variance):
    """Return the best q's means (N, d) and variances (d,) for x (N, D), w (D, d) and the decoder's variance."""
    raise NotImplementedError''',
    '''def optimum(x, w, variance):
    """Return the best q's means (N, d) and variances (d,) for x (N, D), w (D, d) and the decoder's variance."""
    # L_b = −½ Σ_j (m_j² + v_j − log v_j) − (‖x − W m‖² + Σ_j v_j ‖w_j‖²) / 2s² + constant
    d = w.shape[1]
    precision = torch.eye(d) + w.T @ w / variance  # (d, d)
    mean = torch.linalg.solve(precision, w.T @ x.T / variance).T  # (N, d)
    return mean, 1 / precision.diagonal()''',
    mean_field_inputs,
    mean_field_reference,
    (
        Mistake(
            "these are the variances of the true posterior: "
            "without correlations, the best variances are smaller.",
            lambda x, w, variance: (
                mean_field_mean(x, w, variance),
                np.diag(np.linalg.inv(np.eye(w.shape[1]) + w.T @ w / variance)),
            ),
            0.6,
        ),
        Mistake(
            "the prior is left out: this is least squares.",
            lambda x, w, variance: (x @ np.linalg.pinv(w).T, variance / (w**2).sum(0)),
            0.3,
        ),
        Mistake(
            "the prior is left out of the variances: it adds 1 to each inverse variance.",
            lambda x, w, variance: (mean_field_mean(x, w, variance), variance / (w**2).sum(0)),
            0.6,
        ),
        Mistake(
            "s² is left out, as if it were 1.",
            lambda x, w, variance: mean_field_reference(x, w, 1.0),
            0.4,
        ),
        Mistake(
            "`variance` is treated as a standard deviation: do not square it.",
            lambda x, w, variance: mean_field_reference(x, w, variance**2),
            0.6,
        ),
        Mistake(
            "standard deviations are returned: return variances.",
            lambda x, w, variance: (
                mean_field_mean(x, w, variance),
                np.sqrt(mean_field_variance(w, variance)),
            ),
            0.7,
        ),
        Mistake(
            "inverse variances are returned: return variances.",
            lambda x, w, variance: (
                mean_field_mean(x, w, variance),
                1 / mean_field_variance(w, variance),
            ),
            0.7,
        ),
        Mistake(
            "each mean is found as if the others were 0: "
            "they explain part of x too, so solve for all means together.",
            lambda x, w, variance: (
                x @ w / variance * mean_field_variance(w, variance),
                mean_field_variance(w, variance),
            ),
            0.4,
        ),
        Mistake(
            "s² is missing from the right-hand side for the means: "
            "Wᵀx must be divided by s² as well.",
            lambda x, w, variance: (
                mean_field_mean(x, w, variance) * variance,
                mean_field_variance(w, variance),
            ),
            0.6,
        ),
        Mistake(
            "s² is missing from the equation for the means: "
            "solve (WᵀW + s² I) m = Wᵀx, not (WᵀW + I) m = Wᵀx.",
            lambda x, w, variance: (mean_field_mean(x, w, 1.0), mean_field_variance(w, variance)),
            0.6,
        ),
    ),
    TOLERANCE,
    returns=("mean", "variance"),
    independent=mean_field_independent,
    styles=(
        """def optimum(x, w, variance):
    D, d = w.shape
    gain = w.T @ torch.linalg.inv(w @ w.T + variance * torch.eye(D))
    v = torch.tensor([1 / (1 + float(w[:, j] @ w[:, j]) / variance) for j in range(d)])
    return torch.stack([gain @ row for row in x]), v""",
        """import numpy as np
def optimum(x, w, variance):
    x, w = np.asarray(x, dtype=np.float64), np.asarray(w, dtype=np.float64)
    gram = w.T @ w + variance * np.eye(w.shape[1])
    return np.linalg.solve(gram, w.T @ x.T).T, variance / np.diag(gram)""",
        """def optimum(x, w, variance):
    x, w = x.double(), w.double()
    minus_bound = lambda m, y: 0.5 * (m @ m + (y - w @ m).square().sum() / variance)
    zero = torch.zeros(w.shape[1]).double()
    curvature = torch.func.jacrev(torch.func.grad(minus_bound))(zero, x[0])
    slope = torch.func.vmap(lambda y: torch.func.grad(minus_bound)(zero, y))(x)
    return -torch.linalg.solve(curvature, slope.T).T, curvature.diagonal().reciprocal()""",
        """def optimum(x, w, variance):
    # least squares, with the prior as d additional rows in which x is 0 and W is the identity
    x, w = x.double(), w.double()
    d = w.shape[1]
    rows = torch.cat([w / variance**0.5, torch.eye(d).double()])
    targets = torch.cat([x / variance**0.5, torch.zeros(len(x), d).double()], dim=1)
    return torch.linalg.lstsq(rows, targets.T).solution.T, 1 / torch.einsum("ij,ij->j", rows, rows)""",
    ),
)

# ---------------------------------------------------------------- the decoder's offset and variance


def decoder_inputs(rng, case):
    n, pixels, d = {"small": (6, 3, 2), "large": (15, 5, 4), "extreme": (8, 4, 3)}[case]
    w, mu = rng.normal(size=(pixels, d)), rng.normal(size=(n, d))
    logvar = rng.normal(size=(n, d)) * 0.7 - 0.5
    offset = rng.normal(size=pixels) * 2
    if case == "extreme":
        offset += 300  # so that x is large compared with its spread
        logvar[:, 0] = -200.0
    x = mu @ w.T + offset + 0.7 * rng.normal(size=(n, pixels))
    return {"x": x, "mu": mu, "logvar": logvar, "w": w}


def decoder_parts(x, mu, logvar, w):
    """The best offset, the squared errors at the means, and what the spread of z adds.

    The shapes are (D,), (N, D) and (N, D).
    """
    rest = x - mu @ w.T
    offset = rest.mean(0)
    return offset, (rest - offset) ** 2, np.exp(logvar) @ (w**2).T


def decoder_reference(x, mu, logvar, w):
    offset, error, noise = decoder_parts(x, mu, logvar, w)
    return offset, (error + noise).mean(0)


def decoder_independent(x, mu, logvar, w):
    """Mean and variance of x − W z over points z that have the mean and the variances of each q."""
    d = mu.shape[1]
    away = np.sqrt(d) * np.exp(logvar / 2)[:, None] * np.eye(d)  # (N, d, d)
    z = np.concatenate([mu[:, None] + away, mu[:, None] - away], axis=1)  # (N, 2d, d)
    rest = (x[:, None] - z @ w.T).reshape(-1, x.shape[1])
    return rest.mean(0), rest.var(0)


def decoder_wrong(change):
    """A mistake in the variance alone, from its two parts."""

    def function(x, mu, logvar, w):
        offset, error, noise = decoder_parts(x, mu, logvar, w)
        return offset, change(error, noise)

    return function


DECODER = Variant(
    "decoder",
    """## 5. Derive an optimum: the best decoder variances

In a linear VAE, given z, the pixels of x are independent, and pixel i is Gaussian with mean (W z)_i + c_i and variance
s_i². For each of N points the encoder has given a Gaussian q(z | x_n) without correlations, with means μ_nj and
variances e^(logvar_nj). W and all q are held fixed. Write down the average of E_q[log P(x_n | z)] over the N points as
a function of c and s². It has a single maximum: find it by setting the derivatives to 0. Remember that z is not equal
to μ: under q it varies around μ.

Then write the function `optimum(x, mu, logvar, w)`. Its arguments are x (N, D), `mu` and `logvar`, both (N, d), and
W = `w` (D, d). The function returns the best offsets c (D,) and the best variances s² (D,). Use your formula instead of
sampling. Your function must also be correct for a `logvar` of −200 and for offsets that are large compared with the
spread of x.""",
    '''def optimum(x, mu, logvar, w):
    """Return the best offsets (D,) and variances (D,) for x (N, D), mu and logvar (N, d) and w (D, d)."""
    raise NotImplementedError''',
    '''def optimum(x, mu, logvar, w):
    """Return the best offsets (D,) and variances (D,) for x (N, D), mu and logvar (N, d) and w (D, d)."""
    rest = x - mu @ w.T  # (N, D)
    offset = rest.mean(0)
    noise = logvar.exp() @ (w**2).T  # (N, D), the variance of (W z)_i under q
    variance = ((rest - offset) ** 2 + noise).mean(0)
    return offset, variance''',
    decoder_inputs,
    decoder_reference,
    (
        Mistake(
            "the spread of z is left out: E_q of a squared error is the squared error "
            "at the mean plus a variance.",
            decoder_wrong(lambda error, noise: error.mean(0)),
            0.5,
        ),
        Mistake(
            "W is not squared in the variance of W z.",
            lambda x, mu, logvar, w: (
                decoder_parts(x, mu, logvar, w)[0],
                (decoder_parts(x, mu, logvar, w)[1] + np.exp(logvar) @ w.T).mean(0),
            ),
            0.5,
        ),
        Mistake(
            "standard deviations are returned: return variances.",
            decoder_wrong(lambda error, noise: np.sqrt((error + noise).mean(0))),
            0.7,
        ),
        Mistake(
            "the sum is divided by N − 1: the average is highest when it is divided by N.",
            decoder_wrong(lambda error, noise: error.sum(0) / (len(error) - 1) + noise.mean(0)),
            0.6,
        ),
        Mistake(
            "the sum over the points is not divided by N.",
            decoder_wrong(lambda error, noise: (error + noise).sum(0)),
            0.6,
        ),
        Mistake(
            "the offset is the mean of x: subtract W μ first.",
            lambda x, mu, logvar, w: (
                x.mean(0),
                ((x - mu @ w.T - x.mean(0)) ** 2 + np.exp(logvar) @ (w**2).T).mean(0),
            ),
            0.4,
        ),
        Mistake(
            "`logvar` is treated as the logarithm of the standard deviation: "
            "it is the logarithm of the variance.",
            lambda x, mu, logvar, w: decoder_reference(x, mu, 2 * logvar, w),
            0.6,
        ),
        Mistake(
            "the standard deviations of z are used in place of its variances: "
            "use e^(logvar), not e^(logvar/2).",
            lambda x, mu, logvar, w: decoder_reference(x, mu, logvar / 2, w),
            0.6,
        ),
        Mistake(
            "the offset is left out of the squared error.",
            lambda x, mu, logvar, w: (
                decoder_parts(x, mu, logvar, w)[0],
                ((x - mu @ w.T) ** 2 + np.exp(logvar) @ (w**2).T).mean(0),
            ),
            0.4,
        ),
        Mistake(
            "the code is left out: these are the mean and the variance of x itself.",
            lambda x, mu, logvar, w: (x.mean(0), x.var(0)),
            0.2,
        ),
    ),
    TOLERANCE,
    returns=("offset", "variance"),
    independent=decoder_independent,
    styles=(
        """def optimum(x, mu, logvar, w):
    N, D = x.shape
    offset, variance = torch.zeros(D), torch.zeros(D)
    for i in range(D):
        rest = torch.stack([x[n, i] - (w[i] * mu[n]).sum() for n in range(N)])
        offset[i] = rest.sum() / N
        for n in range(N):
            variance[i] += ((rest[n] - offset[i]) ** 2 + (w[i] ** 2 * logvar[n].exp()).sum()) / N
    return offset, variance""",
        """import numpy as np
def optimum(x, mu, logvar, w):
    x, mu, v, w = (np.asarray(t, dtype=np.float64) for t in (x, mu, logvar, w))
    rest = x - np.einsum("nj,ij->ni", mu, w)
    return rest.mean(axis=0), rest.var(axis=0) + np.einsum("j,ij->i", np.exp(v).mean(axis=0), w**2)""",
        """def optimum(x, mu, logvar, w):
    rest = x - torch.nn.functional.linear(mu, w)
    variance, offset = torch.var_mean(rest, dim=0, correction=0)
    return [offset, variance + torch.nn.functional.linear(logvar.exp(), w.square()).mean(0)]""",
        """def optimum(x, mu, logvar, w):
    x, mu, logvar, w = x.double(), mu.double(), logvar.double(), w.double()
    covariance = torch.diag_embed(torch.exp(logvar))  # (N, d, d)
    def pixel(column, row):  # one pixel: (N,), (d,)
        rest = column - mu @ row
        spread = torch.func.vmap(lambda c: row @ c @ row)(covariance)
        return rest.mean(), (rest - rest.mean()).square().mean() + spread.mean()
    return torch.func.vmap(pixel, in_dims=(1, 0))(x, w)""",
    ),
)

# ---------------------------------------------------------------- the tempered posterior


def tempered_inputs(rng, case):
    n, m = {"small": (4, 3), "large": (7, 6), "extreme": (5, 4)}[case]
    rates = rng.gamma(3.0, 2.0, size=(n, 1))
    beta = float(rng.uniform(2, 5) if case == "small" else rng.uniform(0.2, 0.5))
    if case == "extreme":
        rates, beta = rates * 300, float(rng.choice([0.002, 500.0]))
    return {
        "x": rng.poisson(rates, size=(n, m)).astype(np.float64),
        "a": float(rng.uniform(1.5, 4)),
        "b": float(rng.uniform(0.5, 2)),
        "beta": beta,
    }


def tempered_reference(x, a, b, beta):
    n, m = x.shape
    return a + x.sum(1) / beta, np.full(n, b + m / beta)


def tempered_independent(x, a, b, beta):
    """Shape and rate from the mean and variance of q, computed by quadrature.

    The density of q is proportional to P(z) P(x|z)^(1/β).
    """
    shape, rate = np.empty(len(x)), np.empty(len(x))
    for n, row in enumerate(x):

        def log_q(y, row=row):  # the log-density of y = log z
            z = np.exp(y)
            log_likelihood = stats.poisson.logpmf(row, z[:, None]).sum(1)
            return stats.gamma.logpdf(z, a, scale=1 / b) + y + log_likelihood / beta

        low, high = -30.0, 30.0
        for _ in range(12):  # zoom in on the region where q is large
            y = np.linspace(low, high, 801)
            log_density = log_q(y)
            inside = y[log_density > log_density.max() - 45]
            step = y[1] - y[0]
            low, high = inside[0] - step, inside[-1] + step
        y = np.linspace(low, high, 4001)
        weight = np.exp(log_q(y) - log_q(y).max())
        weight /= weight.sum()
        z = np.exp(y)
        mean = (weight * z).sum()
        variance = (weight * (z - mean) ** 2).sum()
        shape[n], rate[n] = mean**2 / variance, mean / variance
    return shape, rate


def both(change):
    """A mistake: `change` computes the shapes and rates.

    Its arguments are the sums of the counts (N,), their number per row, a, b and β.
    """

    def function(x, a, b, beta):
        shape, rate = change(x.sum(1), x.shape[1], a, b, beta)
        return shape, rate + np.zeros(len(x))

    return function


TEMPERED = Variant(
    "tempered",
    """## 5. Derive an optimum: what β does to the best q

A rate z > 0 has a Gamma prior with shape a and rate b, proportional to z^(a−1) e^(−bz). Given z, the M counts in a row
x are independent Poisson variables with rate z: P(x_i | z) = z^x_i · e^(−z) / x_i!. A β-VAE would look for the q that
maximizes

E_q[log P(x | z)] − β · KL(q ‖ P(z)).

Show that the best q among *all* distributions is proportional to P(z) · P(x | z)^(1/β), and that it is again a Gamma
distribution. (Hint: divide by β, and compare with the KL divergence between q and that distribution.) Find the shape
and the rate of this Gamma distribution.

Then write the function `optimum(x, a, b, beta)`. Its arguments are counts x (N, M) and the numbers a, b and β = `beta`.
The function returns the shapes (N,) and the rates (N,) of the best q, one of each per row. Your function must also be
correct for β = 0.002 and for β = 500.""",
    '''def optimum(x, a, b, beta):
    """Return the best q's shapes (N,) and rates (N,) for counts x (N, M) and numbers a, b and beta."""
    raise NotImplementedError''',
    '''def optimum(x, a, b, beta):
    """Return the best q's shapes (N,) and rates (N,) for counts x (N, M) and numbers a, b and beta."""
    # P(z) P(x|z)^(1/β) is z^(a − 1 + Σx/β) e^(−(b + M/β) z), up to a constant
    n, m = x.shape
    shape = a + x.sum(1) / beta
    rate = torch.full((n,), b + m / beta)
    return shape, rate''',
    tempered_inputs,
    tempered_reference,
    (
        Mistake(
            "β is left out: this is the posterior, which is the best q for β = 1.",
            both(lambda total, m, a, b, beta: (a + total, b + m)),
            0.4,
        ),
        Mistake(
            "the counts are multiplied by β: a large β makes them weigh less.",
            both(lambda total, m, a, b, beta: (a + total * beta, b + m * beta)),
            0.5,
        ),
        Mistake(
            "log P(x | z) is averaged over the counts: "
            "for independent counts the logarithms add up.",
            both(lambda total, m, a, b, beta: (a + total / m / beta, b + 1 / beta)),
            0.5,
        ),
        Mistake(
            "the number of counts is missing from the rate: "
            "each of the M counts contributes a factor e^(−z).",
            both(lambda total, m, a, b, beta: (a + total / beta, b + 1 / beta)),
            0.5,
        ),
        Mistake(
            "a and b are multiplied by β: divide the contributions of the counts by β instead.",
            both(lambda total, m, a, b, beta: (beta * a + total, beta * b + m)),
            0.5,
        ),
        Mistake(
            "the prior is raised to the power β: raise the likelihood to the power 1/β instead.",
            both(lambda total, m, a, b, beta: (beta * (a - 1) + 1 + total, beta * b + m)),
            0.5,
        ),
        Mistake(
            "scales are returned: return their inverses, the rates.",
            both(lambda total, m, a, b, beta: (a + total / beta, 1 / (b + m / beta))),
            0.7,
        ),
        Mistake(
            "β is used only in the shape: e^(−Mz) is raised to the power 1/β as well.",
            both(lambda total, m, a, b, beta: (a + total / beta, b + m)),
            0.6,
        ),
        Mistake(
            "a and b are divided by β as well: divide only the contributions of the counts.",
            both(lambda total, m, a, b, beta: ((a + total) / beta, (b + m) / beta)),
            0.5,
        ),
        Mistake(
            "the shape is too small by 1: a Gamma density with shape s contains z^(s−1).",
            both(lambda total, m, a, b, beta: (a - 1 + total / beta, b + m / beta)),
            0.6,
        ),
        Mistake(
            "the prior is left out.",
            both(lambda total, m, a, b, beta: (total / beta, m / beta)),
            0.3,
        ),
    ),
    Tolerance(2e-4, 1e-6, "a quotient and a sum in float32"),
    returns=("shape", "rate"),
    independent=tempered_independent,
    styles=(
        """def optimum(x, a, b, beta):
    shapes, rates = [], []
    for row in x:
        shape, rate = a, b
        for count in row:
            shape += float(count) / beta
            rate += 1 / beta
        shapes.append(shape)
        rates.append(rate)
    return torch.tensor(shapes), torch.tensor(rates)""",
        """import numpy as np
def optimum(x, a, b, beta):
    x = np.asarray(x, dtype=np.float64)
    return a + x.sum(axis=1) / beta, np.repeat(b + x.shape[1] / beta, len(x))""",
        """def optimum(x, a, b, beta):
    power = 1.0 / beta
    counts = torch.einsum("nm->n", x)
    exposure = torch.ones_like(x).sum(dim=1)
    return {"shape": power * counts + a, "rate": power * exposure + b}""",
        """def optimum(x, a, b, beta):
    x = x.double()
    # the logarithm of a Gamma density is (s − 1) log z − r z: read s and r off two slopes with respect to z
    def log_q(z, row):
        log_p = (torch.special.xlogy(row, z) - z).sum()
        return (a - 1) * torch.log(z) - b * z + log_p / beta
    slope = torch.func.vmap(torch.func.grad(log_q), in_dims=(None, 0))
    one, two = slope(torch.tensor(1.0).double(), x), slope(torch.tensor(2.0).double(), x)
    s = 2 * (one - two)  # (s − 1)/1 − (s − 1)/2 is half of s − 1
    return s + 1, s - one""",
    ),
)

QUESTION = Question("optimum", "optimum", 15, (MEAN_FIELD, DECODER, TEMPERED))
