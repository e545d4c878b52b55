"""Question 4: three estimators of the encoder's gradient from K draws.

All three need more than a plain backward pass. RLOO: Kool et al. 2019, "Buy 4 REINFORCE samples,
get a baseline for free". VIMCO: Mnih & Rezende 2016, "Variational inference for Monte Carlo
objectives". DReG: Tucker et al. 2019, "Doubly reparameterized gradient estimators".
"""

import numpy as np
from scipy.special import expit, logsumexp, softmax

from course_lib.grading.question import Mistake, Question, Tolerance, Variant

TOLERANCE = Tolerance(
    1e-3, 1e-4, "float32 differences of numbers that are hundreds of nats below 0"
)


def sizes(case):
    """Numbers of draws, of images and of dimensions of the code."""
    return {"small": (3, 4, 2), "large": (6, 7, 5), "extreme": (5, 3, 4)}[case]


def binary_codes(rng, case):
    """Draws b of binary codes, of shape (K, N, d), and the logits of their probabilities.

    In the extreme case, some logits are ±900, and others are at least 720.
    """
    k, n, d = sizes(case)
    logits = rng.normal(size=(n, d))
    if case == "extreme":
        logits[:, 1] = rng.choice([-900.0, 900.0], size=n)
        logits[:, 2] = rng.uniform(720, 950, size=n)
    b = (rng.uniform(size=(k, n, d)) < expit(logits)).astype(np.float64)
    return b, logits


def overflowing_sigmoid(logits):
    return np.exp(logits) / (1 + np.exp(logits))


def weighted(signal, b, logits):
    """Σ_k signal_k · ∂ log q(b_k) / ∂ logits, (N, d)."""
    return (signal[..., None] * (b - expit(logits))).sum(0)


def gradient_by_torch(signal, b, logits):
    """The same, with the gradient of log q from automatic differentiation."""
    import torch  # needed to check the key, but not for grading

    free = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    log_q = torch.distributions.Bernoulli(logits=free).log_prob(torch.tensor(b)).sum(-1)  # (K, N)
    (torch.tensor(signal) * log_q).sum().backward()
    return free.grad.numpy()


# ---------------------------------------------------------------- leave one out


def rloo_inputs(rng, case):
    b, logits = binary_codes(rng, case)
    offset = -200.0 if case == "extreme" else -5.0
    return {"f": rng.normal(size=b.shape[:2]) * 3 + offset, "b": b, "logits": logits}


def rloo_signal(f):
    """f minus the mean of the other draws, divided by K."""
    k = len(f)
    return (f - (f.sum(0) - f) / (k - 1)) / k


def rloo_independent(f, b, logits):
    k = len(f)
    signal = np.stack([(f[i] - np.delete(f, i, axis=0).mean(0)) / k for i in range(k)])
    return gradient_by_torch(signal, b, logits)


