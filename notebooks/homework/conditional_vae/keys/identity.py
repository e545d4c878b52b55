"""Question 5, a derivation: the parts of the mean KL, the best prior, or how a classifier learns.

For each label, E[KL(q(z|x, y) ‖ P(z))] = I(z; x|y) + KL(q(z|y) ‖ P(z)), with q(z|y) the mean of
q(z|x, y) over the images of the label. Source: Hoffman & Johnson 2016. Among all priors of a
family, the one nearest to q(z|y) gives the best bound; among Gaussians it is the one with the mean
and variance of q(z|y).
"""

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_softmax, softmax

from course_lib.grading.question import Mistake, Question, Tolerance, Variant

# ---------------------------------------------------------------- the two parts of the KL


def split_inputs(rng, case):
    classes, pixels, d = {"small": (3, 4, 2), "large": (4, 7, 5), "extreme": (2, 160, 150)}[case]
    root = rng.normal(size=(classes, pixels, pixels)) / np.sqrt(pixels)
    # in the extreme case, a code with 150 narrow dimensions, for which determinants underflow
    narrow = 0.03 if case == "extreme" else 0.6
    return {
        "mean": rng.normal(size=(classes, pixels)),
        "cov": 0.5 * root @ root.transpose(0, 2, 1) + 0.5 * np.eye(pixels),
        "a": narrow * rng.normal(size=(d, pixels)) / np.sqrt(pixels) * 1.5,
        "b": rng.normal(size=(classes, d)),
        "std": narrow * rng.uniform(0.6, 1.4, size=d),
    }


def split_moments(mean, cov, a, b, std):
    """Mean (C, d) and covariance (C, d, d) of q(z|y), and the covariance S (d, d) of q(z|x, y)."""
    s = np.diag(std**2)
    return mean @ a.T + b, a @ cov @ a.T + s, s


def log_det(matrices):
    return np.linalg.slogdet(matrices)[1]


def log_det_naive(matrices):
    return np.log(np.linalg.det(matrices))


def split_by(information, gap):
    """The answer, computed by two functions of the moments (mean, V, S)."""
    return lambda mean, cov, a, b, std: (
        information(*split_moments(mean, cov, a, b, std)),
        gap(*split_moments(mean, cov, a, b, std)),
    )


def information_of(m, v, s, log_det=log_det):
    return 0.5 * (log_det(v) - log_det(s))


def gap_of(m, v, s, log_det=log_det):
    return 0.5 * ((m**2).sum(-1) + np.trace(v, axis1=1, axis2=2) - m.shape[1] - log_det(v))


split_reference = split_by(information_of, gap_of)


def split_independent(mean, cov, a, b, std):
    """I computed in the space of x, by Sylvester's identity, and the gap as E[KL] minus I."""
    inside = np.eye(a.shape[1]) + cov @ (a.T / std**2) @ a  # (C, D, D)
    information = 0.5 * np.log(np.linalg.eigvals(inside)).real.sum(1)
    squares = (mean @ a.T + b) ** 2 + np.einsum("di,cij,dj->cd", a, cov, a)  # E[(a x + b)²]
    kl = 0.5 * (std**2 + squares - 1 - 2 * np.log(std)).sum(1)
    return information, kl - information


def diagonal(matrices):
    return np.einsum("...ii->...i", matrices)