RLOO = Variant(
    "leave_one_out",
    """## 4. A gradient without reparameterization: leave one out

Let the code b be binary: b_j is 1 with probability sigmoid(l_j), independently in each dimension, and the logits l come
from the encoder. To increase E_q[f(b)], we need its gradient with respect to l, but a binary draw cannot be
differentiated. The score function estimator does not differentiate the draw. With K draws b_1 … b_K for each image, the
estimator is

(1/K) Σ_k (f(b_k) − B_k) · ∂ log q(b_k) / ∂l.

Any *baseline* B_k that does not depend on b_k leaves the estimator unbiased and, if well chosen, makes it far less
noisy. A good and cheap baseline is the mean of f over the other K − 1 draws of the same image. Use this baseline.

Derive ∂ log q(b) / ∂l_j on paper. Then write the function `gradient(f, b, logits)`. Its arguments are the values
f(b_k) = `f` (K, N), the draws `b` (K, N, d) of 0s and 1s, and l = `logits` (N, d). The function returns the estimate
for each image, of shape (N, d). Your function must also be correct for logits of about ±900.""",
    '''def gradient(f, b, logits):
    """Return the estimated gradient of E[f], (N, d), for values f (K, N), draws b (K, N, d), logits (N, d)."""
    raise NotImplementedError''',
    '''def gradient(f, b, logits):
    """Return the estimated gradient of E[f], (N, d), for values f (K, N), draws b (K, N, d), logits (N, d)."""
    k = len(f)
    baseline = (f.sum(0) - f) / (k - 1)  # (K, N), the mean of the other draws
    score = b - torch.sigmoid(logits)  # (K, N, d), ∂ log q / ∂ logits
    return ((f - baseline)[..., None] * score).mean(0)''',
    rloo_inputs,
    lambda f, b, logits: weighted(rloo_signal(f), b, logits),
    (
        Mistake(
            "the baseline includes the draw's own value: "
            "the estimate is biased, too small by a factor (K − 1)/K.",
            lambda f, b, logits: weighted((f - f.mean(0)) / len(f), b, logits),
            0.6,
        ),
        Mistake(
            "the baseline is missing: the estimate is right on average, but very noisy.",
            lambda f, b, logits: weighted(f / len(f), b, logits),
            0.4,
        ),
        Mistake(
            "the K terms are summed: divide by K.",
            lambda f, b, logits: weighted(len(f) * rloo_signal(f), b, logits),
            0.6,
        ),
        Mistake(
            "the sign is wrong: a step along this gradient lowers E[f].",
            lambda f, b, logits: -weighted(rloo_signal(f), b, logits),
            0.6,
        ),
        Mistake(
            "it overflows: e^l / (1 + e^l) is infinity divided by infinity for large l. "
            "Use `torch.sigmoid`.",
            lambda f, b, logits: (
                rloo_signal(f)[..., None] * (b - overflowing_sigmoid(logits))
            ).sum(0),
            0.6,
        ),
        Mistake(
            "f is also divided by its standard deviation: this rescales the gradient.",
            lambda f, b, logits: weighted((f - f.mean(0)) / f.std(0, ddof=1) / len(f), b, logits),
            0.4,
        ),
        Mistake(
            "this is the gradient with respect to the probabilities: "
            "for the logits there is no denominator.",
            lambda f, b, logits: (
                weighted(rloo_signal(f), b, logits) / (expit(logits) * expit(-logits))
            ),
            0.4,
        ),
        Mistake(
            "the baseline is the mean over the other draws of all images: "
            "each image has its own baseline.",
            lambda f, b, logits: weighted((f - (f.sum() - f) / (f.size - 1)) / len(f), b, logits),
            0.5,
        ),
        Mistake(
            "the baseline is the mean over the other images: "
            "average over the other draws of the same image.",
            lambda f, b, logits: weighted(
                (f - (f.sum(1, keepdims=True) - f) / (f.shape[1] - 1)) / len(f), b, logits
            ),
            0.4,
        ),
    ),
    TOLERANCE,
    independent=rloo_independent,
    styles=(
        """def gradient(f, b, logits):
    K, N, d = b.shape
    result = torch.zeros(N, d)
    for n in range(N):
        for k in range(K):
            others = torch.cat([f[:k, n], f[k + 1:, n]])
            result[n] += (f[k, n] - others.mean()) * (b[k, n] - torch.sigmoid(logits[n])) / K
    return result""",
        """def gradient(f, b, logits):
    K = f.shape[0]
    free = logits.clone().requires_grad_()
    log_q = torch.distributions.Bernoulli(logits=free).log_prob(b).sum(-1)
    advantage = (f - f.mean(0)) * K / (K - 1)
    return torch.autograd.grad((advantage * log_q).sum() / K, free)[0]""",
        """import numpy as np
from scipy.special import expit
def gradient(f, b, logits):
    f, b, l = (np.asarray(t, dtype=np.float64) for t in (f, b, logits))
    return np.einsum("kn,knd->nd", f - f.mean(axis=0), b - expit(l)) / (len(f) - 1)""",
        """def gradient(f, b, logits):
    K = len(f)
    leave_one_out = (1 - torch.eye(K)).double() / (K - 1)
    signal = f.double() - leave_one_out @ f.double()
    log_q = lambda l: -(signal[..., None] * torch.nn.functional.binary_cross_entropy_with_logits(
        l.expand(b.shape), b.double(), reduction="none")).sum() / K
    return torch.func.grad(log_q)(logits.double())""",
        # f minus its baseline sums to 0 over the draws, so the sigmoid that they share drops out
        """def gradient(f, b, logits):
    return ((f - f.mean(0))[..., None] * b).sum(0) / (len(f) - 1)""",
    ),
)

# ---------------------------------------------------------------- VIMCO


def vimco_inputs(rng, case):
    b, logits = binary_codes(rng, case)
    offset = -900.0 if case == "extreme" else -3.0  # e^(−900) underflows to 0
    return {"log_w": rng.normal(size=b.shape[:2]) * 1.5 + offset, "b": b, "logits": logits}