SPLIT = Variant(
    "split",
    """## 5. Derive: the two parts of the KL

Averaged over the images of one label, the KL of a conditional VAE has two parts:

E[ KL(q(z|x, y) ‖ P(z)) ] = I(z; x|y) + KL(q(z|y) ‖ P(z)).

Here q(z|y) is the mean of q(z|x, y) over the images of label y. The first part, the mutual information, measures how
much information a code contains about its image. The second measures how far the label's codes are from the prior. If
the second part is large, codes drawn from the prior give bad images.

Derive the identity: write the KL as a mean of log q(z|x, y) − log P(z), and add and subtract log q(z|y). Then work out
both parts for Gaussians. Let the images x of label y be Gaussian with mean m_y and covariance Σ_y, let q(z|x, y) be
N(A x + b_y, S) with a diagonal covariance S, and let P(z) = N(0, I). Which Gaussian is q(z|y)?

Write the function `identity(mean, cov, a, b, std)`. Its arguments are the m_y and Σ_y in `mean` (C, D) and `cov`
(C, D, D), A = `a` (d, D), the b_y in `b` (C, d), and `std` (d,), the square roots of the diagonal of S. The function
returns two results in nats: I(z; x|y) of each label (C,), and KL(q(z|y) ‖ P(z)) of each label (C,). Your function must
also be correct for codes of 150 dimensions.""",
    '''def identity(mean, cov, a, b, std):
    """mean (C, D), cov (C, D, D), a (d, D), b (C, d), std (d,) -> I(z; x|y) (C,) and KL(q(z|y) || P(z)) (C,)."""
    raise NotImplementedError''',
    '''def identity(mean, cov, a, b, std):
    """mean (C, D), cov (C, D, D), a (d, D), b (C, d), std (d,) -> I(z; x|y) (C,) and KL(q(z|y) || P(z)) (C,)."""
    m = mean @ a.T + b  # (C, d), the mean of q(z|y)
    v = a @ cov @ a.T + torch.diag(std**2)  # (C, d, d), its covariance
    log_det = torch.logdet(v)  # (C,)
    information = 0.5 * (log_det - 2 * std.log().sum())
    trace = v.diagonal(dim1=1, dim2=2).sum(1)
    gap = 0.5 * ((m**2).sum(1) + trace - len(std) - log_det)
    return information, gap''',
    split_inputs,
    split_reference,
    (
        Mistake(
            "the determinant of a matrix with 150 rows underflows to 0: "
            "compute its logarithm directly, with `logdet` or `slogdet`.",
            split_by(
                lambda m, v, s: information_of(m, v, s, log_det_naive),
                lambda m, v, s: gap_of(m, v, s, log_det_naive),
            ),
            0.6,
        ),
        Mistake(
            "the second result is the whole E[KL]: subtract I(z; x|y) from it.",
            split_by(information_of, lambda m, v, s: information_of(m, v, s) + gap_of(m, v, s)),
            0.6,
        ),
        Mistake(
            "the factor ½ is missing in the mutual information.",
            split_by(lambda m, v, s: 2 * information_of(m, v, s), gap_of),
            0.6,
        ),
        Mistake(
            "the factor ½ is missing in the KL.",
            split_by(information_of, lambda m, v, s: 2 * gap_of(m, v, s)),
            0.6,
        ),
        Mistake(
            "the mutual information is computed as if the dimensions were independent: "
            "A Σ Aᵀ also has off-diagonal entries.",
            split_by(lambda m, v, s: 0.5 * np.log(diagonal(v) / diagonal(s)).sum(1), gap_of),
            0.4,
        ),
        Mistake(
            "both parts are computed as if the dimensions were independent: "
            "A Σ Aᵀ also has off-diagonal entries.",
            split_by(
                lambda m, v, s: 0.5 * np.log(diagonal(v) / diagonal(s)).sum(1),
                lambda m, v, s: 0.5 * (m**2 + diagonal(v) - 1 - np.log(diagonal(v))).sum(1),
            ),
            0.3,
        ),
        Mistake(
            "b is missing in the mean of q(z|y).",
            lambda mean, cov, a, b, std: split_reference(mean, cov, a, 0 * b, std),
            0.6,
        ),
        Mistake(
            "`std` is treated as the variance: S has std² on its diagonal.",
            lambda mean, cov, a, b, std: split_reference(mean, cov, a, b, np.sqrt(std)),
            0.6,
        ),
        Mistake(
            "S is missing in the covariance of q(z|y): z varies even when x does not.",
            split_by(information_of, lambda m, v, s: gap_of(m, v - s, s)),
            0.4,
        ),
        Mistake(
            "the spread of the images is missing in the covariance of q(z|y): "
            "q(z|y) is wider than q(z|x, y).",
            split_by(information_of, lambda m, v, s: gap_of(m, 0 * v + s, s)),
            0.4,
        ),
        Mistake(
            "the mean of q(z|y) is missing in the KL.",
            split_by(information_of, lambda m, v, s: gap_of(0 * m, v, s)),
            0.5,
        ),
        Mistake(
            "the entropy of q(z|x, y) is missing in the mutual information, "
            "which must be 0 if A is 0.",
            split_by(lambda m, v, s: 0.5 * log_det(v), gap_of),
            0.4,
        ),
        Mistake(
            "the KL contains −1 only once: there must be one for each dimension.",
            split_by(information_of, lambda m, v, s: gap_of(m, v, s) + (m.shape[1] - 1) / 2),
            0.6,
        ),
        Mistake(
            "−d is missing in the KL: it must be 0 where q(z|y) is N(0, I).",
            split_by(information_of, lambda m, v, s: gap_of(m, v, s) + m.shape[1] / 2),
            0.6,
        ),
        Mistake(
            "the two results are swapped.",
            split_by(gap_of, information_of),
            0.7,
        ),
        Mistake(
            "these are logarithms to base 2: return nats.",
            split_by(
                lambda m, v, s: information_of(m, v, s) / np.log(2),
                lambda m, v, s: gap_of(m, v, s) / np.log(2),
            ),
            0.7,
        ),
    ),
    Tolerance(5e-4, 1e-4, "float32 determinants of matrices with 150 rows"),
    returns=("information", "gap"),
    independent=split_independent,
    styles=(
        """def identity(mean, cov, a, b, std):
    normal = torch.distributions.MultivariateNormal
    d = len(std)
    information, gap = [], []
    for c in range(len(mean)):
        q = normal(a @ mean[c] + b[c], a @ cov[c] @ a.T + torch.diag(std**2))
        one = normal(torch.zeros(d), torch.diag(std**2))
        information.append(q.entropy() - one.entropy())
        gap.append(torch.distributions.kl_divergence(q, normal(torch.zeros(d), torch.eye(d))))
    return torch.stack(information), torch.stack(gap)""",
        """import numpy as np
def identity(mean, cov, a, b, std):
    mean, cov, a, b, std = (np.asarray(t, dtype=np.float64) for t in (mean, cov, a, b, std))
    w = a / std[:, None]
    ratio = np.linalg.eigvalsh(np.eye(len(std)) + w @ cov @ w.T)
    information = 0.5 * np.log(ratio).sum(-1)
    m = mean @ a.T + b
    variance = np.einsum("di,cij,dj->cd", a, cov, a) + std**2
    kl = 0.5 * (m**2 + variance - 1 - 2 * np.log(std)).sum(1)  # the mean KL of all images
    return information, kl - information""",
        """def identity(mean, cov, a, b, std):
    mean, cov, a, b, std = (t.double() for t in (mean, cov, a, b, std))
    v = torch.einsum("di,cij,ej->cde", a, cov, a) + torch.diag_embed(std**2)
    root = torch.linalg.cholesky(v)
    half = root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    m = torch.einsum("di,ci->cd", a, mean) + b
    gap = 0.5 * (m.square().sum(1) + root.square().sum((1, 2)) - len(std)) - half
    return half - std.log().sum(), gap""",
        """def identity(mean, cov, a, b, std):
    def one(mean, cov, b):
        v = a @ cov @ a.T + torch.diag(std * std)
        sign, log_det = torch.linalg.slogdet(v)
        m = a @ mean + b
        return (log_det - (std * std).log().sum()) / 2, (m @ m + torch.trace(v) - len(std) - log_det) / 2
    return torch.func.vmap(one)(mean, cov, b)""",
    ),
)

# ---------------------------------------------------------------- the best prior of a label


def prior_inputs(rng, case):
    n, d, classes = {"small": (7, 2, 2), "large": (16, 4, 4), "extreme": (11, 3, 5)}[case]
    y = np.concatenate(
        [np.arange(1, classes).repeat(2), rng.integers(1, classes, size=n - 2 * classes + 1), [0]]
    )
    far = 1000.0 if case == "extreme" else 0.0
    centre = rng.normal(size=(classes, d)) + far
    return {
        "mu": centre[y] + rng.normal(size=(n, d)),
        "logvar": rng.normal(size=(n, d)) - 0.5,
        "y": y[rng.permutation(n)] if case != "extreme" else y,
        "classes": classes,
    }


def by_label(function):
    """The answer from a function of one label's mu and variances, (n, d) each."""

    def whole(mu, logvar, y, classes):
        parts = [function(mu[y == c], np.exp(logvar[y == c])) for c in range(classes)]
        return tuple(np.stack(part) for part in zip(*parts))

    return whole


def best_prior(mu, var):
    return mu.mean(0), (var + (mu - mu.mean(0)) ** 2).mean(0)


prior_reference = by_label(best_prior)


def prior_independent(mu, logvar, y, classes):
    """The roots of the slopes of Σ KL, found for one label and one dimension at a time.

    The slopes are computed from the KL itself.
    """
    import torch  # needed to check the key, but not for grading

    def slope_of_kl(mu, var, m, log_v, which):
        m = torch.tensor(m, dtype=torch.float64, requires_grad=True)
        log_v = torch.tensor(log_v, dtype=torch.float64, requires_grad=True)
        q = torch.distributions.Normal(torch.tensor(mu), torch.tensor(np.sqrt(var)))
        prior = torch.distributions.Normal(m, torch.exp(log_v / 2))
        loss = torch.distributions.kl_divergence(q, prior).sum()
        return float(torch.autograd.grad(loss, (m, log_v)[which])[0])

    def roots(mu, var):
        low, high = mu.min() - 1, mu.max() + 1
        m = brentq(lambda m: slope_of_kl(mu, var, m, 0.0, 0), low, high, xtol=1e-11)
        return m, np.exp(brentq(lambda v: slope_of_kl(mu, var, m, v, 1), -15, 15, xtol=1e-11))

    mean, var = np.empty((classes, mu.shape[1])), np.empty((classes, mu.shape[1]))
    for c in range(classes):
        for i in range(mu.shape[1]):
            mean[c, i], var[c, i] = roots(mu[y == c, i], np.exp(logvar[y == c, i]))
    return mean, var