def log_mean_exp(table):
    return logsumexp(table, axis=0) - np.log(len(table))


def vimco_signal(log_w, stand_in=None):
    """L minus the same bound with the weight of draw k replaced by a stand-in.

    The default stand-in is the geometric mean of the other weights.
    """
    k = len(log_w)
    stand_in = (log_w.sum(0) - log_w) / (k - 1) if stand_in is None else stand_in
    signal = np.empty_like(log_w)
    for i in range(k):
        replaced = log_w.copy()
        replaced[i] = stand_in[i]
        signal[i] = log_mean_exp(log_w) - log_mean_exp(replaced)
    return signal


def vimco_independent(log_w, b, logits):
    """The answer from exponentials, after the largest logarithm has been subtracted."""
    top = log_w.max(0)
    w = np.exp(log_w - top)
    signal = []
    for i in range(len(w)):
        others = np.delete(w, i, axis=0)
        geometric = np.prod(others, axis=0) ** (1 / len(others))
        signal.append(np.log(w.sum(0) / (others.sum(0) + geometric)))
    return gradient_by_torch(np.stack(signal), b, logits)


def vimco_underflowing(log_w, b, logits):
    w = np.exp(log_w)
    stand_in = np.exp((log_w.sum(0) - log_w) / (len(w) - 1))
    signal = np.log(w.mean(0)) - np.log((w.sum(0) - w + stand_in) / len(w))
    return weighted(signal, b, logits)