def bessel(mu, var):
    n = len(mu)
    return mu.mean(0), var.mean(0) + ((mu - mu.mean(0)) ** 2).sum(0) / np.maximum(n - 1, 0)


def precision_weighted(mu, var):
    return (mu / var).sum(0) / (1 / var).sum(0), 1 / (1 / var).mean(0)


PRIOR = Variant(
    "prior",
    """## 5. Derive: the best prior of a label

Let every label have its own prior, P(z|y) = N(m_y, diag(v_y)), and let the encoder be given: image n has q(z|x_n, y_n)
= N(μ_n, diag(e^logvar_n)). The prior occurs only in the KL term of the bound, so the best prior minimizes

Σ_n KL( q(z|x_n, y_n) ‖ P(z|y_n) ).

Derive m_y and v_y on paper: set the derivatives with respect to both to 0. You will see that the best prior has the
mean and the variances of q(z|y), the mixture of q(z|x_n, y) over all images n of label y.

Write the function `identity(mu, logvar, y, classes)`. Its arguments are the μ_n in `mu` (N, d), the log-variances
`logvar` (N, d), labels y (N,), and the number of labels C = `classes`. Each label occurs at least once. The function
returns two results: the means m (C, d) and the variances v (C, d) of the best priors. Your function must also be
correct for codes far from 0, and for a label with only one image.""",
    '''def identity(mu, logvar, y, classes):
    """mu, logvar (N, d), y (N,), the number of labels C -> means (C, d) and variances (C, d) of the best priors."""
    raise NotImplementedError''',
    '''def identity(mu, logvar, y, classes):
    """mu, logvar (N, d), y (N,), the number of labels C -> means (C, d) and variances (C, d) of the best priors."""
    means, variances = [], []
    for c in range(classes):
        mine, var = mu[y == c], logvar[y == c].exp()  # (n, d) each
        m = mine.mean(0)
        means.append(m)
        variances.append((var + (mine - m) ** 2).mean(0))
    return torch.stack(means), torch.stack(variances)''',
    prior_inputs,
    prior_reference,
    (
        Mistake(
            "this is the variance of the means μ alone: add the mean of the variances of the q.",
            by_label(lambda mu, var: (mu.mean(0), mu.var(0))),
            0.5,
        ),
        Mistake(
            "this is the mean of the variances of the q alone: add the variance of their means.",
            by_label(lambda mu, var: (mu.mean(0), var.mean(0))),
            0.5,
        ),
        Mistake(
            "the sum is divided by n − 1: the smallest KL needs n, "
            "and n − 1 fails for a label with one image.",
            by_label(bessel),
            0.6,
        ),
        Mistake(
            "this is one prior for all labels: each label has its own.",
            lambda mu, logvar, y, classes: tuple(
                np.tile(part, (classes, 1)) for part in best_prior(mu, np.exp(logvar))
            ),
            0.3,
        ),
        Mistake(
            "the log-variances are averaged: average the variances.",
            by_label(lambda mu, var: (mu.mean(0), np.exp(np.log(var).mean(0)) + mu.var(0))),
            0.5,
        ),
        Mistake(
            "these are standard deviations: return variances.",
            by_label(lambda mu, var: (mu.mean(0), np.sqrt(best_prior(mu, var)[1]))),
            0.7,
        ),
        Mistake(
            "these are log-variances: return variances.",
            by_label(lambda mu, var: (mu.mean(0), np.log(best_prior(mu, var)[1]))),
            0.7,
        ),
        Mistake(
            "this is the best prior for the KL in the other direction, KL(P ‖ q): "
            "minimize KL(q ‖ P) instead of averaging precisions.",
            by_label(precision_weighted),
            0.3,
        ),
        Mistake(
            "the means are weighted by precision: here all images of a label get the same weight.",
            by_label(
                lambda mu, var: (
                    precision_weighted(mu, var)[0],
                    (var + (mu - precision_weighted(mu, var)[0]) ** 2).mean(0),
                )
            ),
            0.4,
        ),
        Mistake(
            "e^logvar is treated as a standard deviation: it is the variance.",
            lambda mu, logvar, y, classes: prior_reference(mu, 2 * logvar, y, classes),
            0.5,
        ),
        Mistake(
            "this is the mean square around 0: a variance is the mean square around m_y.",
            by_label(lambda mu, var: (mu.mean(0), (var + mu**2).mean(0))),
            0.5,
        ),
        Mistake(
            "these are sums over the images of a label: take means.",
            by_label(lambda mu, var: (mu.sum(0), (var + (mu - mu.mean(0)) ** 2).sum(0))),
            0.5,
        ),
    ),
    Tolerance(3e-4, 1e-5, "float32 means of numbers near 1000 are accurate to 10⁻⁴"),
    returns=("mean", "variance"),
    independent=prior_independent,
    styles=(
        """def identity(mu, logvar, y, classes):
    hot = F.one_hot(y, classes).double()  # (N, C)
    share = hot / hot.sum(0)  # each column adds up to 1
    mu, var = mu.double(), logvar.double().exp()
    m = share.T @ mu
    return m, share.T @ (var + mu**2) - m**2""",
        """import numpy as np
def identity(mu, logvar, y, classes):
    mu, logvar, y = np.asarray(mu, dtype=np.float64), np.asarray(logvar, dtype=np.float64), np.asarray(y)
    m = np.stack([mu[y == c].mean(0) for c in range(classes)])
    v = np.stack([np.exp(logvar[y == c]).mean(0) + mu[y == c].var(0) for c in range(classes)])
    return m, v""",
        """def identity(mu, logvar, y, classes):
    count = torch.bincount(y, minlength=classes).to(mu.dtype)[:, None]
    m = torch.zeros(classes, mu.shape[1]).index_add_(0, y, mu) / count
    around = logvar.exp() + (mu - m[y]).square()
    return m, torch.zeros(classes, mu.shape[1]).index_add_(0, y, around) / count""",
        """def identity(mu, logvar, y, classes):
    mu, logvar = mu.double(), logvar.double()
    m, v = torch.empty(classes, mu.shape[1]).double(), torch.empty(classes, mu.shape[1]).double()
    for c in range(classes):
        rows = torch.nonzero(y == c).flatten().tolist()
        mixture = torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(torch.ones(len(rows)).double()),
            torch.distributions.Independent(torch.distributions.Normal(mu[rows], (logvar[rows] / 2).exp()), 1),
        )
        m[c], v[c] = mixture.mean, mixture.variance
    return m, v""",
    ),
)

# ---------------------------------------------------------------- how q(y|x) learns without labels


def slope_inputs(rng, case):
    n, classes = {"small": (4, 3), "large": (9, 6), "extreme": (7, 5)}[case]
    table, logits = rng.normal(size=(n, classes)) * 2 - 9, rng.normal(size=(n, classes))
    if case == "extreme":
        # multiples of 1/64, which float32 holds exactly: the differences of large numbers decide
        table = np.round(64 * (table * 5 - 2500)) / 64
        logits[:, 0] -= 3000.0
    return {"bound": table, "logits": logits, "prior": rng.dirichlet(np.full(classes, 3.0))}


def slope_by(function):
    """The answer from a function of (q, log q, L, log P(y))."""
    return lambda bound, logits, prior: function(
        softmax(logits, axis=1), log_softmax(logits, axis=1), bound, np.log(prior)
    )


def mean_of(q, a):
    return (q * a).sum(1, keepdims=True)


def centred(q, a):
    return q * (a - mean_of(q, a))


slope_reference = slope_by(lambda q, log_q, bound, log_p: centred(q, bound + log_p - log_q))


def slope_independent(bound, logits, prior):
    import torch  # needed to check the key, but not for grading

    s = torch.tensor(logits, requires_grad=True)
    q = torch.distributions.Categorical(logits=s)
    value = (q.probs * (torch.tensor(bound) + torch.tensor(prior).log() - q.logits)).sum()
    return torch.autograd.grad(value, s)[0].numpy()