VIMCO = Variant(
    "vimco",
    """## 4. A gradient without reparameterization: one bound, K draws

Let the code b be binary: b_j is 1 with probability sigmoid(l_j), independently in each dimension, and the logits l come
from the encoder. The importance-weighted bound L = log (1/K) Σ_k w_k of an image is shared by all its K draws b_1 …
b_K, so how much credit does each of them deserve? Let L_(−k) be the same bound with w_k replaced by the *geometric*
mean of the other K − 1 weights. The difference L − L_(−k) is the credit of draw k, and the gradient estimate with
respect to l is

Σ_k (L − L_(−k)) · ∂ log q(b_k) / ∂l.

(The full estimator has a second term, because the weights themselves depend on l. Leave it out here.)

Derive ∂ log q(b) / ∂l_j on paper. Then write the function `gradient(log_w, b, logits)`. Its arguments are the
logarithms log w_k = `log_w` (K, N), the draws `b` (K, N, d) of 0s and 1s, and l = `logits` (N, d). The function returns
the estimate for each image, of shape (N, d). Your function must also be correct where log w is about −900, and for
logits of about ±900.""",
    '''def gradient(log_w, b, logits):
    """Return the estimated gradient of the bound, (N, d), for log_w (K, N), draws b (K, N, d), logits (N, d)."""
    raise NotImplementedError''',
    '''def gradient(log_w, b, logits):
    """Return the estimated gradient of the bound, (N, d), for log_w (K, N), draws b (K, N, d), logits (N, d)."""
    k = len(log_w)
    stand_in = (log_w.sum(0) - log_w) / (k - 1)  # (K, N), the logarithm of the geometric mean
    score = b - torch.sigmoid(logits)  # (K, N, d), ∂ log q / ∂ logits
    result = torch.zeros_like(logits)
    for i in range(k):
        replaced = log_w.clone()
        replaced[i] = stand_in[i]
        signal = torch.logsumexp(log_w, 0) - torch.logsumexp(replaced, 0)  # (N,); the two terms with log K cancel
        result += signal[:, None] * score[i]
    return result''',
    vimco_inputs,
    lambda log_w, b, logits: weighted(vimco_signal(log_w), b, logits),
    (
        Mistake(
            "L_(−k) is missing: every draw gets the same credit.",
            lambda log_w, b, logits: weighted(log_mean_exp(log_w) + 0 * log_w, b, logits),
            0.3,
        ),
        Mistake(
            "draw k is left out instead of being replaced: "
            "put the geometric mean of the other weights in its place.",
            lambda log_w, b, logits: weighted(
                np.stack(
                    [
                        log_mean_exp(log_w) - log_mean_exp(np.delete(log_w, i, axis=0))
                        for i in range(len(log_w))
                    ]
                ),
                b,
                logits,
            ),
            0.6,
        ),
        Mistake(
            "the geometric mean includes the draw's own weight: use only the other K − 1.",
            lambda log_w, b, logits: weighted(
                vimco_signal(log_w, np.broadcast_to(log_w.mean(0), log_w.shape)), b, logits
            ),
            0.6,
        ),
        Mistake(
            "the weight of draw k is replaced by 0: "
            "replace it by the geometric mean of the other weights.",
            lambda log_w, b, logits: weighted(
                vimco_signal(log_w, np.full_like(log_w, -np.inf)), b, logits
            ),
            0.5,
        ),
        Mistake(
            "the K terms are averaged: they add up, without a factor 1/K.",
            lambda log_w, b, logits: weighted(vimco_signal(log_w) / len(log_w), b, logits),
            0.6,
        ),
        Mistake(
            "each draw is credited with its own log w: "
            "credit it with L − L_(−k), its contribution to the shared bound.",
            lambda log_w, b, logits: weighted(rloo_signal(log_w), b, logits),
            0.4,
        ),
        Mistake(
            "it underflows: you compute the weights themselves before taking the logarithm. "
            "Use `torch.logsumexp`.",
            vimco_underflowing,
            0.6,
        ),
        Mistake(
            "it overflows: e^l / (1 + e^l) is infinity divided by infinity for large l. "
            "Use `torch.sigmoid`.",
            lambda log_w, b, logits: (
                vimco_signal(log_w)[..., None] * (b - overflowing_sigmoid(logits))
            ).sum(0),
            0.6,
        ),
        Mistake(
            "the sign is wrong: a step along this gradient lowers the bound.",
            lambda log_w, b, logits: -weighted(vimco_signal(log_w), b, logits),
            0.6,
        ),
        Mistake(
            "−sigmoid(l) is missing: ∂ log q(b) / ∂l is b − sigmoid(l).",
            lambda log_w, b, logits: (vimco_signal(log_w)[..., None] * b).sum(0),
            0.4,
        ),
    ),
    TOLERANCE,
    independent=vimco_independent,
    styles=(
        """def gradient(log_w, b, logits):
    K = len(log_w)
    eye = torch.eye(K, dtype=torch.bool)[:, :, None]
    others = (log_w.sum(0) - log_w) / (K - 1)
    table = torch.where(eye, others[:, None], log_w[None])  # (replaced, K, N)
    signal = log_w.logsumexp(0) - table.logsumexp(1)
    return torch.einsum("kn,knd->nd", signal, b - torch.sigmoid(logits))""",
        """def gradient(log_w, b, logits):
    K, N = log_w.shape
    shifted = (log_w - log_w.max(0).values).double()
    w = shifted.exp()
    free = logits.double().clone().requires_grad_()
    log_q = torch.distributions.Bernoulli(logits=free).log_prob(b.double()).sum(-1)
    geometric = ((shifted.sum(0) - shifted) / (K - 1)).exp()
    signal = torch.log(w.sum(0)) - torch.log(w.sum(0) - w + geometric)
    return torch.autograd.grad((signal * log_q).sum(), free)[0]""",
        """import numpy as np
from scipy.special import expit, logsumexp
def gradient(log_w, b, logits):
    a, b, l = (np.asarray(t, dtype=np.float64) for t in (log_w, b, logits))
    total = np.zeros_like(l)
    for k in range(len(a)):
        rest = np.delete(a, k, axis=0)
        without = logsumexp(np.concatenate([rest, rest.mean(axis=0, keepdims=True)]), axis=0)
        total += (logsumexp(a, axis=0) - without)[:, None] * (b[k] - expit(l))
    return total""",
        """def gradient(log_w, b, logits):
    a = log_w.double()
    K, N = a.shape
    result = torch.zeros(N, b.shape[2]).double()
    for n in range(N):
        for k in range(K):
            column = [float(a[j, n]) for j in range(K)]
            top = max(column)
            bound = math.log(sum(math.exp(v - top) for v in column))
            others = column[:k] + column[k + 1:]
            column[k] = sum(others) / len(others)
            replaced = math.log(sum(math.exp(v - top) for v in column))
            result[n] += (bound - replaced) * (b[k, n] - torch.sigmoid(logits[n]))
    return result""",
    ),
)

# ---------------------------------------------------------------- doubly reparameterized