SLOPE = Variant(
    "slope",
    """## 5. Derive: how a classifier learns without labels

For an image without a label, the bound is U = Σ_y q(y|x) · [ L(x, y) + log P(y) − log q(y|x) ], where L(x, y) is the
conditional VAE's bound on log P(x|y), and q(y|x) is the softmax of the classifier's logits s. The classifier therefore
learns even from images that nobody has labelled. What does it learn?

Derive ∂U/∂s_c on paper. Use ∂ log q(y|x) / ∂s_c = [y = c] − q(c|x), where [y = c] is 1 if y = c and 0 otherwise, and
write A_y for the bracket in U. The result shows which logits grow: those of the labels whose A_y is above the mean
under q(y|x).

Write the function `identity(bound, logits, prior)`. Its arguments are the table `bound` (N, C) of L(x, y) for every
image and label, the classifier's `logits` (N, C) and P(y) = `prior` (C,). The function returns the gradient of the
*sum* of U over the images with respect to the logits (N, C), computed with your formula; L(x, y) is a constant here.
Your function must also be correct where q(y|x) underflows to 0.""",
    '''def identity(bound, logits, prior):
    """L(x, y) (N, C), logits (N, C) of q(y|x), P(y) (C,) -> gradient of the sum of U with respect to the logits, (N, C)."""
    raise NotImplementedError''',
    '''def identity(bound, logits, prior):
    """L(x, y) (N, C), logits (N, C) of q(y|x), P(y) (C,) -> gradient of the sum of U with respect to the logits, (N, C)."""
    log_q = torch.log_softmax(logits, dim=1)
    q = log_q.exp()
    a = bound + prior.log() - log_q  # (N, C)
    u = (q * a).sum(1, keepdim=True)  # (N, 1), the mean of a under q
    return q * (a - u)''',
    slope_inputs,
    slope_reference,
    (
        Mistake(
            "0 times infinity: q underflows, and its logarithm is −∞. "
            "Get log q from a log-softmax.",
            slope_by(lambda q, log_q, bound, log_p: centred(q, bound + log_p - np.log(q))),
            0.6,
        ),
        Mistake(
            "the mean of A is not subtracted: when s_c grows, all other labels lose probability.",
            slope_by(lambda q, log_q, bound, log_p: q * (bound + log_p - log_q)),
            0.4,
        ),
        Mistake(
            "this is the gradient with respect to q(y|x): "
            "return the one with respect to its logits.",
            slope_by(lambda q, log_q, bound, log_p: bound + log_p - log_q - 1),
            0.3,
        ),
        Mistake(
            "the entropy is missing: A contains −log q(y|x).",
            slope_by(lambda q, log_q, bound, log_p: centred(q, bound + log_p)),
            0.5,
        ),
        Mistake(
            "the sign of the entropy is flipped: A contains −log q(y|x).",
            slope_by(lambda q, log_q, bound, log_p: centred(q, bound + log_p + log_q)),
            0.5,
        ),
        Mistake(
            "the prior is missing: A contains log P(y).",
            slope_by(lambda q, log_q, bound, log_p: centred(q, bound - log_q)),
            0.5,
        ),
        Mistake(
            "the sign is flipped: return the gradient of U itself, which is to be maximized.",
            slope_by(lambda q, log_q, bound, log_p: -centred(q, bound + log_p - log_q)),
            0.7,
        ),
        Mistake(
            "this is the gradient of the mean over the images: return the gradient of the sum.",
            lambda bound, logits, prior: slope_reference(bound, logits, prior) / len(bound),
            0.7,
        ),
        Mistake(
            "this is P(y|x) − q(y|x), the gradient of a cross entropy: "
            "U is a different function of the logits.",
            slope_by(lambda q, log_q, bound, log_p: softmax(bound + log_p, axis=1) - q),
            0.4,
        ),
        Mistake(
            "the plain mean over the labels is subtracted: subtract the mean under q(y|x).",
            slope_by(
                lambda q, log_q, bound, log_p: (
                    q * (bound + log_p - log_q - (bound + log_p - log_q).mean(1, keepdims=True))
                )
            ),
            0.5,
        ),
        Mistake(
            "1 is subtracted from A instead of its mean: "
            "the probabilities of a softmax depend on each other.",
            slope_by(lambda q, log_q, bound, log_p: q * (bound + log_p - log_q - 1)),
            0.4,
        ),
        Mistake(
            "q(1 − q) is the derivative of a label's own probability alone: "
            "the other probabilities change as well.",
            slope_by(lambda q, log_q, bound, log_p: q * (1 - q) * (bound + log_p - log_q)),
            0.4,
        ),
        Mistake(
            "the factor q(c|x) is missing in front of the difference.",
            slope_by(
                lambda q, log_q, bound, log_p: (
                    bound + log_p - log_q - mean_of(q, bound + log_p - log_q)
                )
            ),
            0.5,
        ),
    ),
    Tolerance(1e-3, 2e-4, "differences of float32 numbers near 2500, whose rounding is 10⁻⁴"),
    independent=slope_independent,
    styles=(
        """def identity(bound, logits, prior):
    s = logits.double().requires_grad_()
    log_q = torch.log_softmax(s, 1)
    u = (log_q.exp() * (bound.double() + prior.double().log() - log_q)).sum()
    return torch.autograd.grad(u, s)[0]""",
        """def identity(bound, logits, prior):
    result = torch.zeros(logits.shape)
    for n in range(len(logits)):
        log_q = logits[n] - torch.logsumexp(logits[n], 0)
        a = bound[n] + prior.log() - log_q
        for c in range(len(prior)):
            for y in range(len(prior)):
                result[n, c] += log_q[y].exp() * ((y == c) * 1.0 - log_q[c].exp()) * (a[y] - a[c])
    return result""",
        """import numpy as np
from scipy.special import softmax, log_softmax
def identity(bound, logits, prior):
    a, s, p = (np.asarray(t, dtype=np.float64) for t in (bound, logits, prior))
    q = softmax(s, axis=1)
    a = a + np.log(p) - log_softmax(s, axis=1)
    jacobian = np.einsum("nc,cd->ncd", q, np.eye(len(p))) - np.einsum("nc,nd->ncd", q, q)
    return np.einsum("ncd,nd->nc", jacobian, a)""",
        """def identity(bound, logits, prior):
    def value(s, row):
        log_q = F.log_softmax(s, 0)
        return torch.dot(log_q.exp(), row + prior.double().log() - log_q)
    return torch.func.vmap(torch.func.grad(value))(logits.double(), bound.double())""",
    ),
)

QUESTION = Question("identity", "identity", 14, (SPLIT, PRIOR, SLOPE))