def dreg_inputs(rng, case):
    k, n, d = sizes(case)
    offset = -900.0 if case == "extreme" else -3.0
    return {
        "log_w": rng.normal(size=(k, n)) + offset,
        "slope": rng.normal(size=(k, n, d)) * 2,
        "eps": rng.normal(size=(k, n, d)),
        "logvar": rng.normal(size=(n, d)) * 0.6,
    }


def dreg_from(weights, slope, eps, step):
    """Gradients for mu and logvar, computed from the weights of the draws.

    The weights have shape (K, N), and `step` is the slope of z with respect to logvar.
    """
    push = weights[..., None] * slope
    return push.sum(0), (push * step).sum(0)


def step_of(eps, logvar):
    """∂z/∂logvar of z = mu + e^(logvar/2) eps."""
    return 0.5 * np.exp(logvar / 2) * eps


def dreg_reference(log_w, slope, eps, logvar):
    return dreg_from(softmax(log_w, axis=0) ** 2, slope, eps, step_of(eps, logvar))


def dreg_independent(log_w, slope, eps, logvar):
    """By automatic differentiation of Σ w̃² · slope · z, with everything except z held fixed."""
    import torch  # needed to check the key, but not for grading

    w = np.exp(log_w - log_w.max(0))
    weights = torch.tensor((w / w.sum(0)) ** 2)[..., None]
    mu = torch.zeros(logvar.shape, dtype=torch.float64, requires_grad=True)
    free = torch.tensor(logvar, dtype=torch.float64, requires_grad=True)
    z = torch.distributions.Normal(mu, free.exp().sqrt())
    z = z.loc + z.scale * torch.tensor(eps)
    (weights * torch.tensor(slope) * z).sum().backward()
    return mu.grad.numpy(), free.grad.numpy()


def dreg_weights(change):
    """A mistake in the weights alone, from log w (K, N)."""
    return lambda log_w, slope, eps, logvar: dreg_from(
        change(log_w), slope, eps, step_of(eps, logvar)
    )


def dreg_steps(change):
    """A mistake in ∂z/∂logvar alone."""
    return lambda log_w, slope, eps, logvar: dreg_from(
        softmax(log_w, axis=0) ** 2, slope, eps, change(eps, logvar)
    )


DREG = Variant(
    "doubly",
    """## 4. A gradient with less noise: squared weights

Let z_k = μ + e^(logvar/2) ε_k be K draws for an image, let w_k = P(x, z_k)/q(z_k | x) be their weights, and let L = log
(1/K) Σ_k w_k be the importance-weighted bound. The more draws there are, the more the gradient of L with respect to the
encoder's parameters drowns in noise. Much of this noise comes from the term in which q(z_k | x) is differentiated at a
fixed z_k. Reparameterizing this term a second time leaves the average of the estimate unchanged and makes the estimate
far less noisy. For a parameter φ of the encoder, the result is

Σ_k w̃_k² · (∂ log w_k / ∂z_k) · (∂z_k / ∂φ), where w̃_k = w_k / Σ_j w_j.

Here ∂ log w_k / ∂z_k is taken with μ and logvar held fixed, and it is given. Derive ∂z_k/∂μ and ∂z_k/∂logvar.

Write the function `gradient(log_w, slope, eps, logvar)`. Its arguments are the logarithms log w_k = `log_w` (K, N), the
slopes ∂ log w_k / ∂z_k = `slope` (K, N, d), the noise ε = `eps` (K, N, d) and the logarithms of the *variances*
`logvar` (N, d). The function returns the estimated gradients with respect to μ and to logvar, both (N, d), in this
order, with one row per image. Your function must also be correct where log w is about −900.""",
    '''def gradient(log_w, slope, eps, logvar):
    """Return gradients for mu and logvar, both (N, d), for log_w (K, N), slope and eps (K, N, d), logvar (N, d)."""
    raise NotImplementedError''',
    '''def gradient(log_w, slope, eps, logvar):
    """Return gradients for mu and logvar, both (N, d), for log_w (K, N), slope and eps (K, N, d), logvar (N, d)."""
    weights = torch.softmax(log_w, dim=0)  # (K, N), over the draws
    push = weights[..., None] ** 2 * slope  # (K, N, d)
    step = 0.5 * torch.exp(logvar / 2) * eps  # ∂z/∂logvar, and ∂z/∂mu is 1
    return push.sum(0), (push * step).sum(0)''',
    dreg_inputs,
    dreg_reference,
    (
        Mistake(
            "the weights w̃ are not squared.",
            dreg_weights(lambda log_w: softmax(log_w, axis=0)),
            0.6,
        ),
        Mistake(
            "all draws count equally, with 1/K²: use the squared weights w̃.",
            dreg_weights(lambda log_w: np.full_like(log_w, 1 / len(log_w) ** 2)),
            0.3,
        ),
        Mistake(
            "it underflows: you compute w before normalizing it, "
            "and divide 0 by 0. Use `torch.softmax`.",
            dreg_weights(lambda log_w: (np.exp(log_w) / np.exp(log_w).sum(0)) ** 2),
            0.6,
        ),
        Mistake(
            "the weights are normalized over the images: normalize over the K draws of each image.",
            dreg_weights(lambda log_w: softmax(log_w, axis=1) ** 2),
            0.3,
        ),
        Mistake(
            "the K terms are averaged: they add up, without a factor 1/K.",
            dreg_weights(lambda log_w: softmax(log_w, axis=0) ** 2 / len(log_w)),
            0.6,
        ),
        Mistake(
            "the squared weights are normalized once more: they should not add up to 1.",
            dreg_weights(lambda log_w: softmax(2 * log_w, axis=0)),
            0.5,
        ),
        Mistake(
            "the ½ is missing from ∂z/∂logvar: "
            "this is the gradient with respect to the log of the standard deviation.",
            dreg_steps(lambda eps, logvar: np.exp(logvar / 2) * eps),
            0.6,
        ),
        Mistake(
            "∂z/∂logvar contains the variance where the standard deviation, e^(logvar/2), belongs.",
            dreg_steps(lambda eps, logvar: 0.5 * np.exp(logvar) * eps),
            0.5,
        ),
        Mistake(
            "this is the gradient with respect to the standard deviation: "
            "the factor e^(logvar/2)/2 is missing.",
            dreg_steps(lambda eps, logvar: eps + 0 * logvar),
            0.5,
        ),
        Mistake(
            "the noise ε is missing from ∂z/∂logvar.",
            dreg_steps(lambda eps, logvar: 0.5 * np.exp(logvar / 2) + 0 * eps),
            0.4,
        ),
    ),
    TOLERANCE,
    returns=("mu", "logvar"),
    independent=dreg_independent,
    styles=(
        """def gradient(log_w, slope, eps, logvar):
    mu = torch.zeros_like(logvar).requires_grad_()
    v = logvar.clone().requires_grad_()
    z = mu + torch.exp(0.5 * v) * eps
    weights = torch.exp(log_w - torch.logsumexp(log_w, 0)).square()
    return torch.autograd.grad(torch.einsum("kn,knd,knd->", weights, slope, z), (mu, v))""",
        """import numpy as np
from scipy.special import logsumexp
def gradient(log_w, slope, eps, logvar):
    a, s, e, v = (np.asarray(t, dtype=np.float64) for t in (log_w, slope, eps, logvar))
    w2 = np.exp(2 * (a - logsumexp(a, axis=0)))
    return np.einsum("kn,knd->nd", w2, s), np.einsum("kn,knd,knd,nd->nd", w2, s, e, np.sqrt(np.exp(v)) / 2)""",
        """def gradient(log_w, slope, eps, logvar):
    K, N, d = slope.shape
    for_mu, for_logvar = torch.zeros(N, d), torch.zeros(N, d)
    for n in range(N):
        w = (log_w[:, n] - log_w[:, n].max()).exp()
        w = w / w.sum()
        for k in range(K):
            part = w[k] ** 2 * slope[k, n]
            for_mu[n] += part
            for_logvar[n] += part * eps[k, n] * logvar[n].exp().sqrt() / 2
    return {"mu": for_mu, "logvar": for_logvar}""",
        """def gradient(log_w, slope, eps, logvar):
    def one(a, s, e, v):  # one image: (K,), (K, d), (K, d), (d,)
        fixed = torch.softmax(a, 0).pow(2)[:, None] * s
        surrogate = lambda m, t: (fixed * (m + (t / 2).exp() * e)).sum()
        return torch.func.grad(surrogate, argnums=(0, 1))(torch.zeros_like(v), v)
    return torch.func.vmap(one, in_dims=(1, 1, 1, 0))(log_w.double(), slope.double(), eps.double(), logvar.double())""",
    ),
)

QUESTION = Question("estimator", "gradient", 15, (RLOO, VIMCO, DREG))
